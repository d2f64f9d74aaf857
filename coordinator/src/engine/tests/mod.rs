//! The engine in a simulated world, and its rules one by one.
//!
//! | file | proves |
//! |---|---|
//! | `harness/` | nothing itself: a workload, workers, a store and a network that fail at will, and what must hold after each step |
//! | `simulation` | whatever happens, every job that was accepted ends with the right result, and each task takes effect once |
//! | `hostile` | no event, however malformed, panics or breaks an invariant |
//! | `rules_…` | the rules that the files of the engine name |
//! | `recovery` | what is rebuilt from which records, and which records are refused |

mod fixture;
mod harness;
mod hostile;
mod recovery;
mod rules_jobs;
mod rules_preempt;
mod rules_projects;
mod rules_retention;
mod rules_sessions;
mod rules_upkeep;
mod simulation;
