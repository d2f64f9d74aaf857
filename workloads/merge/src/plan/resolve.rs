//! The values that the parameters of a method have for one output tensor.
//!
//! The nearest setting that covers the tensor wins: that of the input, of the slice, of the module, of the recipe; then the
//! default. Filters see the name of the output tensor, except under an input, where they see the name that it has there.

use super::{
    error::{PlanError, PlanProblem},
    outline::Draft,
};
use crate::{
    methods::{Absent, BadValue, BaseRule, Parameter, Scalar, Scope, TensorParameters, Values},
    recipe::{Input, Module, Recipe, Setting, Settings, Slice, Span},
};

/// Where the parameters of one tensor come from.
pub(super) struct Context<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) module: &'a Module,
    pub(super) slice: &'a Slice,
    pub(super) draft: &'a Draft,
}

impl Context<'_> {
    /// All parameters of the tensor.
    pub(super) fn parameters(&self, seed: u64) -> Result<TensorParameters, PlanError> {
        let method = self.recipe.method;
        let base = match method.contract().base {
            BaseRule::Required | BaseRule::Optional => self.base(),
            BaseRule::Input | BaseRule::Unused => None,
        };
        let mut values = TensorParameters {
            base,
            seed,
            identities: self.slice.inputs.iter().map(|input| identity(self.recipe, input.model)).collect(),
            shared: Values::default(),
            inputs: vec![Values::default(); self.slice.inputs.len()],
            scaling: self.recipe.lines.map(|lines| lines.factor(self.draft.t)),
        };
        for parameter in method.parameters() {
            if parameter.scope == Scope::Shared {
                self.set(&mut values.shared, parameter, None)?;
                continue;
            }
            for (index, (input, of_input)) in self.slice.inputs.iter().zip(&mut values.inputs).enumerate() {
                if parameter.scope == Scope::Input || base != Some(index) {
                    self.set(of_input, parameter, Some((index, input)))?;
                }
            }
        }
        method.check(&values).map_err(|bad| self.refuse(bad))?;
        Ok(values)
    }

    fn base(&self) -> Option<usize> {
        let base = self.recipe.base_of(self.slice)?;
        self.slice.inputs.iter().position(|input| input.model == base)
    }

    fn set(&self, values: &mut Values, parameter: &'static Parameter, input: Option<(usize, &Input)>) -> Result<(), PlanError> {
        let value = match (self.find(parameter, input), parameter.absent) {
            (Some((_, value)), _) | (None, Absent::Default(value)) => value,
            (None, Absent::Nothing) => return Ok(()),
            (None, Absent::Required) => {
                let problem = PlanProblem::Uncovered {
                    method: self.recipe.method.name(),
                    parameter: parameter.name,
                    model: input.map(|(_, input)| self.path(input)),
                    tensor: self.draft.name.clone(),
                };
                let at = input.map_or(self.slice.at, |(_, input)| input.at);
                return Err(PlanError::new(self.recipe.place(at), problem)
                    .hint_is("end the list with a rule for all other tensors: {value: …}"));
            }
        };
        values.set(parameter, value);
        Ok(())
    }

    /// The nearest setting that covers the tensor, and its value.
    fn find(&self, parameter: &Parameter, input: Option<(usize, &Input)>) -> Option<(Span, Scalar)> {
        let name = match input {
            Some((index, _)) => self.draft.sources.get(index)?,
            None => &self.draft.name,
        };
        let own = input.map(|(_, input)| &input.settings);
        let levels: [Option<&Settings>; 4] =
            [own, Some(&self.slice.settings), Some(&self.module.settings), Some(&self.recipe.settings)];
        levels.into_iter().flatten().find_map(|settings| {
            let setting: &Setting = settings.get(parameter.name)?;
            Some((setting.at, setting.value(name, self.draft.t)?))
        })
    }

    fn refuse(&self, bad: BadValue) -> PlanError {
        let parameter = self.recipe.method.parameters().iter().find(|parameter| parameter.name == bad.parameter);
        let input = |index: usize| Some((index, self.slice.inputs.get(index)?));
        let culprit = bad.input.and_then(input);
        let at = parameter
            .and_then(|parameter| self.find(parameter, culprit.or_else(|| input(0))))
            .map_or(self.slice.at, |(at, _)| at);
        let problem = PlanProblem::Value {
            parameter: bad.parameter,
            model: culprit.map(|(_, input)| self.path(input)),
            tensor: self.draft.name.clone(),
            problem: bad.problem,
        };
        PlanError { place: self.recipe.place(at), problem: Box::new(problem), hint: bad.hint }
    }

    fn path(&self, input: &Input) -> String {
        self.recipe.models.get(input.model).map_or_else(String::new, |model| model.name().into_owned())
    }
}

/// See [`TensorParameters::identities`].
fn identity(recipe: &Recipe, model: usize) -> u32 {
    let number = match recipe.base {
        Some(base) if model == base => recipe.models.len().saturating_sub(1),
        Some(base) if model > base => model - 1,
        _ => model,
    };
    u32::try_from(number).unwrap_or(u32::MAX)
}
