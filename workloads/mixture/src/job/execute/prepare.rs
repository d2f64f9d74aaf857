//! The first task: is the data there, and is the folder of the results this job's?

use super::{Task, files};
use crate::{
    data::Amount,
    job::{JobError, step::Prepared},
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
        self.same("job.json", &self.identity(), "its spec has another")?;
        self.same("data.json", &json!({ "domains": amounts, "digest": self.data.digest()? }), "its data has other")?;
        // It is this job's, and nobody else works in it.
        files::sweep(out)?;
        files::write_json(&out.join("spec.json"), &self.job.spec, &attempt)?;
        Ok(Prepared { tokens: amounts.iter().map(|amount| amount.training).sum() })
    }

    /// What all runs of a folder have in common; methods and seeds may be added to it later.
    fn identity(&self) -> Value {
        let spec = &self.job.spec;
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
    fn same(&self, name: &str, value: &Value, differs: &str) -> Result<(), JobError> {
        let path = self.job.out.join(name);
        let Some(found) = files::read::<Value>(&path)? else { return files::write_json(&path, value, &self.attempt_name()) };
        let (Value::Object(found), Value::Object(value)) = (&found, value) else {
            return Err(JobError::Unreadable { path, problem: "it is none of a mixture".into() });
        };
        match value.iter().find(|(key, value)| found.get(*key) != Some(value)) {
            Some((key, _)) => Err(JobError::Other { path: self.job.out.clone(), problem: format!("{differs} `{key}`") }),
            None => Ok(()),
        }
    }
}
