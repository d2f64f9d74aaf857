//! What a person asks of a mixture, as YAML, and the job made of it.

use super::{
    JobError, Named,
    method::{MethodPlan, MethodSpec},
    offline::Offline,
};
use crate::{
    Domains, MixtureError,
    data::{DomainSource, Split},
    online::Run,
    trainer::{EXTERNAL, Shape, Trainers},
};
use braid_workload::{Reach, plainly};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// The word of this kind of job.
pub const KIND: &str = "mixture";
/// Methods times seeds of one job at most: the coordinator keeps a few numbers of each.
pub const MOST_CAMPAIGNS: usize = 1000;

/// A mixture spec, as its YAML file says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixSpec {
    /// What is mixed: names, each with its files. Relative to the spec's folder.
    pub domains: Named<DomainSource>,
    /// How each domain is divided.
    #[serde(default)]
    pub split: Split,
    /// Tokens to guess in a sequence. A trainer that reads the data itself may leave it out.
    #[serde(default)]
    pub context: usize,
    /// Sequences of a step.
    pub batch: u64,
    /// Steps of a run.
    pub steps: u64,
    /// Held-out sequences of each domain that a loss is measured on, at most.
    #[serde(default = "evaluate")]
    pub evaluate: u64,
    /// Who trains: one name, with its settings.
    pub trainer: Named<Value>,
    /// How proportions are found: each is run with each seed.
    pub methods: Vec<MethodSpec>,
    /// Decide how models begin and in which order sequences come; methods of one seed see the same.
    #[serde(default = "seeds")]
    pub seeds: Vec<u64>,
    /// The method that others are compared with; the first unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// Steps between checkpoints. Changes no figure.
    #[serde(default = "often")]
    pub checkpoint_every: u64,
}

fn evaluate() -> u64 {
    64
}

fn seeds() -> Vec<u64> {
    vec![0]
}

fn often() -> u64 {
    100
}

/// A mixture as a job: the spec with all paths absolute, and where its results go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixJob {
    /// What to find out.
    pub spec: MixSpec,
    /// The folder of the results, which all workers reach by this path.
    pub out: PathBuf,
}

impl MixSpec {
    /// Reads a spec from the `text` of the file `name`.
    ///
    /// # Errors
    /// [`JobError::Spec`] naming the file and, where it is known, the line.
    pub fn parse(name: &str, text: &str) -> Result<Self, JobError> {
        let error = |problem: String| JobError::Spec { name: name.into(), problem };
        let spec: Self = serde_saphyr::from_str(text).map_err(|problem| {
            let place = problem.location().map(|at| (at.line(), at.column()));
            error(plainly(text, place, problem.without_snippet().to_string()))
        })?;
        spec.check().map_err(|problem| error(problem.to_string()))?;
        Ok(spec)
    }

    /// The same with paths made absolute, beginning from `folder`, and its trainer's settings checked.
    ///
    /// # Errors
    /// A trainer that is not known, or what it says of its settings.
    pub fn beside(mut self, folder: &Path, trainers: &Trainers) -> Result<Self, JobError> {
        self.domains.0 = self.domains.0.into_iter().map(|(name, source)| (name, source.beside(folder))).collect();
        let (name, settings) = self.trainer()?;
        let trainer = trainers.get(name)?;
        trainer.check(settings)?;
        self.check_offers(trainers)?;
        self.trainer = Named(vec![(name.to_owned(), trainer.beside(settings.clone(), folder))]);
        Ok(self)
    }

    /// The names of the domains.
    ///
    /// # Errors
    /// Names that are none.
    pub fn domains(&self) -> Result<Domains, JobError> {
        Ok(Domains::new(self.domains.names())?)
    }

    /// Who trains, and its settings.
    pub fn trainer(&self) -> Result<(&str, &Value), JobError> {
        match self.trainer.0.as_slice() {
            [(name, settings)] => Ok((name, settings)),
            more => Err(JobError::field("trainer", format!("it names {} trainers, not one", more.len()))),
        }
    }

    /// Whether the trainer asks, and reads the data itself.
    pub fn is_external(&self) -> bool {
        self.trainer.names().eq([EXTERNAL])
    }

    /// What a trainer that asks takes of workers; none for any other trainer.
    ///
    /// # Errors
    /// Settings that are none.
    pub fn shape(&self, trainers: &Trainers) -> Result<Option<Shape>, JobError> {
        let (name, settings) = self.trainer()?;
        Ok(trainers.get(name)?.external().map(|external| external.shape(settings)).transpose()?)
    }

    /// Checks that the trainer can do what every method asks for.
    ///
    /// # Errors
    /// [`MixtureError::Offers`] naming what it lacks.
    pub(super) fn check_offers(&self, trainers: &Trainers) -> Result<(), JobError> {
        let (name, settings) = self.trainer()?;
        let Some(offers) = trainers.get(name)?.offers(settings)? else { return Ok(()) };
        for method in &self.methods {
            let lacks = |what: String| MixtureError::Offers { method: method.name.clone(), what };
            match &method.plan {
                MethodPlan::Online(settings) => {
                    if let Some(ask) = settings.asks().into_iter().find(|ask| !offers.contains(ask)) {
                        return Err(lacks(ask.to_string()).into());
                    }
                }
                MethodPlan::Offline(Offline::Swarm(_)) => {}
                MethodPlan::Offline(_) => return Err(lacks("runs whose models are read and merged by Braid".into()).into()),
            }
        }
        Ok(())
    }

    /// Tokens of each domain as the spec says them; none unless it says all.
    pub(super) fn told_sizes(&self) -> Vec<u64> {
        self.domains.values().map(|source| source.tokens).collect::<Option<_>>().unwrap_or_default()
    }

    /// The method that others are compared with.
    pub fn control(&self) -> usize {
        let named = self.control.as_deref().and_then(|control| self.methods.iter().position(|method| method.name == control));
        named.unwrap_or(0)
    }

    /// What methods must know of a run of so many steps.
    ///
    /// # Errors
    /// Names that are none.
    pub(super) fn run(&self, sizes: Vec<u64>, seed: u64, steps: u64) -> Result<Run, JobError> {
        Ok(Run { domains: self.domains()?, sizes, steps, slots: self.batch, seed })
    }

    /// Checks what can be checked without looking at files.
    ///
    /// # Errors
    /// [`JobError::Field`], or what a method says of its settings.
    pub fn check(&self) -> Result<(), JobError> {
        let domains = self.domains()?;
        for (field, value) in [
            ("context", self.context as u64),
            ("batch", self.batch),
            ("steps", self.steps),
            ("evaluate", self.evaluate),
            ("checkpoint_every", self.checkpoint_every),
        ] {
            if value == 0 && !(field == "context" && self.is_external()) {
                return Err(JobError::field(field, "it must be at least 1".into()));
            }
        }
        if self.context > 1 << 24 {
            return Err(JobError::field("context", "it must be at most 2^24".into()));
        }
        crate::Composer::new(domains.len(), self.batch)?;
        self.trainer()?;
        if !self.is_external() {
            self.split.check(self.context)?;
            for (name, source) in &self.domains.0 {
                let problem = match (source.paths.is_empty(), source.tokens) {
                    (true, _) => "names no file",
                    (_, Some(_)) => "has its tokens counted: leave out `tokens`",
                    _ => continue,
                };
                return Err(JobError::field("domains", format!("{name} {problem}")));
            }
        }
        self.check_methods(&domains)?;
        if self.seeds.is_empty() || self.seeds.iter().collect::<BTreeSet<_>>().len() != self.seeds.len() {
            return Err(JobError::field("seeds", "give at least one, and none twice".into()));
        }
        let campaigns = self.methods.len().saturating_mul(self.seeds.len());
        if campaigns > MOST_CAMPAIGNS {
            return Err(JobError::field(
                "seeds",
                format!("{campaigns} runs, methods times seeds, are more than {MOST_CAMPAIGNS}"),
            ));
        }
        Ok(())
    }

    fn check_methods(&self, domains: &Domains) -> Result<(), JobError> {
        let names: BTreeSet<&str> = self.methods.iter().map(|method| method.name.as_str()).collect();
        if names.is_empty() || names.len() != self.methods.len() {
            return Err(JobError::field("methods", "give at least one, each with a name of its own".into()));
        }
        if let Some(control) = &self.control
            && !names.contains(control.as_str())
        {
            return Err(JobError::field("control", format!("no method is called {control}")));
        }
        for method in &self.methods {
            // Sizes are known once the data is read; any will do to check settings.
            let sizes = if self.is_external() { self.told_sizes() } else { vec![1; domains.len()] };
            method.check(self, self.run(sizes, 0, self.steps)?)?;
        }
        Ok(())
    }
}

impl MixJob {
    /// The paths that it uses, where its trainer uses no others.
    ///
    /// # Errors
    /// A trainer that is not known.
    pub fn reach(&self, trainers: &Trainers) -> Result<Reach, JobError> {
        if !trainers.get(self.spec.trainer()?.0)?.is_bounded() {
            return Ok(Reach::Anything);
        }
        let reads = self.spec.domains.values().flat_map(|source| source.paths.clone()).collect();
        Ok(Reach::Paths { reads, writes: vec![self.out.clone()] })
    }
}

#[cfg(test)]
mod tests;
