//! A parameter as a recipe sets it, and what it comes to for one tensor.
//!
//! A setting is a list of rules; the first whose filter occurs in the name of the tensor applies. A rule holds one value, or
//! several that are spread over the layers from the first (t = 0) to the last (t = 1). A plain value is one rule without a
//! filter. What no rule covers is decided by the next wider setting.

use super::{
    error::{Problem, RecipeError},
    fields::Source,
    node::{Node, Value},
    place::Span,
};
use crate::methods::{Kind, Parameter, Scalar};

/// The value of one parameter at one place of a recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Where it stands.
    pub at: Span,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq)]
struct Rule {
    /// What the name of a tensor must contain.
    filter: Option<String>,
    /// At least one value.
    values: Vec<Scalar>,
}

impl Setting {
    /// The value for a tensor of this name at `t` in 0 ..= 1, unless no rule covers the tensor.
    pub fn value(&self, tensor: &str, t: f64) -> Option<Scalar> {
        let rule = self.rules.iter().find(|rule| rule.filter.as_deref().is_none_or(|filter| tensor.contains(filter)))?;
        interpolate(&rule.values, t)
    }

    pub(super) fn parse(source: &Source, node: Node, parameter: &Parameter) -> Result<Self, RecipeError> {
        let at = node.at;
        let rules = match node.value {
            Value::List(items) if items.iter().any(|item| matches!(item.value, Value::Map(_))) => {
                items.into_iter().map(|item| rule(source, item, parameter)).collect::<Result<_, _>>()?
            }
            Value::Map(_) => vec![rule(source, node, parameter)?],
            _ => vec![Rule { filter: None, values: values(source, node, parameter)? }],
        };
        Ok(Self { at, rules })
    }
}

/// Numbers are interpolated between their neighbours; of flags, the one at or before `t` holds.
fn interpolate(values: &[Scalar], t: f64) -> Option<Scalar> {
    let last = values.len().checked_sub(1)?;
    let scaled = t.clamp(0.0, 1.0) * last as f64;
    let index = (scaled as usize).min(last);
    let fraction = scaled - index as f64;
    match (values[index], values[last.min(index + 1)]) {
        (Scalar::Number(a), Scalar::Number(b)) => Some(Scalar::Number((1.0 - fraction) * a + fraction * b)),
        (value, _) => Some(value),
    }
}

fn rule(source: &Source, node: Node, parameter: &Parameter) -> Result<Rule, RecipeError> {
    let what = format!("`{}`", parameter.name);
    if !matches!(node.value, Value::Map(_)) {
        return Err(source
            .mismatch(&node, &what, "a mapping with `value`, as the other items of the list are")
            .hint_is("a value for all other tensors is written as {value: 0.5} at the end of the list"));
    }
    let mut fields = source.fields(node, &what, &["filter", "value"], |_| None)?;
    let filter = match fields.take("filter") {
        // mergekit takes a star for any tensor, though filters are no patterns
        Some(filter) => Some(source.text(filter, "`filter`")?.value).filter(|filter| filter != "*"),
        None => None,
    };
    let value = fields.require(source, "value")?;
    Ok(Rule { filter, values: values(source, value, parameter)? })
}

fn values(source: &Source, node: Node, parameter: &Parameter) -> Result<Vec<Scalar>, RecipeError> {
    let what = format!("`{}`", parameter.name);
    if matches!(node.value, Value::List(_)) {
        let items = source.list(node, &what)?;
        return items.iter().map(|item| scalar(source, item, parameter)).collect();
    }
    Ok(vec![scalar(source, &node, parameter)?])
}

pub(super) fn scalar(source: &Source, node: &Node, parameter: &Parameter) -> Result<Scalar, RecipeError> {
    let what = format!("`{}`", parameter.name);
    match parameter.kind {
        Kind::Flag => match &node.value {
            Value::Flag(flag) => Ok(Scalar::Flag(*flag)),
            Value::Integer(number @ (0 | 1)) => Ok(Scalar::Flag(*number == 1)),
            _ => Err(source.mismatch(node, &what, "true or false")),
        },
        Kind::Number => {
            let number = match &node.value {
                Value::Integer(number) => *number as f64,
                Value::Number(number) => *number,
                // 1e-5 is text in YAML 1.1, so people quote numbers; mergekit reads them too
                Value::Text(text) => text.trim().parse().map_err(|_| source.mismatch(node, &what, "a number"))?,
                Value::List(_) => return Err(source.mismatch(node, &what, "a number (gradients do not nest)")),
                _ => return Err(source.mismatch(node, &what, "a number")),
            };
            // merging is done in f32
            match number {
                _ if (number as f32).is_finite() => Ok(Scalar::Number(number)),
                _ if number.is_finite() => {
                    Err(source.error(node.at, Problem::Value(format!("{what} is {number:e}, which is too large"))))
                }
                _ => Err(source.error(node.at, Problem::Value(format!("{what} is {number}, which is no finite number")))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(filter: Option<&str>, values: impl IntoIterator<Item = f64>) -> Rule {
        Rule { filter: filter.map(str::to_owned), values: values.into_iter().map(Scalar::Number).collect() }
    }

    fn setting(rules: Vec<Rule>) -> Setting {
        Setting { at: Span::default(), rules }
    }

    #[test]
    fn gradients_meet_their_values_and_are_straight_between() {
        let weights = setting(vec![rule(None, [0.0, 0.5, 0.3, 0.7, 1.0])]);
        for (t, expected) in [(0.0, 0.0), (0.25, 0.5), (0.5, 0.3), (0.75, 0.7), (1.0, 1.0), (0.125, 0.25), (0.875, 0.85)] {
            let Some(Scalar::Number(found)) = weights.value("any", t) else { panic!("no number at {t}") };
            assert!((found - expected).abs() < 1e-12, "{found} at {t}");
        }
        let flags = setting(vec![Rule { filter: None, values: [true, false, true].map(Scalar::Flag).to_vec() }]);
        for (t, expected) in [(0.0, true), (0.49, true), (0.5, false), (0.99, false), (1.0, true)] {
            assert_eq!(flags.value("any", t), Some(Scalar::Flag(expected)), "{t}");
        }
    }

    proptest! {
        /// Against another form of the same function: a sum of tents, one around each value.
        #[test]
        fn gradients_are_sums_of_tents(values in prop::collection::vec(-10.0..10.0f64, 1..8), t in 0.0..=1.0f64) {
            let scaled = t * (values.len() - 1) as f64;
            let expected: f64 = values.iter().enumerate().map(|(i, value)| value * (1.0 - (scaled - i as f64).abs()).max(0.0)).sum();
            let Some(Scalar::Number(found)) = setting(vec![rule(None, values)]).value("any", t) else { panic!("no number") };
            prop_assert!((found - expected).abs() < 1e-9, "{} for {}", found, expected);
        }

        /// The first rule whose filter is in the name decides, and none other.
        #[test]
        fn the_first_rule_that_fits_wins(filters in prop::collection::vec(prop::option::of("[ab.]{0,2}"), 0..5), name in "[abc.]{0,6}") {
            let rules = filters.iter().enumerate().map(|(i, filter)| rule(filter.as_deref(), [i as f64])).collect();
            let fits = |filter: &Option<String>| match filter {
                Some(filter) => (0..=name.len()).any(|start| name[start..].starts_with(filter.as_str())),
                None => true,
            };
            let expected = filters.iter().position(fits).map(|i| Scalar::Number(i as f64));
            prop_assert_eq!(setting(rules).value(&name, 0.5), expected);
        }
    }
}
