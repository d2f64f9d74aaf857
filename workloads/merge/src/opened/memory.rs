//! The memory that a merge needs at least, from its plan.

use super::Opened;
use crate::{
    checkpoint::part_bytes,
    output::Output,
    plan::{PlannedTensor, Source},
    run::mean_bytes,
};
use braid_kernels::GRANULE;

impl Opened {
    /// The least memory that a task needs: twice what it works in, which is half of what it may hold; and where its shards go to a
    /// store, one of their parts, for which there is a quarter.
    pub(crate) fn memory(&self) -> u64 {
        let part = |bytes: u64| part_bytes(bytes).min(bytes).saturating_mul(4);
        let parts = match self.output {
            Output::Folder(_) => 0,
            Output::Prefix(_) => self.layout.shards.iter().map(|shard| part(shard.bytes)).max().unwrap_or(0),
        };
        self.tile_bytes().max(self.piece_bytes()).saturating_mul(2).max(parts)
    }

    /// The least memory for the buffers of one tile, of the largest kind that occurs.
    pub(crate) fn tile_bytes(&self) -> u64 {
        let per_element = self.plan.tensors.iter().map(|tensor| {
            let element = tensor.sources.iter().map(|source| source.dtype.size() as u64 + self.beside(source)).sum::<u64>()
                + tensor.dtype.size() as u64
                + tensor.parameters.scaling.map_or(0, |_| size_of::<f32>() as u64);
            // rows reach out of a tile by up to a granule on both sides
            if tensor.method.whole_rows(&tensor.parameters) { 3 * element } else { element }
        });
        per_element.max().unwrap_or(0).saturating_mul(GRANULE as u64).saturating_add(self.factor_bytes())
    }

    /// What an element of a source takes beside its own bytes: what a lens makes of it is f32, and so are rows that are computed; what an
    /// earlier recipe makes takes its sources.
    pub(super) fn beside(&self, source: &Source) -> u64 {
        if let Some(stage) = self.composed_by(source) {
            let sources = stage.tensor(&source.tensor).map_or(&[][..], |tensor| &tensor.sources);
            return sources.iter().map(|source| source.dtype.size() as u64 + stage.beside(source)).sum();
        }
        let scaled = self.checkpoints.get(source.model).is_some_and(|model| model.scales.contains_key(&source.tensor));
        let computed = scaled || self.fold(source).is_some() || source.rows.is_some();
        if computed { size_of::<f32>() as u64 } else { 0 }
    }

    /// The most memory that the factors of a tensor's folds take, and the means of its rows.
    fn factor_bytes(&self) -> u64 {
        self.plan.tensors.iter().map(|tensor| self.factors_of(tensor)).max().unwrap_or(0)
    }

    fn factors_of(&self, tensor: &PlannedTensor) -> u64 {
        let of = |source: &Source| match self.composed_by(source) {
            Some(stage) => stage.tensor(&source.tensor).map_or(0, |tensor| stage.factors_of(tensor)),
            None => {
                let mean = if source.bytes_ahead() > 0 { mean_bytes(source.row_elements()) } else { 0 };
                self.fold(source).map_or(0, |fold| fold.factors.memory()).saturating_add(mean)
            }
        };
        tensor.sources.iter().map(of).fold(0, u64::saturating_add)
    }

    /// The most memory that a piece of work holds.
    pub(crate) fn piece_bytes(&self) -> u64 {
        self.plan.pieces.iter().map(|piece| piece.memory).max().unwrap_or(0)
    }
}
