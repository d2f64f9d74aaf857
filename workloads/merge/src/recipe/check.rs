//! Does the recipe fit its method: the number of inputs, the base, the parameters that must be there?
//!
//! Here too the base joins the inputs of whole-model merges that do not list it.

use super::{Input, Module, Problem, Recipe, RecipeError, Settings, Slice, Span};
use crate::methods::{Absent, BaseRule, Parameter, Scope};

/// Adds the base where the method wants it and the recipe leaves it out, then checks every slice.
pub(super) fn complete(recipe: &mut Recipe, method_at: Span, base_at: Option<Span>) -> Result<(), RecipeError> {
    let rule = recipe.method.contract().base;
    if let (Some(base), Some(at), true) = (recipe.base, base_at, rule != BaseRule::Unused) {
        for slice in recipe.modules.iter_mut().flat_map(|module| &mut module.slices) {
            let whole = slice.inputs.iter().all(|input| input.layers.is_none());
            if whole && !slice.inputs.iter().any(|input| input.model == base) {
                let (layers, settings, companion) = (None, Settings::new(), None);
                slice.inputs.push(Input { model: base, layers, settings, companion, of: None, at });
            }
        }
    }
    for slice in recipe.modules.iter_mut().flat_map(|module| &mut module.slices) {
        companions(slice);
    }
    lines(recipe)?;
    for module in &recipe.modules {
        for slice in &module.slices {
            inputs(recipe, slice, method_at)?;
            parameters(recipe, module, slice, method_at)?;
        }
    }
    Ok(())
}

/// Adds the second checkpoint of every input after them all.
fn companions(slice: &mut Slice) {
    let second = |(index, input): (usize, &Input)| {
        let (layers, settings) = (input.layers.clone(), Settings::new());
        Some(Input { model: input.companion?, layers, settings, companion: None, of: Some(index), at: input.at })
    };
    let added: Vec<Input> = slice.inputs.iter().enumerate().filter_map(second).collect();
    slice.inputs.extend(added);
}

/// `lines` scales what is added to a base.
fn lines(recipe: &Recipe) -> Result<(), RecipeError> {
    let Some(lines) = recipe.lines else { return Ok(()) };
    let slices = recipe.modules.iter().flat_map(|module| &module.slices);
    let based = slices.into_iter().all(|slice| recipe.base_of(slice).is_some());
    if recipe.method.adds_to_base() && based {
        return Ok(());
    }
    let problem = format!("`lines` scales what is added to a base, and {} adds nothing to one here", recipe.method.name());
    Err(RecipeError::new(recipe.place(lines.at), Problem::Value(problem)).hint_is(
        "use it with a method that compares models with `base_model`; their mean is task_arithmetic with `normalize: true`",
    ))
}

fn inputs(recipe: &Recipe, slice: &Slice, method_at: Span) -> Result<(), RecipeError> {
    let (method, contract) = (recipe.method.name(), recipe.method.contract());
    let error = |at, text: String| RecipeError::new(recipe.place(at), Problem::Inputs(text));
    let mut count = slice.inputs.iter().filter(|input| input.of.is_none()).count();
    let base = recipe.base_of(slice);
    if contract.base == BaseRule::Required && base.is_none() {
        return Err(error(method_at, format!("{method} needs a base model"))
            .hint_is("add `base_model:` with the model that the others were trained from"));
    }
    let apart = matches!(contract.base, BaseRule::Required | BaseRule::Optional);
    if let Some(base) = base.filter(|_| apart) {
        if !slice.inputs.iter().any(|input| input.model == base) {
            let path = recipe.models.get(base).map_or_else(String::new, |model| model.name().into_owned());
            return Err(error(slice.at, format!("base model `{path}` is not among the sources of this slice"))
                .hint_is("list it with the layers that this slice compares the others with"));
        }
        count -= 1;
    }
    let beside = if apart && base.is_some() { " beside the base" } else { "" };
    let models = |number: usize| if number == 1 { "1 model".into() } else { format!("{number} models") };
    if contract.max == Some(contract.min) && count != contract.min {
        let text = format!("{method} takes exactly {}{beside}, not {count}", models(contract.min));
        let error = error(slice.at, text);
        return Err(match beside {
            "" => error.hint_is("to stack layers of several models, give each its own slice"),
            _ => error,
        });
    }
    if count < contract.min {
        return Err(error(slice.at, format!("{method} needs at least {}{beside}, not {count}", models(contract.min))));
    }
    if let Some(max) = contract.max.filter(|max| count > *max) {
        return Err(error(slice.at, format!("{method} takes at most {}{beside}, not {count}", models(max))));
    }
    Ok(())
}

/// A parameter that no place of the recipe sets is missed here; one whose filters leave out some tensors, by the plan.
fn parameters(recipe: &Recipe, module: &Module, slice: &Slice, method_at: Span) -> Result<(), RecipeError> {
    let base = recipe.base_of(slice);
    let wider = [&slice.settings, &module.settings, &recipe.settings];
    let required = |parameter: &&Parameter| parameter.absent == Absent::Required;
    for parameter in recipe.method.parameters().iter().filter(required) {
        let name = parameter.name;
        if wider.iter().any(|settings| settings.contains_key(name)) {
            continue;
        }
        let missing = |at, model| {
            let method = recipe.method.name();
            RecipeError::new(recipe.place(at), Problem::MissingParameter { method, name, model })
        };
        if parameter.scope == Scope::Shared {
            let error = missing(method_at, None);
            return Err(error.hint_is(format!("add `parameters: {{{name}: …}}`")));
        }
        for input in slice.inputs.iter().filter(|input| input.of.is_none()) {
            let is_base = base == Some(input.model);
            if input.settings.contains_key(name) || (is_base && parameter.scope == Scope::Expert) {
                continue;
            }
            let path = recipe.models.get(input.model).map(|model| model.name().into_owned());
            let help = match is_base {
                true => format!("the base is one of the inputs here: list it under `models` with `parameters: {{{name}: 0}}`"),
                false => format!("add `parameters: {{{name}: …}}` to it"),
            };
            return Err(missing(input.at, path).hint_is(help));
        }
    }
    Ok(())
}
