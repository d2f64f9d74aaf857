//! Taking tensors from the earlier result that the user has named, where they would come out the same.

use super::Job;
use crate::{
    MergeError,
    open_files::OpenFiles,
    output::{Digest, Record, ShardFile},
    plan::{PlannedTensor, Source},
    reuse::{Earlier, Previous, part},
    run::{Passes, copy_range, hash_range},
};
use std::{ops::Range, sync::atomic::Ordering};

impl Job<'_> {
    /// Copies these tensors, which are made together or are one, from the earlier result; `None` where there is none that has
    /// all of them, made in the same way of the same bytes. What was written then is to be written over.
    pub(super) fn take(
        &self,
        tensors: Range<usize>,
        passes: &Passes<'_>,
        shards: &OpenFiles<ShardFile>,
    ) -> Result<Option<Vec<Record>>, MergeError> {
        let Some(previous) = &self.opened.previous else { return Ok(None) };
        let mut found: Vec<(usize, &Earlier)> = Vec::new();
        for index in tensors {
            let (tensor, _) = self.tensor(index)?;
            // rows of several models have no digests by which they could be told apart before they are read
            // and what another recipe makes of its models is not in this part of the recipe
            if tensor.sources.iter().any(|source| source.rows.is_some() || self.opened.is_made(source.model)) {
                return Ok(None);
            }
            let Some(earlier) = previous.tensor(&tensor.name) else { return Ok(None) };
            if earlier.part.map(|digest| digest.0) != Some(part(self.opened, index, &self.answers)?) {
                return Ok(None);
            }
            // the tensors of a piece have the same inputs, which are looked at once
            let looked_at = found.first().is_some_and(|(_, first)| first.inputs == earlier.inputs);
            if !looked_at && !self.same_inputs(previous, tensor, earlier, passes)? {
                return Ok(None);
            }
            found.push((index, earlier));
        }
        let mut records = Vec::with_capacity(found.len());
        for (index, earlier) in found {
            if !self.copy(previous, index, earlier, passes, shards)? {
                return Ok(None);
            }
            let inputs = earlier.inputs.iter().map(|(_, digest)| *digest).collect();
            records.push(Record { tensor: index, output: earlier.output, inputs, note: earlier.note.clone(), taken: true });
        }
        let moved = |record: &Record| self.tensor(record.tensor).map_or(0, |(tensor, _)| tensor.bytes_in() + tensor.bytes_out());
        self.context.progress.add_reused(records.iter().map(moved).sum());
        Ok(Some(records))
    }

    /// Whether the inputs of a tensor are the bytes that the earlier merge read. They are read only where their file has changed.
    fn same_inputs(
        &self,
        previous: &Previous,
        tensor: &PlannedTensor,
        earlier: &Earlier,
        passes: &Passes<'_>,
    ) -> Result<bool, MergeError> {
        if earlier.inputs.len() != tensor.sources.len() {
            return Ok(false);
        }
        let pairs = || tensor.sources.iter().zip(&earlier.inputs);
        let unknown = pairs().filter(|(source, (model, _))| !previous.same_files(source.model, *model));
        for (source, (_, digest)) in unknown {
            if self.input_digest(source, passes)? != *digest {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn input_digest(&self, source: &Source, passes: &Passes<'_>) -> Result<Digest, MergeError> {
        let found = self.opened.checkpoints.get(source.model);
        let found = found.and_then(|checkpoint| Some((checkpoint, checkpoint.tensors.get(&source.tensor)?)));
        let Some((checkpoint, info)) = found else {
            return Err(MergeError::Task(format!("there is no tensor {:?} in model {}", source.tensor, source.model)));
        };
        let file = self.opened.files.get(&checkpoint.files[info.file])?;
        passes.read.fetch_add(info.bytes, Ordering::Relaxed);
        hash_range(&file, info.offset, info.bytes, passes).map(Digest)
    }

    /// Copies a tensor of the earlier result; `false` where its bytes there are not what was made.
    fn copy(
        &self,
        previous: &Previous,
        index: usize,
        earlier: &Earlier,
        passes: &Passes<'_>,
        shards: &OpenFiles<ShardFile>,
    ) -> Result<bool, MergeError> {
        let (tensor, target) = self.target(index, shards)?;
        let checkpoint = &previous.checkpoint;
        let found = checkpoint.tensors.get(&tensor.name);
        let found = found.filter(|info| info.dtype == tensor.dtype && info.shape == tensor.shape);
        let copied = match found.and_then(|info| Some((info, checkpoint.files.get(info.file)?))) {
            Some((info, path)) => {
                let file = self.opened.files.get(path)?;
                copy_range(&file, info.offset, info.bytes, (&target.file, target.offset), passes)? == earlier.output.0
            }
            None => false,
        };
        if !copied {
            let root = checkpoint.root.display();
            self.context.log(format!("{root} does not hold tensor {:?} as it was written: it is merged anew", tensor.name));
        }
        Ok(copied)
    }
}

#[cfg(test)]
mod tests;
