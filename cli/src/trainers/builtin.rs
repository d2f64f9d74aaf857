//! The built-in trainer: the small hybrid language model of `braid train`, on one thread of a CPU. It can also give what methods ask
//! for that look at gradients or at a reference model.

use braid_mixture::{
    data::{Data, Part},
    online::Gradients,
    trainer::{Batch, Opening, Sample, Session, Stretch, Trained, Trainer, TrainerError},
};
use braid_sequence::model::{AdamW, Epsilon, Learner, LearnerError, Mixing, ModelConfig};
use serde::Deserialize;
use serde_json::Value;
use std::{
    ops::Range,
    path::{Path, PathBuf},
};

/// Sequences whose losses are computed at once where no gradient is wanted.
const AT_ONCE: u64 = 16;

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Builtin;

/// What a spec may say of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    model: ModelConfig,
    optimizer: AdamW,
    /// Tokens that the model knows: 256 are bytes.
    vocabulary: usize,
}

impl Default for Settings {
    /// 38 000 parameters.
    fn default() -> Self {
        let layers = vec![Mixing::Gla, Mixing::Softmax];
        let model = ModelConfig { width: 32, heads: 2, head_dim: 16, mlp_width: 64, layers, norm_epsilon: Epsilon(1e-6) };
        Self { model, optimizer: AdamW { final_lr: 1e-4, ..AdamW::default() }, vocabulary: 256 }
    }
}

impl Settings {
    fn read(settings: &Value) -> Result<Self, TrainerError> {
        let read: Self = serde_json::from_value(settings.clone()).map_err(|error| TrainerError::Settings(error.to_string()))?;
        read.model.check(read.vocabulary).map_err(|error| TrainerError::Settings(error.to_string()))?;
        match read.optimizer.check() {
            Err((field, value)) => Err(TrainerError::Settings(format!("optimizer.{field} is {value}"))),
            Ok(()) => Ok(read),
        }
    }
}

impl Trainer for Builtin {
    fn check(&self, settings: &Value) -> Result<(), TrainerError> {
        Settings::read(settings).map(drop)
    }

    fn open<'a>(&self, opening: Opening<'a>) -> Result<Box<dyn Session + 'a>, TrainerError> {
        let settings = Settings::read(opening.settings)?;
        let begin = || Learner::begin(&settings.model, settings.optimizer, settings.vocabulary, opening.seed).map_err(failed);
        let mut learner = begin()?;
        if let Some((folder, step)) = opening.from {
            learner.load(folder, step).map_err(failed)?;
        }
        Ok(Box::new(Open { opening, learner, reference: begin()?, refers_to: None }))
    }
}

/// A model in the middle of its training.
struct Open<'a> {
    opening: Opening<'a>,
    learner: Learner,
    /// The model that excess losses refer to, once it has been loaded.
    reference: Learner,
    refers_to: Option<PathBuf>,
}

/// Sums over the tokens of a domain.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    tokens: u64,
    nats: f64,
    excess: f64,
}

impl Session for Open<'_> {
    fn train(&mut self, stretch: &Stretch<'_>) -> Result<Trained, TrainerError> {
        let mut sums = vec![Sums::default(); self.data().domains().len()];
        for batch in &stretch.batches {
            if self.opening.task.is_cancelled() {
                return Err(TrainerError::Cancelled);
            }
            self.step(stretch, batch, &mut sums)?;
        }
        let mean = |sum: f64, tokens: u64| (tokens > 0).then(|| sum / tokens as f64);
        let excess = if stretch.excess { sums.iter().map(|sums| mean(sums.excess, sums.tokens)).collect() } else { vec![] };
        Ok(Trained {
            tokens: sums.iter().map(|sums| sums.tokens).collect(),
            losses: sums.iter().map(|sums| mean(sums.nats, sums.tokens)).collect(),
            excess,
        })
    }

    fn evaluate(&mut self, part: Part, domains: &[usize], most: u64) -> Result<Vec<f64>, TrainerError> {
        domains.iter().map(|&domain| self.held_out_loss(part, domain, most)).collect()
    }

    fn save(&mut self, folder: &Path) -> Result<(), TrainerError> {
        self.learner.save(folder).map_err(failed)
    }

    fn refer(&mut self, reference: &Path) -> Result<(), TrainerError> {
        if self.refers_to.as_deref() != Some(reference) {
            self.reference.load_model(reference).map_err(failed)?;
            self.refers_to = Some(reference.to_owned());
        }
        Ok(())
    }

    fn gradients(&mut self, sample: &Sample) -> Result<Gradients, TrainerError> {
        let mut means = vec![];
        let mut gradients =
            Gradients { learning_rate: f64::from(self.learner.rate(self.opening.schedule)), ..Gradients::default() };
        for (domain, draws) in sample.training.iter().enumerate() {
            let (mean, variance) = self.mean_gradient(&self.drawn(sample.stream, domain, draws)?)?;
            gradients.squared_norms.push(dot(&mean, &mean));
            gradients.variances.push(variance);
            means.push(mean);
        }
        let Some(held_out) = sample.held_out else { return Ok(gradients) };
        for domain in 0..means.len() {
            let count = self.data().held_out(Part::Validation, domain, held_out)?;
            let sequences = self.held_out(Part::Validation, domain, 0..count)?;
            let target = self.gradient_of(&sequences)?;
            gradients.products.push(means.iter().map(|mean| dot(&target, mean)).collect());
        }
        Ok(gradients)
    }

    fn blend(&mut self, parts: &[(f64, PathBuf)]) -> Result<(), TrainerError> {
        self.learner.blend(parts).map_err(failed)
    }
}

impl<'a> Open<'a> {
    fn data(&self) -> &'a Data {
        self.opening.data
    }

    /// One step of the optimizer.
    fn step(&mut self, stretch: &Stretch<'_>, batch: &Batch, sums: &mut [Sums]) -> Result<(), TrainerError> {
        let context = self.data().context() as u64;
        let all: u64 = batch.0.iter().map(|draws| (draws.end - draws.start) * context).sum();
        let mut gradient = vec![0.0; self.learner.elements()];
        for (domain, draws) in batch.0.iter().enumerate().filter(|(_, draws)| !draws.is_empty()) {
            let sequences = self.drawn(stretch.stream, domain, draws)?;
            let tokens = sequences.len() as u64 * context;
            let scale = match stretch.objective {
                Some(weights) => weights.as_slice().get(domain).copied().unwrap_or(0.0) / tokens as f64,
                None => 1.0 / all as f64,
            };
            let excess = if stretch.excess { self.excess(&sequences)? } else { 0.0 };
            let loss = self.learner.gradient(&sequences, scale as f32, &mut gradient).map_err(failed)?;
            let Some(sums) = sums.get_mut(domain) else { continue };
            *sums = Sums { tokens: sums.tokens + loss.tokens, nats: sums.nats + loss.nats, excess: sums.excess + excess };
        }
        self.learner.update(&gradient, self.opening.schedule);
        Ok(())
    }

    /// What the model lacks of the reference, summed over tokens.
    fn excess(&self, sequences: &[Vec<u32>]) -> Result<f64, TrainerError> {
        let (own, reference) =
            (self.learner.losses(sequences).map_err(failed)?, self.reference.losses(sequences).map_err(failed)?);
        Ok(own.iter().zip(&reference).map(|(own, reference)| f64::from((own - reference).max(0.0))).sum())
    }

    fn held_out_loss(&self, part: Part, domain: usize, most: u64) -> Result<f64, TrainerError> {
        let count = self.data().held_out(part, domain, most)?;
        let (mut nats, mut tokens) = (0.0, 0);
        for first in (0..count).step_by(AT_ONCE as usize) {
            if self.opening.task.is_cancelled() {
                return Err(TrainerError::Cancelled);
            }
            let sequences = self.held_out(part, domain, first..(first + AT_ONCE).min(count))?;
            let losses = self.learner.losses(&sequences).map_err(failed)?;
            nats += losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
            tokens += losses.len();
        }
        Ok(nats / tokens as f64)
    }

    /// The mean gradient of sequences, and the variance of one of them about it, summed over parameters.
    fn mean_gradient(&self, sequences: &[Vec<u32>]) -> Result<(Vec<f64>, f64), TrainerError> {
        let mut mean = vec![0.0; self.learner.elements()];
        let mut squares = 0.0;
        for sequence in sequences {
            let one = self.gradient_of(std::slice::from_ref(sequence))?;
            squares += dot(&one, &one);
            mean.iter_mut().zip(&one).for_each(|(mean, one)| *mean += one);
        }
        let count = sequences.len().max(1) as f64;
        mean.iter_mut().for_each(|mean| *mean /= count);
        let variance = (squares / count - dot(&mean, &mean)).max(0.0);
        Ok((mean, variance))
    }

    /// The gradient of the mean loss over the tokens of sequences.
    fn gradient_of(&self, sequences: &[Vec<u32>]) -> Result<Vec<f64>, TrainerError> {
        let mut gradient = vec![0.0; self.learner.elements()];
        let tokens = (sequences.len() * self.data().context()).max(1);
        self.learner.gradient(sequences, 1.0 / tokens as f32, &mut gradient).map_err(failed)?;
        Ok(gradient.into_iter().map(f64::from).collect())
    }

    fn drawn(&self, stream: u64, domain: usize, draws: &Range<u64>) -> Result<Vec<Vec<u32>>, TrainerError> {
        Ok(draws.clone().map(|draw| self.data().draw(stream, domain, draw)).collect::<Result<_, _>>()?)
    }

    fn held_out(&self, part: Part, domain: usize, indices: Range<u64>) -> Result<Vec<Vec<u32>>, TrainerError> {
        Ok(indices.map(|index| self.data().held_out_sequence(part, domain, index)).collect::<Result<_, _>>()?)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn failed(error: LearnerError) -> TrainerError {
    match error {
        LearnerError::Write { path, source } => TrainerError::File { operation: "write", path, source },
        LearnerError::Checkpoint { path, problem } => TrainerError::Checkpoint { path, problem },
        error => TrainerError::Failed { what: "the built-in trainer".into(), problem: error.to_string() },
    }
}
