//! What a spec says of a trainer that asks: what a job file of `braid run` says of a program, and a few words more.

use braid_command::CommandSpec;
use braid_mixture::{
    online::Ask,
    trainer::{Shape, TrainerError},
};
use braid_workload::Demand;
use serde_json::{Map, Value};
use std::{path::Path, time::Duration};

/// How long a trainer may say nothing, unless its spec says otherwise.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Keys of a job file that make no sense here: who trains is one program or gang, for as long as it takes.
const NOT_HERE: [&str; 4] = ["array", "timeout", "save_signal", "resumable"];

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) command: CommandSpec,
    pub(super) offers: Vec<Ask>,
    pub(super) patience: Duration,
    retries: Option<u32>,
}

impl Settings {
    pub(super) fn read(settings: &Value) -> Result<Self, TrainerError> {
        let wrong = TrainerError::Settings;
        let mut fields = settings.as_object().cloned().ok_or_else(|| wrong("expected a mapping with a `command`".into()))?;
        if let Some(key) = NOT_HERE.into_iter().find(|key| fields.contains_key(*key)) {
            return Err(wrong(format!("{key}: a trainer that asks has none")));
        }
        let offers = match fields.shift_remove("offers") {
            Some(offers) => serde_json::from_value(offers).map_err(|error| wrong(format!("offers: {error}")))?,
            None => vec![],
        };
        let patience = match fields.shift_remove("patience") {
            Some(Value::String(text)) => {
                humantime::parse_duration(&text).map_err(|error| wrong(format!("patience {text:?}: {error}")))?
            }
            Some(other) => return Err(wrong(format!("patience is {other}; expected a time such as 10m"))),
            None => PATIENCE,
        };
        if patience.is_zero() {
            return Err(wrong("patience: it leaves no time for a call".into()));
        }
        // One that was stopped goes on from its checkpoint.
        fields.insert("resumable".into(), true.into());
        let retries = fields.get("retries").and_then(Value::as_u64).and_then(|retries| u32::try_from(retries).ok());
        let fields = Value::Object(rooted(fields, Path::new("/")));
        let command = CommandSpec::read(&fields).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { command, offers, patience, retries })
    }

    pub(super) fn shape(&self) -> Shape {
        let CommandSpec { gang, gpus, cpus, memory, .. } = &self.command;
        let demand = Demand { threads: *cpus, gpus: *gpus, memory: memory.unwrap_or(0), ..Demand::default() };
        Shape { demand, gang: *gang, retries: self.retries, patience: self.patience }
    }
}

/// The folder of the program is that of the spec, or begins there.
pub(super) fn beside(settings: Value, folder: &Path) -> Value {
    match settings {
        Value::Object(fields) => Value::Object(rooted(fields, folder)),
        other => other,
    }
}

fn rooted(mut fields: Map<String, Value>, folder: &Path) -> Map<String, Value> {
    let dir = match fields.get("dir") {
        Some(Value::String(dir)) => folder.join(dir),
        Some(_) => return fields,
        None => folder.to_owned(),
    };
    fields.insert("dir".into(), dir.display().to_string().into());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_gang_with_gpus() {
        let settings = json!({
            "command": ["python3", "train.py"], "gang": 4, "gpus": 2, "cpus": 3, "memory": "2GiB",
            "offers": ["branches", "gradients"], "patience": "90s", "retries": 7,
        });
        let settings = beside(settings, Path::new("/spec"));
        assert_eq!(settings["dir"], "/spec");
        let read = Settings::read(&settings).unwrap();
        assert_eq!((read.patience, read.command.gang, read.command.resumable), (Duration::from_secs(90), Some(4), true));
        let shape = read.shape();
        assert_eq!((shape.gang, shape.demand.gpus, shape.demand.threads, shape.demand.memory), (Some(4), 2, 3, 2 << 30));
        assert_eq!((read.offers, shape.retries), (vec![Ask::Branches, Ask::Gradients], Some(7)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (settings, said) in [
            (json!("train.py"), "expected a mapping with a `command`"),
            (json!({}), "missing field `command`"),
            (json!({"command": []}), "command: name a program"),
            (json!({"command": "x", "timeout": "1h"}), "timeout: a trainer that asks has none"),
            (json!({"command": "x", "offers": ["losses"]}), "offers: unknown variant `losses`"),
            (json!({"command": "x", "patience": "soon"}), "patience \"soon\": "),
            (json!({"command": "x", "patience": 3}), "patience is 3; expected a time such as 10m"),
            (json!({"command": "x", "patience": "0s"}), "it leaves no time"),
            (json!({"command": "x", "gang": 0}), "gang: 0 is not between"),
            (json!({"command": "x", "gung": 2}), "unknown field `gung`"),
        ] {
            let text = Settings::read(&settings).unwrap_err().to_string();
            assert!(text.starts_with("trainer: ") && text.contains(said), "{text}");
        }
    }
}
