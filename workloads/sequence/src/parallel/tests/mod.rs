//! Layers over ranks that are threads of the test: every family against itself on one rank, documents, faults, traffic.

mod case;
mod documents;
mod families;
mod faults;
mod gathered;
mod mixers;
mod ranks;
mod traffic;
