//! The files of other mixture tools, read from and written to text. Where the text comes from is the caller's affair.

mod csv;
pub mod olmix;
pub mod regmix;
#[cfg(test)]
mod tests;
pub mod wandb;
