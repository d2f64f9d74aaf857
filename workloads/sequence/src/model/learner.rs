//! A model in the middle of its training, on one thread: parameters, what the optimizer remembers, and the steps done.
//!
//! For those who train many small models side by side and decide themselves which sequences come when. It draws no data and plans
//! nothing. On which thread pool it runs is the caller's affair.

use super::{AdamW, Loss, Model, ModelConfig, ModelError, Moments, tensors};
use crate::parallel::{Layout, SequenceGroup};
use braid_kernels::attention::Documents;
use braid_workload::{Exchange, exchange::local};
use std::{
    io,
    path::{Path, PathBuf},
};

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";

/// A model with its optimizer.
pub struct Learner {
    model: Model,
    optimizer: AdamW,
    vocabulary: usize,
    parameters: Vec<f32>,
    moments: Moments,
    /// Elements that weight decay shrinks: those of matrices.
    decays: Vec<bool>,
    step: u64,
    alone: Box<dyn Exchange>,
}

/// Why a learner cannot be made, used, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LearnerError {
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A token that the model does not know.
    #[error("token {token} is beyond the vocabulary of {vocabulary}")]
    Token {
        /// Which.
        token: u32,
        /// How many there are.
        vocabulary: usize,
    },
    /// A checkpoint that is none of this model.
    #[error("the checkpoint {}: {problem}", path.display())]
    Checkpoint {
        /// Which.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// A checkpoint that cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Learner {
    /// A model that has learnt nothing: the same for the same seed, on every machine.
    ///
    /// # Errors
    /// [`ModelError::Size`] for sizes that no model has.
    pub fn begin(config: &ModelConfig, optimizer: AdamW, vocabulary: usize, seed: u64) -> Result<Self, LearnerError> {
        let model = Model::new(config, vocabulary)?;
        let elements = model.table().elements();
        let mut decays = vec![false; elements];
        for place in model.table().places().iter().filter(|place| place.shape.len() > 1) {
            decays[place.range.clone()].fill(true);
        }
        let parameters = model.table().begin(seed);
        let alone = Box::new(local::group(1).remove(0));
        Ok(Self { model, optimizer, vocabulary, parameters, moments: Moments::zeros(elements), decays, step: 0, alone })
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Parameters of the model.
    pub fn elements(&self) -> usize {
        self.parameters.len()
    }

    /// The learning rate of the next step.
    pub fn rate(&self, schedule: u64) -> f32 {
        self.optimizer.rate(self.step, schedule)
    }

    /// The loss of sequences (each token against the next), and `scale ·` its gradient, added to `gradient`.
    ///
    /// # Errors
    /// [`LearnerError::Token`].
    pub fn gradient(&self, sequences: &[Vec<u32>], scale: f32, gradient: &mut [f32]) -> Result<Loss, LearnerError> {
        let (layout, tokens) = self.packed(sequences)?;
        let group = SequenceGroup::new(&*self.alone, &layout).map_err(ModelError::from)?;
        Ok(self.model.train(&self.parameters, &group, &tokens, scale, gradient)?)
    }

    /// The loss of each token but the first of each sequence, in nats and in order.
    ///
    /// # Errors
    /// [`LearnerError::Token`].
    pub fn losses(&self, sequences: &[Vec<u32>]) -> Result<Vec<f32>, LearnerError> {
        let (layout, tokens) = self.packed(sequences)?;
        let group = SequenceGroup::new(&*self.alone, &layout).map_err(ModelError::from)?;
        Ok(self.model.losses(&self.parameters, &group, &tokens)?)
    }

    /// Makes a step of a training of `schedule` steps.
    pub fn update(&mut self, gradient: &[f32], schedule: u64) {
        let decays = |index: usize| self.decays.get(index).copied().unwrap_or(false);
        self.optimizer.step((self.step, schedule), &mut self.parameters, gradient, &mut self.moments, decays);
        self.step += 1;
    }

    /// Writes a checkpoint into a folder that is there.
    ///
    /// # Errors
    /// [`LearnerError::Write`].
    pub fn save(&self, folder: &Path) -> Result<(), LearnerError> {
        let write = |name: &str, groups: &[(&str, &[f32])]| {
            let path = folder.join(name);
            tensors::write(&path, self.model.table(), groups).map_err(|source| LearnerError::Write { path, source })
        };
        write(MODEL, &[("", &self.parameters)])?;
        write(OPTIMIZER, &[("mean.", &self.moments.mean), ("square.", &self.moments.square)])
    }

    /// Goes on from a checkpoint of `step` steps.
    ///
    /// # Errors
    /// [`LearnerError::Checkpoint`].
    pub fn load(&mut self, folder: &Path, step: u64) -> Result<(), LearnerError> {
        self.load_model(folder)?;
        let read = |prefix: &str| self.read(folder, OPTIMIZER, prefix);
        self.moments = Moments { mean: read("mean.")?, square: read("square.")? };
        self.step = step;
        Ok(())
    }

    /// Takes the parameters of a checkpoint alone.
    ///
    /// # Errors
    /// [`LearnerError::Checkpoint`].
    pub fn load_model(&mut self, folder: &Path) -> Result<(), LearnerError> {
        self.parameters = self.read(folder, MODEL, "")?;
        Ok(())
    }

    /// Takes the weighted sum of the parameters of checkpoints, added up in f64 and in order.
    ///
    /// # Errors
    /// [`LearnerError::Checkpoint`].
    pub fn blend(&mut self, parts: &[(f64, PathBuf)]) -> Result<(), LearnerError> {
        let mut sums = vec![0.0f64; self.parameters.len()];
        for (weight, folder) in parts {
            let values = self.read(folder, MODEL, "")?;
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * f64::from(value));
        }
        self.parameters.iter_mut().zip(sums).for_each(|(parameter, sum)| *parameter = sum as f32);
        Ok(())
    }

    fn read(&self, folder: &Path, name: &str, prefix: &str) -> Result<Vec<f32>, LearnerError> {
        let problem = |problem| LearnerError::Checkpoint { path: folder.to_owned(), problem };
        tensors::read(&folder.join(name), self.model.table(), prefix).map_err(problem)
    }

    fn packed(&self, sequences: &[Vec<u32>]) -> Result<(Layout, Vec<u32>), LearnerError> {
        let tokens: Vec<u32> = sequences.concat();
        let vocabulary = self.vocabulary;
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            return Err(LearnerError::Token { token, vocabulary });
        }
        Ok((Layout::balanced(Documents::of_lengths(sequences.iter().map(Vec::len)), 1), tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Epsilon, Mixing};

    fn learner(seed: u64) -> Learner {
        let layers = vec![Mixing::Gla, Mixing::Softmax];
        let config = ModelConfig { width: 16, heads: 2, head_dim: 8, mlp_width: 24, layers, norm_epsilon: Epsilon(1e-6) };
        Learner::begin(&config, AdamW { lr: 1e-2, warmup: 2, ..AdamW::default() }, 64, seed).unwrap()
    }

    fn sequences(step: u64) -> Vec<Vec<u32>> {
        (0..4u64).map(|row| (0..17u64).map(|at| ((at * (row + 3) + step) % 61) as u32).collect()).collect()
    }

    fn train(learner: &mut Learner, steps: std::ops::Range<u64>) -> Vec<f64> {
        let step = |step| {
            let mut gradient = vec![0.0; learner.elements()];
            let loss = learner.gradient(&sequences(step % 3), 1.0 / 64.0, &mut gradient).unwrap();
            learner.update(&gradient, 40);
            loss.nats / loss.tokens as f64
        };
        steps.map(step).collect()
    }

    #[test]
    fn it_learns_and_goes_on_from_a_checkpoint_as_if_nothing_had_happened() {
        let folder = tempfile::tempdir().unwrap();
        let mut whole = learner(1);
        let before = train(&mut whole, 0..20);
        whole.save(folder.path()).unwrap();
        let after = train(&mut whole, 20..40);
        assert!(after[19] < before[0] * 0.7, "{before:?} {after:?}");
        let mut again = learner(9);
        again.load(folder.path(), 20).unwrap();
        assert_eq!(train(&mut again, 20..40), after);
        assert!(learner(1).load(&folder.path().join("no"), 1).is_err());
    }

    #[test]
    fn losses_of_tokens_add_up_to_that_of_the_gradient() {
        let learner = learner(2);
        let mut gradient = vec![0.0; learner.elements()];
        let loss = learner.gradient(&sequences(0), 1.0, &mut gradient).unwrap();
        let losses = learner.losses(&sequences(0)).unwrap();
        assert_eq!(losses.len() as u64, loss.tokens);
        let sum: f64 = losses.iter().map(|&x| f64::from(x)).sum();
        assert!((sum - loss.nats).abs() < 1e-4 * loss.nats, "{sum} {loss:?}");
        assert!(matches!(learner.losses(&[vec![1, 64]]), Err(LearnerError::Token { token: 64, .. })));
    }

    #[test]
    fn a_blend_is_the_weighted_sum() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let learners = [(&a, learner(1)), (&b, learner(2))];
        for (path, learner) in &learners {
            std::fs::create_dir(path).unwrap();
            learner.save(path).unwrap();
        }
        let mut blended = learner(3);
        blended.blend(&[(0.25, a.clone()), (0.75, b.clone())]).unwrap();
        let [(_, first), (_, second)] = &learners;
        for ((blend, a), b) in blended.parameters.iter().zip(&first.parameters).zip(&second.parameters) {
            assert!((f64::from(*blend) - (0.25 * f64::from(*a) + 0.75 * f64::from(*b))).abs() < 1e-7);
        }
    }
}
