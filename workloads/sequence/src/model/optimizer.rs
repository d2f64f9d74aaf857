//! AdamW (arXiv 1711.05101) over one slice, with clipping by the global norm. Every rank holds it whole and, given the same
//! gradients, makes the same step.

use serde::{Deserialize, Serialize};

/// How to step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamW {
    /// The learning rate after warming up.
    pub lr: f32,
    /// Steps in which it grows from 0.
    pub warmup: u64,
    /// What is left of it at the last step, by half a cosine.
    pub final_lr: f32,
    /// Memory of the mean.
    pub beta1: f32,
    /// Memory of the square.
    pub beta2: f32,
    /// Added to the root of the square.
    pub epsilon: f32,
    /// How much weights shrink by, for each unit of learning rate. Vectors are left alone.
    pub weight_decay: f32,
    /// The norm of the gradient beyond which it is scaled down.
    pub clip: f32,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { lr: 3e-3, warmup: 20, final_lr: 3e-4, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1, clip: 1.0 }
    }
}

/// What it remembers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moments {
    /// Mean of the gradient.
    pub mean: Vec<f32>,
    /// Mean of its square.
    pub square: Vec<f32>,
}

impl Moments {
    /// Those of a training that has not begun.
    pub fn zeros(elements: usize) -> Self {
        Self { mean: vec![0.0; elements], square: vec![0.0; elements] }
    }
}

impl AdamW {
    /// Whether every number is one that a training can use; else the field.
    pub fn check(&self) -> Result<(), (&'static str, f32)> {
        let positive = [("lr", self.lr), ("epsilon", self.epsilon), ("clip", self.clip)];
        let not_negative = [("final_lr", self.final_lr), ("weight_decay", self.weight_decay)];
        let memories = [("beta1", self.beta1), ("beta2", self.beta2)];
        let wrong = positive.into_iter().find(|(_, value)| !(*value > 0.0 && value.is_finite()));
        let wrong = wrong.or_else(|| not_negative.into_iter().find(|(_, value)| !(*value >= 0.0 && value.is_finite())));
        wrong.or_else(|| memories.into_iter().find(|(_, value)| !(0.0..1.0).contains(value))).map_or(Ok(()), Err)
    }

    /// The learning rate of a step, counted from 0, of so many.
    pub fn rate(&self, step: u64, steps: u64) -> f32 {
        if step < self.warmup {
            return self.lr * (step + 1) as f32 / self.warmup as f32;
        }
        let past = (step - self.warmup) as f32 / steps.saturating_sub(self.warmup).max(1) as f32;
        let cosine = 0.5 * (1.0 + libm::cosf(std::f32::consts::PI * past.min(1.0)));
        self.final_lr + (self.lr - self.final_lr) * cosine
    }

    /// Makes step `step` of `steps`. `decays` says which elements shrink. Returns the norm of the gradient before clipping.
    pub fn step(
        &self,
        (step, steps): (u64, u64),
        parameters: &mut [f32],
        gradient: &[f32],
        moments: &mut Moments,
        decays: impl Fn(usize) -> bool,
    ) -> f64 {
        let norm = gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt();
        let scale = if norm > f64::from(self.clip) { (f64::from(self.clip) / norm) as f32 } else { 1.0 };
        let rate = self.rate(step, steps);
        let exponent = i32::try_from(step + 1).unwrap_or(i32::MAX);
        let (fix_mean, fix_square) = (1.0 - self.beta1.powi(exponent), 1.0 - self.beta2.powi(exponent));
        for (index, (parameter, gradient)) in parameters.iter_mut().zip(gradient).enumerate() {
            let gradient = gradient * scale;
            let (mean, square) = (&mut moments.mean[index], &mut moments.square[index]);
            *mean = self.beta1 * *mean + (1.0 - self.beta1) * gradient;
            *square = self.beta2 * *square + (1.0 - self.beta2) * gradient * gradient;
            let shrink = if decays(index) { self.weight_decay * *parameter } else { 0.0 };
            *parameter -= rate * (*mean / fix_mean / ((*square / fix_square).sqrt() + self.epsilon) + shrink);
        }
        norm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_walks_to_the_bottom_of_a_bowl() {
        let adam = AdamW { lr: 0.1, warmup: 5, weight_decay: 0.0, ..AdamW::default() };
        let mut parameters = vec![3.0, -2.0];
        let mut moments = Moments::zeros(2);
        for step in 0..200 {
            let gradient: Vec<f32> = parameters.iter().map(|x| 2.0 * (x - 1.0)).collect();
            adam.step((step, 200), &mut parameters, &gradient, &mut moments, |_| false);
        }
        assert!(parameters.iter().all(|x| (x - 1.0).abs() < 0.05), "{parameters:?}");
    }

    #[test]
    fn the_rate_rises_then_falls() {
        let adam = AdamW { lr: 1.0, warmup: 10, final_lr: 0.1, ..AdamW::default() };
        assert_eq!(adam.rate(0, 100), 0.1);
        assert_eq!(adam.rate(9, 100), 1.0);
        assert!(adam.rate(50, 100) < 1.0 && adam.rate(50, 100) > 0.1);
        assert!((adam.rate(100, 100) - 0.1).abs() < 1e-6);
    }
}
