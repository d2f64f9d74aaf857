//! What a method may be told: the schema of its parameters, and the values that one output tensor gets.
//!
//! Where a value comes from (gradients, filters, precedence) is the plan's business; here it is a number or a flag.

use std::collections::BTreeMap;

/// One parameter of a method, as recipes name it.
#[derive(Debug, PartialEq)]
pub struct Parameter {
    /// The key in a recipe: `density`.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What it belongs to.
    pub scope: Scope,
    /// What holds where the recipe says nothing.
    pub absent: Absent,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any finite number.
    Number,
    /// `true` or `false`.
    Flag,
}

/// What a parameter belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The merge of a tensor as a whole; written under `parameters`.
    Shared,
    /// Each input, the base among them; written under a model, or under `parameters` for all of them.
    Input,
    /// Each input but the base, which may carry the key without effect.
    Expert,
}

/// What holds where the recipe gives no value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Absent {
    /// The recipe is wrong.
    Required,
    /// This value.
    Default(Scalar),
    /// No value, which means something to the method.
    Nothing,
}

/// A value of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar {
    /// A finite number.
    Number(f64),
    /// A switch.
    Flag(bool),
}

/// Values by the name of the parameter; those that the recipe leaves out are there with their default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values(BTreeMap<&'static str, Scalar>);

/// All that decides one output tensor beside its inputs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TensorParameters {
    /// Which input is the base, for a method that has one.
    pub base: Option<usize>,
    /// The seed of the whole merge.
    pub seed: u64,
    /// For each input, the number that stands for its model in random masks: its place among the models of the recipe,
    /// base last, so that naming the base among the models or not gives the same masks.
    pub identities: Vec<u32>,
    /// Values for the tensor as a whole.
    pub shared: Values,
    /// Values for each input; empty for a base that has none.
    pub inputs: Vec<Values>,
    /// The factor on all that the method adds to the base.
    pub scaling: Option<f32>,
}

impl Parameter {
    /// A number that each model or the whole merge must be given.
    pub(crate) const fn required(name: &'static str, scope: Scope) -> Self {
        Self { name, kind: Kind::Number, scope, absent: Absent::Required }
    }

    /// A number with a default.
    pub(crate) const fn number(name: &'static str, scope: Scope, default: f64) -> Self {
        Self { name, kind: Kind::Number, scope, absent: Absent::Default(Scalar::Number(default)) }
    }

    /// A number that may be left out, which means something else than any number.
    pub(crate) const fn optional(name: &'static str, scope: Scope) -> Self {
        Self { name, kind: Kind::Number, scope, absent: Absent::Nothing }
    }

    /// A switch of the whole merge with a default.
    pub(crate) const fn flag(name: &'static str, default: bool) -> Self {
        Self { name, kind: Kind::Flag, scope: Scope::Shared, absent: Absent::Default(Scalar::Flag(default)) }
    }
}

impl Values {
    /// Sets a value.
    pub fn set(&mut self, parameter: &'static Parameter, value: Scalar) {
        self.0.insert(parameter.name, value);
    }

    /// The number that a parameter has here.
    pub fn given(&self, parameter: &Parameter) -> Option<f64> {
        match self.0.get(parameter.name) {
            Some(Scalar::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// The number that a parameter has here, or its default. A plan holds every number that a method requires; one that is
    /// missing all the same reads as NaN, which the kernels refuse.
    pub fn number(&self, parameter: &Parameter) -> f64 {
        self.given(parameter).unwrap_or(match parameter.absent {
            Absent::Default(Scalar::Number(number)) => number,
            _ => f64::NAN,
        })
    }

    /// The switch that a parameter has here, or its default.
    pub fn flag(&self, parameter: &Parameter) -> bool {
        let value = self.0.get(parameter.name).copied().or(match parameter.absent {
            Absent::Default(value) => Some(value),
            Absent::Required | Absent::Nothing => None,
        });
        value == Some(Scalar::Flag(true))
    }

    /// The values with their names, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Scalar)> + '_ {
        self.0.iter().map(|(name, value)| (*name, *value))
    }
}
