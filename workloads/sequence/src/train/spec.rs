//! What a person asks of a training, as YAML, and the job made of it.

use super::{Tokenizer, Tokens, TrainError};
use crate::model::{AdamW, ModelConfig};
use braid_workload::{Reach, with_key};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The word of this kind of job.
pub const KIND: &str = "train";
/// The most ranks a training may have.
pub const MAX_RANKS: u32 = 4096;

/// A training spec, as its YAML file says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// Text files, or folders of them (read recursively, in the order of their names). Each file is a document; of a `.jsonl` file,
    /// each line's `text` is. Relative to the spec's folder.
    pub documents: Vec<PathBuf>,
    /// What a token is.
    #[serde(default, skip_serializing_if = "Tokens::are_bytes")]
    pub tokens: Tokens,
    /// The longest sequence, in tokens; longer documents are cut.
    pub context: usize,
    /// The sizes of the model.
    pub model: ModelConfig,
    /// Workers' threads that train together: one a rank, or a whole worker each with `whole_workers`.
    #[serde(default = "one")]
    pub ranks: u32,
    /// Give each rank a worker of its own, with all of its threads.
    #[serde(default)]
    pub whole_workers: bool,
    /// Tokens whose activations one rank holds: what the planner takes for its memory.
    pub tokens_per_rank: u64,
    /// Steps of the optimizer.
    pub steps: u64,
    /// Sequences of a step.
    pub sequences_per_step: usize,
    /// How it steps.
    #[serde(default)]
    pub optimizer: AdamW,
    /// Decides how parameters begin and in which order documents come.
    #[serde(default)]
    pub seed: u64,
    /// Steps between checkpoints.
    #[serde(default = "often")]
    pub checkpoint_every: u64,
    /// A cost model that `braid profile` has measured; without it, one is estimated from the sizes of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<PathBuf>,
}

fn one() -> u32 {
    1
}

fn often() -> u64 {
    20
}

/// A training as a job: the spec with all paths absolute, and where its checkpoints go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainJob {
    /// What to train.
    pub spec: TrainSpec,
    /// The folder of the checkpoints, which all workers reach by this path.
    pub out: PathBuf,
    /// Tokens of the spec's tokenizer: who decides what the tasks are reads no file.
    pub vocabulary: usize,
}

impl TrainJob {
    /// The job of a spec whose paths are absolute. Reads its tokenizer.
    ///
    /// # Errors
    /// [`TrainError::Tokenizer`], and [`TrainError::Model`] for a model that is too large with that vocabulary.
    pub fn new(spec: TrainSpec, out: PathBuf) -> Result<Self, TrainError> {
        let vocabulary = Tokenizer::read(&spec.tokens)?.vocabulary();
        spec.model.check(vocabulary)?;
        Ok(Self { spec, out, vocabulary })
    }

    /// The paths that it uses.
    pub fn reach(&self) -> Reach {
        let tokenizer = match &self.spec.tokens {
            Tokens::Byte => None,
            Tokens::Tokenizer(path) => Some(path),
        };
        let reads = self.spec.documents.iter().chain(&self.spec.profile).chain(tokenizer).cloned().collect();
        Reach::Paths { reads, writes: vec![self.out.clone()] }
    }
}

impl TrainSpec {
    /// Reads a spec from the `text` of the file `name`.
    ///
    /// # Errors
    /// [`TrainError::Spec`] naming the file and, where it is known, the line.
    pub fn parse(name: &str, text: &str) -> Result<Self, TrainError> {
        let error = |problem: String| TrainError::Spec { name: name.into(), problem };
        let spec: Self = serde_saphyr::from_str(text).map_err(|problem| {
            let place = problem.location().map(|at| (at.line(), at.column()));
            error(with_key(text, place, problem.without_snippet().to_string()))
        })?;
        spec.check().map_err(|problem| error(problem.to_string()))?;
        Ok(spec)
    }

    /// The same with paths made absolute, beginning from `folder`.
    #[must_use]
    pub fn beside(mut self, folder: &Path) -> Self {
        let tokenizer = match &mut self.tokens {
            Tokens::Byte => None,
            Tokens::Tokenizer(path) => Some(path),
        };
        for path in self.documents.iter_mut().chain(&mut self.profile).chain(tokenizer) {
            *path = folder.join(&*path);
        }
        self
    }

    /// Checks what can be checked without looking at files. The model is checked with the vocabulary, by
    /// [`ModelConfig::check`].
    ///
    /// # Errors
    /// [`TrainError::Field`] or [`TrainError::Model`].
    pub fn check(&self) -> Result<(), TrainError> {
        let field = |field, problem: &str| Err(TrainError::Field { field, problem: problem.into() });
        if self.documents.is_empty() {
            return field("documents", "name at least one file or folder");
        }
        if self.context < 2 {
            return field("context", "a sequence needs at least 2 tokens, one to read and one to guess");
        }
        if self.ranks == 0 || self.ranks > MAX_RANKS {
            return field("ranks", "it must lie between 1 and 4096");
        }
        if self.tokens_per_rank == 0 {
            return field("tokens_per_rank", "it must be at least 1");
        }
        if self.steps == 0 {
            return field("steps", "it must be at least 1");
        }
        if self.sequences_per_step == 0 {
            return field("sequences_per_step", "it must be at least 1");
        }
        if self.checkpoint_every == 0 {
            return field("checkpoint_every", "it must be at least 1");
        }
        if let Err((name, value)) = self.optimizer.check() {
            return Err(TrainError::Field { field: "optimizer", problem: format!("{name} is {value}") });
        }
        let ranks = u64::from(self.ranks);
        let (longest, room) = (self.context as u64, self.tokens_per_rank.saturating_mul(ranks));
        if longest > room {
            return Err(TrainError::Field {
                field: "tokens_per_rank",
                problem: format!(
                    "a sequence of {longest} tokens (context) does not fit: {ranks} ranks hold {room} together, {} too few; \
                     make it {} at least, or give more ranks or a shorter context",
                    longest - room,
                    longest.div_ceil(ranks),
                ),
            });
        }
        // Any tokenizer has a token.
        self.model.check(1)?;
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const SMALL: &str = "
documents: [texts]
context: 64
model: { width: 16, heads: 2, head_dim: 8, mlp_width: 24, layers: [gla, softmax] }
ranks: 2
tokens_per_rank: 64
steps: 4
sequences_per_step: 4
checkpoint_every: 2
";

    #[test]
    fn what_is_wrong_with_a_spec_is_named() {
        assert!(TrainSpec::parse("a.yml", SMALL).is_ok());
        for (from, to, said) in [
            (
                "context: 64",
                "context: 640",
                "640 tokens (context) does not fit: 2 ranks hold 128 together, 512 too few; make it 320 at least",
            ),
            ("ranks: 2", "ranks: 0", "ranks: it must lie between 1 and 4096"),
            ("steps: 4\n", "steps: none\n", "line 7"),
            ("steps: 4\n", "stepz: 4\n", "stepz"),
            ("gla, softmax", "gla, mamba", "mamba"),
            ("heads: 2", "heads: 0", "model.heads: it must be at least 1"),
            ("documents: [texts]", "documents: []", "documents: name at least one"),
            ("ranks: 2", "optimizer: { lr: -1.0 }", "lr is -1"),
        ] {
            let error = TrainSpec::parse("a.yml", &SMALL.replace(from, to)).unwrap_err().to_string();
            assert!(error.starts_with("a.yml") && error.contains(said), "{error}");
        }
    }

    #[test]
    fn paths_begin_from_the_folder_of_the_spec() {
        let spec = TrainSpec::parse("a.yml", SMALL).unwrap().beside(Path::new("/data"));
        assert_eq!(spec.documents, [PathBuf::from("/data/texts")]);
    }
}
