//! The first task: is the data there, and is the folder of the results this job's?

use super::{Task, files};
use crate::{
    data::Amount,
    job::{JobError, MixJob, MixSpec, step::Prepared},
};
use serde_json::{Value, json};
use std::fs;

impl Task<'_> {
    pub(super) fn prepare(&self) -> Result<Prepared, JobError> {
        let (out, attempt) = (&self.job.out, self.attempt_name());
        self.trainer.check(self.settings)?;
        fs::create_dir_all(out).map_err(JobError::file("create", out))?;
        let amounts = self.data.amounts();
        for amount in &amounts {
            let Amount { domain, training, validation, test } = amount;
            self.context
                .log(format!("{domain}: {training} tokens for training, {validation} for validation, {test} for the test"));
        }
        same(self.job, &attempt, "job.json", &identity(&self.job.spec), "its spec has another")?;
        let data = json!({ "domains": amounts, "digest": self.data.digest()? });
        same(self.job, &attempt, "data.json", &data, "its data has other")?;
        sweep(self.job, &attempt)?;
        Ok(Prepared { tokens: amounts.iter().map(|amount| amount.training).sum() })
    }
}

/// The same for a trainer that reads the data itself.
pub(super) fn prepare(job: &MixJob, attempt: &str) -> Result<Prepared, JobError> {
    fs::create_dir_all(&job.out).map_err(JobError::file("create", &job.out))?;
    same(job, attempt, "job.json", &identity(&job.spec), "its spec has another")?;
    sweep(job, attempt)?;
    Ok(Prepared { tokens: 0 })
}

/// The folder is this job's, and nobody else works in it.
fn sweep(job: &MixJob, attempt: &str) -> Result<(), JobError> {
    files::sweep(&job.out)?;
    files::write_json(&job.out.join("spec.json"), &job.spec, attempt)
}

/// What all runs of a folder have in common; methods and seeds may be added to it later.
fn identity(spec: &MixSpec) -> Value {
    json!({
        "domains": spec.domains.names().collect::<Vec<_>>(),
        "split": spec.split,
        "context": spec.context,
        "batch": spec.batch,
        "steps": spec.steps,
        "evaluate": spec.evaluate,
        "trainer": spec.trainer,
    })
}

/// That a file says the same as it did, if it is there.
fn same(job: &MixJob, attempt: &str, name: &str, value: &Value, differs: &str) -> Result<(), JobError> {
    let path = job.out.join(name);
    let Some(found) = files::read::<Value>(&path)? else { return files::write_json(&path, value, attempt) };
    let (Value::Object(found), Value::Object(value)) = (&found, value) else {
        return Err(JobError::Unreadable { path, problem: "it is none of a mixture".into() });
    };
    match value.iter().find(|(key, value)| found.get(*key) != Some(value)) {
        Some((key, _)) => Err(JobError::Other { path: job.out.clone(), problem: format!("{differs} `{key}`") }),
        None => Ok(()),
    }
}
