//! Rows of several tensors read as if they were one tensor: see [`RowMap`].
//!
//! Where every row is one of the tensors' own type, bytes are copied; else a method sees f32: a row of another type, of a tensor that
//! is read through a lens, or one that is computed. Means are of f64 sums, over the rows in a fixed order.

use super::origin::{Reader, Stored};
use crate::{
    MergeError,
    plan::{Pick, RowMap, Run},
};
use braid_kernels::{Dtype, GRANULE, KernelError, Slice, SliceMut, convert, decode};
use rayon::prelude::*;
use std::sync::Arc;

/// The parts in which all rows are summed up, whatever the number of threads.
const PARTS: u64 = 32;

/// Rows of several tensors.
#[derive(Debug, Clone)]
pub struct Gathered {
    map: Arc<RowMap>,
    /// The tensors that rows are taken from, by model.
    parts: Vec<(usize, Stored)>,
    /// The elements of a row.
    row: u64,
    /// What a method sees.
    pub(super) dtype: Dtype,
    /// The row that is the mean of all.
    mean: Vec<f32>,
}

/// The bytes that it takes to compute the mean of all rows of `row` elements.
pub(crate) fn mean_bytes(row: u64) -> u64 {
    row.saturating_mul((PARTS + 2) * size_of::<f64>() as u64)
}

impl Gathered {
    /// The rows of `map`, of `row` elements each, from these tensors. `dtype` is that of the model whose rows they become. Where the
    /// last are the mean of all before them, these are read now.
    ///
    /// # Errors
    /// A read that failed; [`MergeError::Cancelled`].
    pub fn new(
        map: Arc<RowMap>,
        parts: Vec<(usize, Stored)>,
        row: u64,
        dtype: Dtype,
        reader: Reader<'_>,
    ) -> Result<Self, MergeError> {
        let plain = map.are_stored_as(dtype) && parts.iter().all(|(_, stored)| stored.lens.is_none());
        let dtype = if plain { dtype } else { Dtype::F32 };
        let mut rows = Self { map, parts, row: row.max(1), dtype, mean: Vec::new() };
        for (model, part) in &rows.parts {
            if let Some(taken) = rows.map.span(*model) {
                part.will_read(taken.start.saturating_mul(rows.row), (taken.end - taken.start).saturating_mul(rows.row));
            }
        }
        if let Some(count) = rows.map.padding().map(|run| run.first) {
            rows.mean = rows.mean_of(count, reader)?;
        }
        Ok(rows)
    }

    /// The bytes of an element in the spare memory of a read.
    pub(super) fn spare(&self) -> usize {
        let converted = self.parts.iter().filter(|(_, part)| part.lens.is_some() || part.dtype != self.dtype);
        converted.map(|(_, part)| part.dtype.size()).max().unwrap_or(0)
    }

    /// Fills `buffer` with the elements from `first` on; `spare` may be written over.
    pub(super) fn read(&self, reader: Reader<'_>, first: u64, buffer: &mut [u8], spare: &mut [u8]) -> Result<(), MergeError> {
        let runs = self.map.runs();
        let mut at = first;
        let mut rest = buffer;
        let begin = runs.partition_point(|run| (run.first + run.count) * self.row <= first);
        for run in runs.get(begin..).unwrap_or(&[]) {
            let left = (rest.len() / self.dtype.size()) as u64;
            let elements = ((run.first + run.count) * self.row - at).min(left);
            let (own, next) = std::mem::take(&mut rest).split_at_mut(elements as usize * self.dtype.size());
            self.run(run, at, own, spare, reader)?;
            (at, rest) = (at + elements, next);
            if rest.is_empty() {
                return Ok(());
            }
        }
        match rest.is_empty() {
            true => Ok(()),
            false => Err(MergeError::Task(format!("tensor {:?} has no element {at}", reader.tensor))),
        }
    }

    /// Fills `own` with the elements of a run from `at` on, counted in the whole.
    fn run(&self, run: &Run, at: u64, own: &mut [u8], spare: &mut [u8], reader: Reader<'_>) -> Result<(), MergeError> {
        let within = at - run.first * self.row;
        match &run.pick {
            Pick::From { model, row } => self.part(*model, row * self.row + within, own, spare, reader),
            // a zero of every float type
            Pick::Zero => {
                own.fill(0);
                Ok(())
            }
            Pick::Mean(rows) => {
                let mut sum = vec![0.0f64; own.len() / size_of::<f32>()];
                for (model, row) in rows {
                    self.part(*model, row * self.row + within, own, spare, reader)?;
                    add(&mut sum, Dtype::F32, own).map_err(|error| reader.explain(at, error))?;
                }
                let count = rows.len().max(1) as f64;
                fill(own, sum.iter().map(|sum| (sum / count) as f32));
                Ok(())
            }
            Pick::MeanOfAll => {
                let start = (within % self.row) as usize;
                fill(own, self.mean.iter().copied().cycle().skip(start));
                Ok(())
            }
        }
    }

    /// Fills `own` with the elements of a model's tensor from `first` on.
    fn part(&self, model: usize, first: u64, own: &mut [u8], spare: &mut [u8], reader: Reader<'_>) -> Result<(), MergeError> {
        let Some((_, part)) = self.parts.iter().find(|(of, _)| *of == model) else {
            return Err(MergeError::Task(format!("tensor {:?} has rows of no model {model}", reader.tensor)));
        };
        if part.lens.is_some() || part.dtype == self.dtype {
            return part.read(reader, first, own, spare).map(drop);
        }
        let raw = &mut spare[..own.len() / self.dtype.size() * part.dtype.size()];
        part.bytes(reader, first, raw)?;
        let converted = Slice::new(part.dtype, raw).and_then(|raw| convert(&raw, &mut SliceMut::new(self.dtype, own)?));
        converted.map_err(|error| reader.explain(first, error))
    }

    /// The mean of the first `count` rows.
    fn mean_of(&self, count: u64, reader: Reader<'_>) -> Result<Vec<f32>, MergeError> {
        let row = usize::try_from(self.row).map_err(|_| MergeError::Task("a row longer than memory".into()))?;
        let rows = count.div_ceil(PARTS).max(1);
        let sums = (0..count.div_ceil(rows)).into_par_iter().map(|part| {
            let mut sums = vec![0.0f64; row];
            let (mut buffer, mut spare) = (vec![0; GRANULE * self.dtype.size()], vec![0; GRANULE * self.spare()]);
            let end = ((part + 1) * rows).min(count) * self.row;
            let mut at = part * rows * self.row;
            while at < end {
                if reader.passes.context.is_cancelled() {
                    return Err(MergeError::Cancelled);
                }
                // never past the end of a row, so that sums and elements go together
                let column = at % self.row;
                let elements = (end - at).min(self.row - column).min(GRANULE as u64) as usize;
                let whole_rows = ((GRANULE as u64 / self.row) * self.row).min(end - at) as usize;
                let elements = if column == 0 { elements.max(whole_rows) } else { elements };
                let own = &mut buffer[..elements * self.dtype.size()];
                self.read(reader, at, own, &mut spare)?;
                let piece = self.dtype.size() * (self.row as usize).min(elements);
                for of_row in own.chunks(piece.max(1)) {
                    add(&mut sums[column as usize..], self.dtype, of_row).map_err(|error| reader.explain(at, error))?;
                }
                at += elements as u64;
            }
            Ok(sums)
        });
        let sums: Vec<Vec<f64>> = sums.collect::<Result<_, _>>()?;
        let total = (0..row).map(|column| sums.iter().map(|sums| sums[column]).sum::<f64>());
        Ok(total.map(|sum| if count == 0 { 0.0 } else { (sum / count as f64) as f32 }).collect())
    }
}

/// Adds elements to sums.
fn add(sums: &mut [f64], dtype: Dtype, bytes: &[u8]) -> Result<(), KernelError> {
    let values = decode(&Slice::new(dtype, bytes)?)?;
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(value));
    Ok(())
}

fn fill(own: &mut [u8], values: impl Iterator<Item = f32>) {
    own.chunks_exact_mut(size_of::<f32>()).zip(values).for_each(|(bytes, value)| bytes.copy_from_slice(&value.to_le_bytes()));
}
