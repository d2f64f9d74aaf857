//! Lower bounds on the time of a micro-batch, or of a whole step: certificates that hold for every plan of the same sequences.

pub(crate) mod by_degree;
pub(crate) mod by_group;
mod by_rank;
mod master;
pub(crate) mod whole_step;
