//! Sequence-parallel execution: the ranks of a group compute one packed sequence together, each its own tokens (LASP-2 and LASP-2H,
//! arXiv 2502.07563), equal to one rank to rounding.
//!
//! ```text
//! Layout          which rank holds which tokens; who shares a document with whom
//! Shard           the tensors of one rank
//! SequenceGroup   forward, backward                    of a Mixer: states, one exchange a pass
//!                 forward_gathered, backward_gathered  of a Gathered: keys and values
//!   halo, states, contributions    what travels, over any Exchange
//! ```
//!
//! | what a layer needs of other ranks | how | bytes a rank receives, forward |
//! |---|---|---|
//! | rows of neighbours (windows, convolutions) | transfers between neighbours | halo rows |
//! | states | one gather of maps, or a scan | (W−1)·S, or ⌈log₂ W⌉·S: independent of the length |
//! | keys and values, summaries | gather among ranks that share a document | their length |
//!
//! Ranks that share no document tell each other nothing. Backward costs the same again. It knows no model and no trainer:
//! gradients of parameters stay local, to be added over ranks with everything else.

mod contributions;
mod error;
mod gathered;
mod group;
mod halo;
mod layout;
mod metered;
mod method;
mod mixer;
mod shard;
mod states;
#[cfg(test)]
mod tests;

pub use error::ParallelError;
pub use gathered::{Attended, KeptContributions};
pub use group::SequenceGroup;
pub use layout::Layout;
pub use metered::{Metered, Traffic};
pub use mixer::{KeptStates, Mixed};
pub use shard::Shard;
