//! Numbers to the last bit: a fraction that reading its text would change is written as its bits.

use serde_json::{Map, Value};

/// The only key of an object that stands for a number.
const BITS: &str = "$f64";

/// Makes a value one whose text reads back as it is.
pub(super) fn wrap(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) if changes(float) => Value::Object(Map::from_iter([(BITS.to_owned(), Value::from(float.to_bits()))])),
            _ => Value::Number(number),
        },
        other => inside(other, wrap),
    }
}

/// Undoes [`wrap`].
pub(super) fn unwrap(value: Value) -> Value {
    let bits = match &value {
        Value::Object(fields) if fields.len() == 1 => fields.get(BITS).and_then(Value::as_u64),
        _ => None,
    };
    match bits {
        Some(bits) => Value::from(f64::from_bits(bits)),
        None => inside(value, unwrap),
    }
}

fn inside(value: Value, each: fn(Value) -> Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(each).collect(),
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(key, value)| (key, each(value))).collect()),
        other => other,
    }
}

fn changes(float: f64) -> bool {
    let text = serde_json::to_string(&float).unwrap_or_default();
    serde_json::from_str::<f64>(&text).ok().map(f64::to_bits) != Some(float.to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_number_comes_back(bits in any::<u64>(), whole in any::<u64>()) {
            let float = f64::from_bits(bits);
            prop_assume!(float.is_finite());
            let value = serde_json::json!({"a": [float, whole, -1, 0.5], "b": {"c": float}});
            let text = wrap(value.clone()).to_string();
            let back = unwrap(serde_json::from_str(&text).unwrap());
            prop_assert_eq!(back["a"][0].as_f64().map(f64::to_bits), Some(bits));
            prop_assert_eq!(back, value);
        }
    }
}
