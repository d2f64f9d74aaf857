//! Documents from the tables of other tools: a mixture by name, or a run of a swarm. Data and sizes come from the caller.

use super::{Document, Source};
use crate::{Domains, MixtureError, Proportions, swarm::Swarm};

/// A document of sources in any order whose names are those of a mixture.
///
/// # Errors
/// [`MixtureError::Disagree`] when the names are not the same; else as [`Document::read`].
pub fn of_mixture(domains: &Domains, mixture: &Proportions, sources: Vec<Source>, seed: u64) -> Result<Document, MixtureError> {
    let named = sources.into_iter().map(|source| (source.name.clone(), source));
    Document::of(domains.arrange("the sources", named)?, mixture, seed)
}

/// A document of one run of a swarm, such as one read from Olmix's or RegMix's tables.
///
/// # Errors
/// [`MixtureError::File`] when the swarm has no such run; else as [`of_mixture`].
pub fn of_run(swarm: &Swarm, id: &str, sources: Vec<Source>, seed: u64) -> Result<Document, MixtureError> {
    let run = swarm.runs.iter().find(|run| run.id == id);
    let run = run.ok_or_else(|| MixtureError::File { file: "swarm".into(), problem: format!("it has no run {id}") })?;
    of_mixture(&swarm.domains, &run.proportions, sources, seed)
}
