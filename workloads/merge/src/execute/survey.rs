//! Looking at some tensors for what a method asks about whole models. Nothing is written.

use super::{Job, tensors::batches};
use crate::{
    MergeError,
    output::{Scratch, Staged},
    plan::{PlannedPiece, PlannedTensor},
    run::{Tiles, each},
    step::Looked,
    survey::{Asked, Finding, Look, Survey},
};
use braid_kernels::{Buckets, KernelError};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

impl Job<'_> {
    /// What a task of a survey finds.
    pub(super) fn survey(&self, asked: &Asked) -> Result<Looked, MergeError> {
        let plan = &self.opened.plan;
        let (Some(survey), Some(tensors)) = (plan.method.survey(), plan.tensors.get(asked.first..asked.end)) else {
            return Err(MergeError::Task(format!("tensors {}..{} of no survey", asked.first, asked.end)));
        };
        let merged = |(at, tensor): (usize, &PlannedTensor)| tensor.is_merged_by(plan.method).then_some(asked.first + at);
        let tensors: Vec<usize> = tensors.iter().enumerate().filter_map(merged).collect();
        match &asked.look {
            Look::Sums(count) => self.sums(survey, &tensors, *count),
            Look::Counts(buckets) => {
                let of = |&(low, shift, intervals): &(u32, u32, u32)| Buckets { low, shift, intervals };
                let buckets: Vec<Vec<Buckets>> = buckets.iter().map(|source| source.iter().map(of).collect()).collect();
                self.counts(survey, &tensors, &buckets)
            }
        }
    }

    fn sums(&self, survey: &dyn Survey, tensors: &[usize], count: usize) -> Result<Looked, MergeError> {
        let found = Mutex::new(BTreeMap::new());
        let read = self.look(tensors, |index, tensor, tiles| {
            let sums = survey.sums(&self.answers, &tensor.parameters, tiles)?;
            if sums.len() != count {
                return Err(MergeError::Task(format!("{} sums of tensor {:?} instead of {count}", sums.len(), tensor.name)));
            }
            found.lock().unwrap_or_else(PoisonError::into_inner).insert(index, sums);
            Ok(())
        })?;
        let mut sums = vec![0.0f64; count];
        for of_tensor in found.into_inner().unwrap_or_else(PoisonError::into_inner).values() {
            sums.iter_mut().zip(of_tensor).for_each(|(sum, part)| *sum += part);
        }
        Ok(Looked { finding: Finding::Sums(sums.into_iter().map(f64::to_bits).collect()), read })
    }

    fn counts(&self, survey: &dyn Survey, tensors: &[usize], buckets: &[Vec<Buckets>]) -> Result<Looked, MergeError> {
        let zeros = || -> Vec<Vec<Vec<u64>>> {
            buckets.iter().map(|source| source.iter().map(|buckets| vec![0; buckets.counts()]).collect()).collect()
        };
        let totals = Mutex::new(zeros());
        let read = self.look(tensors, |_, tensor, tiles| {
            let count = |tile: &crate::run::Tile<'_>| {
                let mut own = zeros();
                for (index, (buckets, counts)) in buckets.iter().zip(&mut own).enumerate() {
                    if !buckets.is_empty() {
                        let source = survey.source(&self.answers, &tensor.parameters, tile, index)?;
                        self.arithmetic.count_in_buckets(&source, buckets, counts)?;
                    }
                }
                let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
                let pairs = totals.iter_mut().flatten().flatten().zip(own.into_iter().flatten().flatten());
                pairs.for_each(|(total, own)| *total += own);
                Ok::<_, KernelError>(())
            };
            tiles.measure(count).map(drop)
        })?;
        let totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
        let finding = Finding::of_counts(&totals.into_iter().flatten().flatten().collect::<Vec<_>>());
        Ok(Looked { finding, read })
    }

    /// Passes over each of these tensors. Returns the bytes that were read.
    fn look(
        &self,
        tensors: &[usize],
        f: impl Fn(usize, &PlannedTensor, &Tiles<'_>) -> Result<(), MergeError> + Sync,
    ) -> Result<u64, MergeError> {
        let Staged::Open(_staging) = self.staged()? else {
            return Err(MergeError::Changed { path: self.opened.output.staging().to_owned() });
        };
        let (passes, shards) = (self.passes(), Scratch::of_nothing());
        let one = |index: usize| {
            let (tensor, target) = self.target(index, &shards)?;
            f(index, tensor, &Tiles::new(target, self.opened.inputs(tensor, &passes)?, &passes)?)?;
            self.context.progress.add(tensor.bytes_in());
            Ok(())
        };
        // what is made whole is looked at whole, and only so much of it at a time as there is memory for
        let whole = |piece: &&PlannedPiece| piece.tensors.clone().any(|index| tensors.contains(&index));
        let pieces: Vec<&PlannedPiece> = self.opened.plan.pieces.iter().filter(whole).collect();
        let in_piece = |index: &usize| pieces.iter().any(|piece| piece.tensors.contains(index));
        let alone: Vec<usize> = tensors.iter().copied().filter(|index| !in_piece(index)).collect();
        each(&self.context.pool, &alone, |_, index| one(*index))?;
        for batch in batches(pieces.iter().copied(), passes.memory) {
            each(&self.context.pool, &batch, |_, piece| piece.tensors.clone().try_for_each(one))?;
        }
        Ok(passes.read.into_inner())
    }
}
