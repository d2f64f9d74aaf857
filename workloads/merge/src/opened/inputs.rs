//! Where the elements of a tensor's sources come from.

use super::Opened;
use crate::{
    MergeError,
    checkpoint::{Checkpoint, DataFile},
    open_files::OpenFiles,
    plan::{PlannedTensor, Source},
    recipe::ModelRef,
    run::{Composed, Gathered, Input, Lens, Origin, Passes, Reader, Stored},
};
use std::{borrow::Cow, sync::Arc};

impl Opened {
    /// Where the sources of a tensor lie.
    pub(crate) fn inputs<'a>(&'a self, tensor: &PlannedTensor, passes: &Passes<'_>) -> Result<Vec<Input<'a>>, MergeError> {
        let input = |source: &Source| {
            let Some(model) = self.recipe.models.get(source.model).map(ModelRef::name) else { return Err(missing(source)) };
            let origin = match &source.rows {
                None => self.origin(source, passes)?,
                Some(rows) => {
                    let parts = rows.parts().map(|(model, _)| Ok((model, self.stored(model, source)?)));
                    let parts = parts.collect::<Result<_, MergeError>>()?;
                    let reader = Reader { passes, tensor: &tensor.name, model: &model };
                    let gathered = Gathered::new(Arc::clone(rows), parts, source.row_elements(), source.dtype, reader)?;
                    Origin::Gathered(Arc::new(gathered))
                }
            };
            Ok(Input { model, origin })
        };
        tensor.sources.iter().map(input).collect()
    }

    /// Where a source comes from that is one tensor: a file, or the recipe that makes it.
    fn origin(&self, source: &Source, passes: &Passes<'_>) -> Result<Origin, MergeError> {
        let Some(stage) = self.composed_by(source) else { return Ok(Origin::Stored(self.stored(source.model, source)?)) };
        let tensor = stage.tensor(&source.tensor).ok_or_else(|| missing(source))?;
        let owned = |input: Input<'_>| Input { model: Cow::Owned(input.model.into_owned()), origin: input.origin };
        let inputs = stage.inputs(tensor, passes)?.into_iter().map(owned).collect();
        Composed::origin(tensor, inputs)
            .ok_or_else(|| MergeError::Task(format!("tensor {:?} is not made tile by tile", source.tensor)))
    }

    /// The stage that makes a source as it is read.
    pub(super) fn composed_by(&self, source: &Source) -> Option<&Self> {
        self.made.get(source.model)?.model.as_deref().filter(|stage| stage.composed)
    }

    /// Where a model has the tensor of a source.
    fn stored(&self, model: usize, source: &Source) -> Result<Stored, MergeError> {
        let found = self.checkpoints.get(model);
        let found = found.and_then(|checkpoint| Some((checkpoint, checkpoint.tensors.get(&source.tensor)?)));
        let (checkpoint, info) = found.ok_or_else(|| missing(source))?;
        let path = checkpoint.files.get(info.file).ok_or_else(|| missing(source))?;
        let lens = lens_of(&self.files, checkpoint, &source.tensor)?.map(Arc::new);
        Ok(Stored { file: self.files.get(path)?, offset: info.offset, dtype: info.dtype, lens })
    }
}

/// What a tensor of a checkpoint is read through.
pub(crate) fn lens_of(files: &OpenFiles<DataFile>, checkpoint: &Checkpoint, tensor: &str) -> Result<Option<Lens>, MergeError> {
    let file = |index: usize| files.get(&checkpoint.files[index]);
    Ok(match (checkpoint.folds.get(tensor), checkpoint.scales.get(tensor)) {
        (Some(fold), _) => Some(Lens::Adapted(fold.factors.read(&*file(fold.file)?)?)),
        (None, Some(scales)) => Some(Lens::Scaled(scales.read(&*file(scales.info.file)?)?)),
        (None, None) => None,
    })
}

fn missing(source: &Source) -> MergeError {
    let Source { model, tensor, .. } = source;
    MergeError::Task(format!("the plan names tensor {tensor:?} of model {model}, which is not there"))
}
