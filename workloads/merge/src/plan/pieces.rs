//! Pieces of a plan: tensors of the output that are made together.

use super::{
    PlanError, PlanProblem, PlannedTensor, Source,
    header::{ModelHeader, elements},
};
use crate::{
    methods::{AdaptedModule, Case, Joint, Made, Piece, TensorParameters, Work},
    recipe::{Recipe, Span},
};
use braid_kernels::Dtype;
use std::{ops::Range, sync::Arc};

/// A run of tensors that are made together.
#[derive(Debug, Clone)]
pub struct PlannedPiece {
    /// Which of the plan's tensors.
    pub tensors: Range<usize>,
    /// The bytes that the work holds at a time.
    pub memory: u64,
    /// The work.
    pub work: Arc<dyn Work>,
}

/// The work is made of what the tensors say, so that comparing these is enough.
impl PartialEq for PlannedPiece {
    fn eq(&self, other: &Self) -> bool {
        self.tensors == other.tensors && self.memory == other.memory
    }
}

/// Has the method arrange its pieces, and numbers their tensors.
pub(super) fn arrange(
    recipe: &Recipe,
    headers: &[ModelHeader],
    joint: &dyn Joint,
    tensors: Vec<PlannedTensor>,
    modules: Vec<AdaptedModule>,
) -> Result<(Vec<PlannedTensor>, Vec<PlannedPiece>), PlanError> {
    let error = |problem| PlanError::new(recipe.place(Span::default()), problem);
    let empty = serde_json::Map::new();
    let config = headers.get(recipe.donor()).map_or(&empty, |donor| &donor.config);
    let arranged = joint.arrange(Case { tensors, modules, config });
    let arranged = arranged.map_err(|problem| error(PlanProblem::Joint { method: recipe.method.name(), problem }))?;
    let (mut tensors, mut pieces) = (Vec::new(), Vec::new());
    for piece in arranged {
        match piece {
            Piece::Alone(tensor) => tensors.push(tensor),
            Piece::Together { makes, sources, parameters, memory, work } => {
                let first = tensors.len();
                for (index, made) in makes.into_iter().enumerate() {
                    // read once, whatever is made of it
                    let counted = if index == 0 { sources.as_slice() } else { &[] };
                    tensors.push(planned(recipe, made, &sources, counted, &parameters).map_err(error)?);
                }
                pieces.push(PlannedPiece { tensors: first..tensors.len(), memory, work });
            }
        }
    }
    Ok((tensors, pieces))
}

/// Brings what is made and its sources together; the bytes of `counted` count as read for it.
pub(super) fn planned(
    recipe: &Recipe,
    made: Made,
    sources: &[Source],
    counted: &[Source],
    parameters: &TensorParameters,
) -> Result<PlannedTensor, PlanProblem> {
    let bytes =
        |shape: &[u64], dtype: Dtype| elements(shape)?.checked_mul(dtype.size() as u64).filter(|bytes| *bytes <= i64::MAX as u64);
    let bytes_in = counted.iter().try_fold(0u64, |sum, source| {
        bytes(&source.shape, source.dtype)?;
        sum.checked_add(source.bytes())
    });
    let Made { name, dtype, shape } = made;
    let (Some(elements), Some(bytes_in), Some(bytes_out)) = (elements(&shape), bytes_in, bytes(&shape, dtype)) else {
        return Err(PlanProblem::TooLarge { tensor: name, dtype, shape });
    };
    let (sources, parameters) = (sources.to_vec(), parameters.clone());
    Ok(PlannedTensor { name, dtype, shape, sources, method: recipe.method, parameters, elements, bytes_in, bytes_out })
}
