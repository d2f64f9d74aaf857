//! Types and shapes: what the sources have, and what the output gets.

use super::{
    PlannedTensor, Source,
    config::torch_name,
    error::{PlanError, PlanProblem},
    header::{ModelHeader, elements},
    names,
    outline::Draft,
    vocabulary::Alignment,
};
use crate::{
    methods::{Buffer, Method, TensorParameters},
    recipe::{Input, Recipe, Slice, Span},
};
use braid_kernels::Dtype;

/// Brings a draft and its parameters together with what the headers say about its sources.
pub(super) fn planned(
    recipe: &Recipe,
    slice: &Slice,
    headers: &[ModelHeader],
    draft: Draft,
    mut parameters: TensorParameters,
    alignment: Option<&Alignment<'_>>,
) -> Result<PlannedTensor, PlanError> {
    let mut sources: Vec<(&Input, Source)> = Vec::with_capacity(slice.inputs.len());
    for (input, tensor) in slice.inputs.iter().zip(draft.sources) {
        let Some(header) = headers.get(input.model) else { continue };
        let Some(found) = header.tensors.get(&tensor) else { continue };
        let (model, dtype, shape) = (input.model, found.dtype, found.shape.clone());
        let computed = header.computed.get(&tensor).copied();
        sources.push((input, Source { model, tensor, dtype, shape, rows: None, computed }));
    }
    if let Some(alignment) = alignment.filter(|_| names::follows_vocabulary(&draft.name)) {
        alignment.apply(slice, &mut sources)?;
    }
    let path = |input: &Input| recipe.models.get(input.model).map_or_else(String::new, |model| model.name().into_owned());
    let error = |at: Span, problem| PlanError::new(recipe.place(at), problem);
    let Some((_, first)) = sources.first() else {
        // an outline names only tensors that are there
        return Err(error(slice.at, PlanProblem::Empty { model: draft.name }));
    };

    let shape = first.shape.clone();
    if let Some((input, _)) = sources.iter().find(|(_, source)| source.shape != shape) {
        let shapes =
            sources.iter().map(|(input, source)| format!("`{}` {}{:?}", path(input), renamed(source, &draft.name), source.shape));
        let problem = PlanProblem::Shape { shapes: shapes.collect(), tensor: draft.name.clone() };
        let error = error(input.at, problem);
        return Err(match names::has_vocabulary(&draft.name) && alignment.is_none() {
            true => error.hint_is(
                "the models have different vocabularies: `tokenizer_source: union` or `tokenizer_source: base` brings them together",
            ),
            false => error.hint_is("only checkpoints of one architecture and size can be merged"),
        });
    }

    let dtypes: Vec<Dtype> = sources.iter().map(|(_, source)| source.dtype).collect();
    // what is known about the elements of a model has a type of its own
    let own = sources.iter().filter(|(input, _)| input.of.is_none()).map(|(_, source)| taken(headers, source));
    let Some((dtype, floats)) = output_dtype(&own.collect::<Vec<_>>(), recipe.out_dtype.or(recipe.dtype)) else {
        let list = sources.iter().map(|(input, source)| format!("`{}` {}", path(input), source.dtype)).collect();
        return Err(error(slice.at, PlanProblem::Dtype { tensor: draft.name, dtypes: list }));
    };
    let buffer = !floats || (sources.len() > 1 && names::is_frequencies(&draft.name));
    let (dtype, method): (Dtype, &'static dyn Method) = match buffer {
        // frequencies are copied as they are: a rounded angle is another angle
        true if dtypes.iter().all(|other| Some(other) == dtypes.first()) => {
            parameters.scaling = None;
            (dtypes[0], &Buffer)
        }
        _ => (dtype, recipe.method),
    };

    let counted = elements(&shape).and_then(|elements| {
        let bytes = |dtype: Dtype| elements.checked_mul(dtype.size() as u64).filter(|bytes| *bytes <= i64::MAX as u64);
        let bytes_in = sources.iter().try_fold(0u64, |sum, (_, source)| {
            bytes(source.dtype)?;
            sum.checked_add(source.bytes())
        })?;
        Some((elements, bytes_in, bytes(dtype)?))
    });
    let Some((elements, bytes_in, bytes_out)) = counted else {
        return Err(error(slice.at, PlanProblem::TooLarge { tensor: draft.name, dtype, shape }));
    };
    let sources = sources.into_iter().map(|(_, source)| source).collect();
    Ok(PlannedTensor { name: draft.name, dtype, shape, sources, method, parameters, elements, bytes_in, bytes_out })
}

/// The type that a source is taken to have.
fn taken(headers: &[ModelHeader], source: &Source) -> Dtype {
    headers.get(source.model).and_then(|header| header.taken(&source.tensor)).unwrap_or(source.dtype)
}

/// The source's own name, where it is not that of the output.
fn renamed(source: &Source, name: &str) -> String {
    if source.tensor == name { String::new() } else { format!("{:?} ", source.tensor) }
}

/// The output's type and whether it is merged (floats) or copied (anything else).
pub(super) fn output_dtype(inputs: &[Dtype], chosen: Option<Dtype>) -> Option<(Dtype, bool)> {
    let (first, rest) = inputs.split_first()?;
    if inputs.iter().all(|dtype| dtype.is_float()) {
        let promoted = rest.iter().fold(*first, |a, b| promote(a, *b));
        return Some((chosen.unwrap_or(promoted), true));
    }
    rest.iter().all(|dtype| dtype == first).then_some((*first, false))
}

/// The narrowest float type that holds both, as in PyTorch.
fn promote(a: Dtype, b: Dtype) -> Dtype {
    match (a, b) {
        (a, b) if a == b => a,
        (Dtype::F64, _) | (_, Dtype::F64) => Dtype::F64,
        // neither of F16 and BF16 holds the other
        _ => Dtype::F32,
    }
}

/// The type of all float tensors, if they have one.
pub(super) fn common(tensors: &[PlannedTensor]) -> Option<Dtype> {
    let mut floats = tensors.iter().map(|tensor| tensor.dtype).filter(|dtype| torch_name(*dtype).is_some());
    let first = floats.next()?;
    floats.all(|dtype| dtype == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_gets_the_chosen_type_or_the_narrowest_that_holds_all() {
        use Dtype::*;
        for (inputs, chosen, expected) in [
            (&[BF16, BF16][..], None, Some((BF16, true))),
            (&[BF16, F16], None, Some((F32, true))),
            (&[BF16, F32], None, Some((F32, true))),
            (&[F16, F64, F32], None, Some((F64, true))),
            (&[F32, F32], Some(BF16), Some((BF16, true))),
            (&[I64, I64], Some(BF16), Some((I64, false))),
            (&[U8], None, Some((U8, false))),
            (&[F8E4M3, F8E4M3], Some(BF16), Some((F8E4M3, false))),
            (&[I64, I32], None, None),
            (&[I64, F32], None, None),
            (&[F8E4M3, BF16], None, None),
            (&[], None, None),
        ] {
            assert_eq!(output_dtype(inputs, chosen), expected, "{inputs:?} {chosen:?}");
        }
    }
}
