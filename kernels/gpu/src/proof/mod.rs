//! A few questions that a device must answer as the CPU does before it is trusted with work: wrong machine code, a broken driver or broken
//! memory must not end in a checkpoint. Not the whole of what is tested.

mod attention;
mod merges;

pub(crate) use attention::{of_attention, of_softmax};
pub(crate) use merges::of_merges;
