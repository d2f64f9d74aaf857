//! The whole model over one group's shard of a packed sequence: tokens in, loss and gradients out.

use super::{
    Loss, ModelConfig, ModelError, Table,
    dense::{rms_norm, rms_norm_backward},
    layer::Layer,
    loss::{cross_entropy, losses},
};
use crate::parallel::SequenceGroup;
use braid_gpu::Attending;
use std::{ops::Range, sync::Arc};

/// A hybrid language model. Its parameters are the caller's: one slice in the order of [`Model::table`].
pub struct Model {
    table: Table,
    layers: Vec<Layer>,
    embedding: Range<usize>,
    norm: Range<usize>,
    head: Range<usize>,
    width: usize,
    epsilon: f32,
}

impl Model {
    /// The model of these sizes over a vocabulary.
    ///
    /// # Errors
    /// [`ModelError::Size`] for sizes that no model has.
    pub fn new(config: &ModelConfig, vocabulary: usize) -> Result<Self, ModelError> {
        Self::on(config, vocabulary, &Arc::new(Attending::cpu()))
    }

    /// The same, whose attention these GPUs compute where they can.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn on(config: &ModelConfig, vocabulary: usize, gpus: &Arc<Attending>) -> Result<Self, ModelError> {
        config.check(vocabulary)?;
        let table = Table::of(config, vocabulary);
        let layers = (0..config.layers.len()).map(|index| Layer::new(config, &table, index, gpus)).collect();
        let (embedding, norm) = (table.range("model.embed_tokens.weight"), table.range("model.norm.weight"));
        let head = table.range("lm_head.weight");
        Ok(Self { table, layers, embedding, norm, head, width: config.width, epsilon: config.norm_epsilon.0 })
    }

    /// Which tensor is where.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The loss of the shard's own tokens against their successors, and `scale ·` its gradient, added to `gradient`.
    ///
    /// `tokens` are those of the whole packed sequence. All ranks of the group call it together.
    ///
    /// # Errors
    /// [`ModelError`] when the exchange with the group fails.
    pub fn train(
        &self,
        parameters: &[f32],
        group: &SequenceGroup<'_>,
        tokens: &[u32],
        scale: f32,
        gradient: &mut [f32],
    ) -> Result<Loss, ModelError> {
        let own = group.own();
        let mut x = self.embed(parameters, &tokens[own.clone()]);
        let mut kept = vec![];
        for layer in &self.layers {
            let (next, keep) = layer.forward(parameters, group, x)?;
            kept.push(keep);
            x = next;
        }
        let normed = rms_norm(&x, &parameters[self.norm.clone()], self.epsilon);
        let targets = successors(group, tokens);
        let head = &parameters[self.head.clone()];
        let (loss, d_normed) = cross_entropy(&normed, head, &targets, scale, &mut gradient[self.head.clone()], self.width);
        let norm = &mut gradient[self.norm.clone()];
        let mut d_x = rms_norm_backward(&x, &parameters[self.norm.clone()], &d_normed, norm, self.epsilon);
        for (layer, keep) in self.layers.iter().zip(kept).rev() {
            d_x = layer.backward(parameters, group, keep, d_x, gradient)?;
        }
        let embedding = &mut gradient[self.embedding.clone()];
        for (row, &token) in d_x.chunks(self.width).zip(&tokens[own]) {
            let at = token as usize * self.width;
            embedding[at..at + self.width].iter_mut().zip(row).for_each(|(to, value)| *to += value);
        }
        Ok(loss)
    }

    /// The loss of each of the shard's own tokens that has a successor, in nats and in order. Computes no gradient. All ranks of the
    /// group call it together.
    ///
    /// # Errors
    /// [`ModelError`] when the exchange with the group fails.
    pub fn losses(&self, parameters: &[f32], group: &SequenceGroup<'_>, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        let mut x = self.embed(parameters, &tokens[group.own()]);
        for layer in &self.layers {
            (x, _) = layer.forward(parameters, group, x)?;
        }
        let normed = rms_norm(&x, &parameters[self.norm.clone()], self.epsilon);
        Ok(losses(&normed, &parameters[self.head.clone()], &successors(group, tokens), self.width))
    }

    fn embed(&self, parameters: &[f32], tokens: &[u32]) -> Vec<f32> {
        let embedding = &parameters[self.embedding.clone()];
        let mut x = Vec::with_capacity(tokens.len() * self.width);
        for &token in tokens {
            let at = token as usize * self.width;
            x.extend_from_slice(&embedding[at..at + self.width]);
        }
        x
    }
}

/// The token after each of the shard's own, unless it is the last of its document.
fn successors(group: &SequenceGroup<'_>, tokens: &[u32]) -> Vec<Option<u32>> {
    let mut targets = vec![];
    for segment in group.documents().segments(group.own()) {
        targets.extend(segment.tokens.clone().map(|token| tokens.get(token + 1).copied()));
        if segment.last
            && let Some(last) = targets.last_mut()
        {
            *last = None;
        }
    }
    targets
}
