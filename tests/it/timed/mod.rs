//! Tests of time and memory. `./x test` runs them by themselves, one at a time: beside others their figures mean nothing.

mod load;
mod memory;
mod overload;
mod throughput;
