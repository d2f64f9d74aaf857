//! Proportions that are set while the model trains.
//!
//! ```text
//!                    ┌────────── next() ──────────┐
//!                    ▼                            │
//!  Settings + Run ─ Online ─▶ Measure ─ observe() ┤
//!                          ─▶ Train   ─ observe() ┤      the value between two calls is the whole state:
//!                          ─▶ Probe   ─ probed()  ┘      store it, read it, go on
//!                          ─▶ Done
//! ```
//!
//! A job asks [`Online::next`] what the trainer is to do, has it done, and hands the report in. Asking has no effect. A refused
//! report has none either. `Online` checks and counts; what is learnt from a report is the [`Method`]'s affair, one file each:
//!
//! | file | method |
//! |---|---|
//! | `schedule` | stratified, proportional, fixed, by schedule: nothing is learnt |
//! | `aioli` | Aioli, as published and with the semantics of the released code |
//! | `skill_it` | Skill-It |
//! | `doremi` | DoReMi |
//! | `doge` | DoGE |
//! | `odm` | online data mixing (EXP3) |
//! | `ado` | ADO |
//! | `pike` | PiKE |
//! | `sheared` | the rule of Sheared LLaMA |

mod ado;
mod aioli;
mod asks;
mod contract;
mod doge;
mod doremi;
mod odm;
mod pike;
mod run;
mod schedule;
mod settings;
mod sheared;
#[cfg(test)]
pub(crate) mod simulate;
mod skill_it;
#[cfg(test)]
mod tests;

pub use ado::AdoSettings;
pub use aioli::{AioliSettings, Probing, Semantics};
pub use asks::Ask;
pub use contract::{
    Branch, BranchReport, Cost, Directive, Fate, Gradients, Leg, Method, Needs, Observation, Origin, ProbePlan, ProbeReport,
};
pub use doge::DogeSettings;
pub use doremi::DoremiSettings;
pub use odm::OdmSettings;
pub use pike::PikeSettings;
pub use run::{Online, Run};
pub use schedule::Stage;
pub use settings::{Play, Settings};
pub use sheared::ShearedSettings;
pub use skill_it::SkillItSettings;
