//! One entry of a spec's `methods`: its name in reports, and how it finds proportions.

use super::{JobError, offline::Offline, spec::MixSpec};
use crate::online::{Online, Run, Settings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A method with a name. In a spec `stratified`, or `{method: aioli, name: steeper, rate: 0.5}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct MethodSpec {
    /// What it is called in reports and folders.
    pub name: String,
    /// How it finds proportions.
    pub plan: MethodPlan,
}

/// How a method finds proportions.
#[derive(Debug, Clone, PartialEq)]
pub enum MethodPlan {
    /// Within one run.
    Online(Settings),
    /// By a law fitted to what was measured before it.
    Offline(Offline),
}

/// What a name may be made of: it is a folder too.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.chars().all(fits)
}

impl MethodSpec {
    /// Checks the settings.
    pub(super) fn check(&self, spec: &MixSpec, run: Run) -> Result<(), JobError> {
        match &self.plan {
            MethodPlan::Online(settings) => Ok(Online::new(settings, run).map(drop)?),
            MethodPlan::Offline(offline) => {
                if matches!(offline, Offline::Swarm(_)) {
                    // The prior and the caps follow from them. Whoever merges models reads the data, and counts it.
                    run.domains.check_len("sizes in tokens", run.sizes.len())?;
                }
                offline.check(spec.steps)
            }
        }
    }
}

impl TryFrom<Value> for MethodSpec {
    type Error = String;

    fn try_from(written: Value) -> Result<Self, String> {
        let mut fields = match written {
            Value::String(method) => Map::from_iter([("method".to_owned(), Value::String(method))]),
            Value::Object(fields) => fields,
            _ => return Err("a method is a word, or a mapping with the word as its `method`".into()),
        };
        let word = match fields.get("method") {
            Some(Value::String(word)) => word.clone(),
            _ => return Err("a method needs a `method`, a word".into()),
        };
        let name = match fields.shift_remove("name") {
            Some(Value::String(name)) => name,
            Some(_) => return Err(format!("method {word}: its name is no text")),
            None => word.clone(),
        };
        if !is_name(&name) {
            return Err(format!("method {word}: its name {name:?} has other characters than letters, digits, '-', '_' and '.'"));
        }
        let fields = Value::Object(fields);
        let plan = if Offline::WORDS.contains(&word.as_str()) {
            serde_json::from_value(fields).map(MethodPlan::Offline)
        } else {
            serde_json::from_value(fields).map(MethodPlan::Online)
        };
        let plan = plan.map_err(|error| format!("method {name}: {error}"))?;
        Ok(Self { name, plan })
    }
}

impl From<MethodSpec> for Value {
    fn from(method: MethodSpec) -> Self {
        let settings = match &method.plan {
            MethodPlan::Online(settings) => serde_json::to_value(settings),
            MethodPlan::Offline(offline) => serde_json::to_value(offline),
        };
        // Settings that were read can be written.
        let mut fields = match settings {
            Ok(Self::Object(fields)) => fields,
            _ => Map::new(),
        };
        fields.insert("name".into(), Self::String(method.name));
        Self::Object(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn they_read_back() {
        for written in [
            json!("stratified"),
            json!({"method": "proportional", "name": "flat", "exponent": 0.5}),
            json!({"method": "swarm", "runs": 9}),
            json!({"method": "merged-proxies", "prefix": 20, "law": {"kind": "linear"}}),
        ] {
            let method: MethodSpec = serde_json::from_value(written).unwrap();
            assert_eq!(serde_json::from_value::<MethodSpec>(json!(method)).unwrap(), method);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let text = |written: Value| serde_json::from_value::<MethodSpec>(written).unwrap_err().to_string();
        assert_eq!(text(json!(3)), "a method is a word, or a mapping with the word as its `method`");
        assert!(text(json!("alioli")).starts_with("method alioli: unknown variant `alioli`, expected one of `stratified`"));
        assert!(text(json!({"method": "stratified", "name": "../x"})).contains("other characters than letters"));
        assert!(text(json!({"method": "aioli", "speed": 1})).contains("unknown field `speed`"));
        assert!(text(json!({"method": "swarm", "speed": 1})).contains("unknown field `speed`"));
    }
}
