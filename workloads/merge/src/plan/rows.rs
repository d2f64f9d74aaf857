//! RowMap of a source that are not those of one tensor in their order: what a token's embedding is in a model whose tokenizer
//! numbers it otherwise, or does not know it. Pure: reading them is [`crate::run`]'s business.

use braid_kernels::Dtype;
use serde_json::{Value, json};
use std::{collections::BTreeMap, ops::Range};

/// Where the rows of a source come from: runs of rows, which follow each other without a gap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowMap {
    runs: Vec<Run>,
    /// The types of the tensors that rows are taken from, by model. All have the name of the source's.
    parts: BTreeMap<usize, Dtype>,
    count: u64,
}

/// Some rows, one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The first of them.
    pub first: u64,
    /// How many they are.
    pub count: u64,
    /// What they are.
    pub pick: Pick,
}

/// What rows are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// Those of a model, from this one on.
    From {
        /// The model.
        model: usize,
        /// The row there that is the first.
        row: u64,
    },
    /// Zeros.
    Zero,
    /// The mean of these rows, each of a model; a single row.
    Mean(Vec<(usize, u64)>),
    /// The mean of all rows before this run.
    MeanOfAll,
}

impl RowMap {
    /// Adds `count` rows.
    pub(super) fn push(&mut self, count: u64, pick: Pick) {
        let first = self.count;
        self.count = self.count.saturating_add(count);
        match (self.runs.last_mut(), &pick) {
            (Some(Run { count: before, pick: Pick::Zero, .. }), Pick::Zero) => *before += count,
            (Some(Run { count: before, pick: Pick::From { model, row }, .. }), Pick::From { model: next, row: at })
                if model == next && *row + *before == *at =>
            {
                *before += count;
            }
            _ => self.runs.push(Run { first, count, pick }),
        }
    }

    /// Notes the types of the tensors that rows are taken from; `dtype` knows that of each model.
    pub(super) fn typed(mut self, dtype: impl Fn(usize) -> Option<Dtype>) -> Self {
        let models: Vec<usize> = self.runs.iter().flat_map(|run| models(&run.pick)).collect();
        self.parts = models.into_iter().filter_map(|model| Some((model, dtype(model)?))).collect();
        self
    }

    /// Whether these are the `rows` rows of this model as they are.
    pub(super) fn is_all_of(&self, model: usize, rows: u64) -> bool {
        self.count == rows
            && matches!(self.runs.as_slice(), [Run { pick: Pick::From { model: only, row: 0 }, .. }] if *only == model)
    }

    /// How many rows there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All runs, in order.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The models that rows are taken from, with the types of their tensors.
    pub fn parts(&self) -> impl Iterator<Item = (usize, Dtype)> + '_ {
        self.parts.iter().map(|(model, dtype)| (*model, *dtype))
    }

    /// The rows of a model between the first and the last that is taken; `None` where none is.
    pub fn span(&self, model: usize) -> Option<Range<u64>> {
        let of_run = |run: &Run| match &run.pick {
            Pick::From { model, row } => vec![(*model, *row..row.saturating_add(run.count))],
            Pick::Mean(rows) => rows.iter().map(|(model, row)| (*model, *row..row.saturating_add(1))).collect(),
            Pick::Zero | Pick::MeanOfAll => Vec::new(),
        };
        let taken = self.runs.iter().flat_map(of_run).filter(|(of, _)| *of == model).map(|(_, rows)| rows);
        taken.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
    }

    /// The last run, where it is the mean of all rows before it.
    pub fn padding(&self) -> Option<&Run> {
        self.runs.last().filter(|run| run.pick == Pick::MeanOfAll)
    }

    /// Whether all rows are some of one type, so that none has to be computed.
    pub fn are_stored_as(&self, dtype: Dtype) -> bool {
        self.parts.values().all(|part| *part == dtype)
            && self.runs.iter().all(|run| matches!(run.pick, Pick::From { .. } | Pick::Zero))
    }

    /// The bytes that are read for all rows once, of `elements` elements each.
    pub fn bytes(&self, elements: u64) -> u64 {
        let size = |model: usize| self.parts.get(&model).map_or(0, |dtype| dtype.size() as u64);
        let rows = self.runs.iter().map(|run| match &run.pick {
            Pick::From { model, .. } => run.count.saturating_mul(size(*model)),
            Pick::Mean(rows) => rows.iter().map(|(model, _)| size(*model)).sum(),
            Pick::Zero | Pick::MeanOfAll => 0,
        });
        rows.fold(0, u64::saturating_add).saturating_mul(elements)
    }

    /// All that decides what the rows are.
    pub(crate) fn canonical(&self) -> Value {
        let run = |run: &Run| match &run.pick {
            Pick::From { model, row } => json!([run.count, model, row]),
            Pick::Zero => json!([run.count]),
            Pick::Mean(rows) => json!([run.count, rows]),
            Pick::MeanOfAll => json!([run.count, "mean"]),
        };
        self.runs.iter().map(run).collect()
    }
}

fn models(pick: &Pick) -> Vec<usize> {
    match pick {
        Pick::From { model, .. } => vec![*model],
        Pick::Mean(rows) => rows.iter().map(|(model, _)| *model).collect(),
        Pick::Zero | Pick::MeanOfAll => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_follow_each_other_are_one_run() {
        let mut rows = RowMap::default();
        for row in [0, 1, 2, 5, 6] {
            rows.push(1, Pick::From { model: 3, row });
        }
        rows.push(1, Pick::From { model: 4, row: 7 });
        rows.push(1, Pick::Zero);
        rows.push(1, Pick::Zero);
        rows.push(1, Pick::Mean(vec![(3, 0), (5, 1)]));
        rows.push(7, Pick::MeanOfAll);
        let rows = rows.typed(|model| Some(if model == 3 { Dtype::BF16 } else { Dtype::F32 }));
        let found: Vec<(u64, u64)> = rows.runs().iter().map(|run| (run.first, run.count)).collect();
        assert_eq!(found, [(0, 3), (3, 2), (5, 1), (6, 2), (8, 1), (9, 7)]);
        assert_eq!((rows.count(), rows.padding().map(|run| run.first)), (16, Some(9)));
        assert_eq!([3, 4, 5, 6].map(|model| rows.span(model)), [Some(0..7), Some(7..8), Some(1..2), None]);
        assert_eq!(rows.bytes(10), (5 * 2 + 4 + 2 + 4) * 10);
        assert!(!rows.are_stored_as(Dtype::BF16) && !rows.is_all_of(3, 16));
        assert_eq!(rows.canonical().to_string(), r#"[[3,3,0],[2,3,5],[1,4,7],[2],[1,[[3,0],[5,1]]],[7,"mean"]]"#);
    }

    #[test]
    fn all_rows_of_a_model_are_the_model() {
        let mut rows = RowMap::default();
        rows.push(4, Pick::From { model: 1, row: 0 });
        let rows = rows.typed(|_| Some(Dtype::F16));
        assert!(rows.is_all_of(1, 4) && !rows.is_all_of(1, 5) && !rows.is_all_of(0, 4));
        assert!(rows.are_stored_as(Dtype::F16) && !rows.are_stored_as(Dtype::F32));
    }
}
