//! The modules that adapters change, where adapters are merged with each other.

use super::{
    PlanError, PlanOptions, PlanProblem, Source, header::ModelHeader, outline::Draft, resolve::Context, types::output_dtype,
};
use crate::{
    adapter::Factors,
    methods::AdaptedModule,
    recipe::{Input, Recipe},
};
use std::collections::BTreeSet;

/// Every module that an input changes, by name, with the parameters that the recipe has for it.
pub(super) fn modules(recipe: &Recipe, headers: &[ModelHeader], options: &PlanOptions) -> Result<Vec<AdaptedModule>, PlanError> {
    // the recipe's check leaves one module of one slice of whole inputs
    let (Some(module), Some(slice)) = (recipe.modules.first(), recipe.modules.first().and_then(|module| module.slices.first()))
    else {
        return Ok(Vec::new());
    };
    let error = |input: &Input, problem: String| {
        PlanError::new(recipe.place(input.at), PlanProblem::Joint { method: recipe.method.name(), problem })
    };
    let path = |input: &Input| recipe.models.get(input.model).map_or_else(String::new, |model| model.name().into_owned());
    if let Some(sliced) = recipe
        .modules
        .iter()
        .flat_map(|module| &module.slices)
        .flat_map(|slice| &slice.inputs)
        .find(|input| input.layers.is_some())
    {
        return Err(error(sliced, "adapters are merged whole, without `slices`".into()));
    }
    if recipe.modules.len() > 1 {
        return Err(error(&slice.inputs[0], "adapters are merged whole, without `modules`".into()));
    }
    let mut names = BTreeSet::new();
    for input in &slice.inputs {
        let Some(parts) = headers.get(input.model).map(|header| &header.parts) else { continue };
        if let Some(saved) = parts.saved.keys().next() {
            let problem =
                format!("adapter `{}` replaces {saved:?} whole (modules_to_save), which has no factors to merge", path(input));
            return Err(error(input, problem).hint_is("merge the folded models instead: `model: base+adapter`"));
        }
        names.extend(parts.modules.keys());
    }
    let mut modules = Vec::new();
    for name in names {
        let mut inputs: Vec<(usize, [Source; 2], Factors)> = Vec::new();
        let mut sources = Vec::new();
        for (index, input) in slice.inputs.iter().enumerate() {
            let factors = headers.get(input.model).and_then(|header| header.parts.modules.get(name));
            sources.push(factors.map_or_else(|| name.clone(), |factors| factors.a_name.clone()));
            let Some(factors) = factors else { continue };
            if let Some((_, _, first)) = inputs.first().filter(|(_, _, first)| !same(first, factors)) {
                let shape = |factors: &Factors| format!("{}×{}", factors.rows(), factors.cols());
                let (found, wanted) = (shape(factors), shape(first));
                let problem =
                    format!("adapter `{}` changes {name:?} by a {found} matrix, another one by a {wanted} matrix", path(input));
                return Err(error(input, problem));
            }
            let source = |name: &str, info: &crate::checkpoint::TensorInfo| Source {
                model: input.model,
                tensor: name.to_owned(),
                dtype: info.dtype,
                shape: info.shape.clone(),
                rows: None,
                computed: None,
            };
            let of = [source(&factors.a_name, &factors.a), source(&factors.b_name, &factors.b)];
            inputs.push((index, of, factors.clone()));
        }
        let dtypes: Vec<_> = inputs.iter().flat_map(|(_, sources, _)| sources.iter().map(|source| source.dtype)).collect();
        // factors are floats: an adapter with others was refused
        let Some((dtype, _)) = output_dtype(&dtypes, recipe.out_dtype.or(recipe.dtype)) else { continue };
        let draft = Draft { name: name.clone(), sources, t: 0.0, module: 0, slice: 0 };
        let parameters = Context { recipe, module, slice, draft: &draft }.parameters(options.seed)?;
        modules.push(AdaptedModule { name: name.clone(), inputs, parameters, dtype });
    }
    Ok(modules)
}

fn same(a: &Factors, b: &Factors) -> bool {
    (a.rows(), a.cols(), a.orientation) == (b.rows(), b.cols(), b.orientation)
        && (&a.a.shape[1..], &a.b.shape[2..]) == (&b.a.shape[1..], &b.b.shape[2..])
}
