//! What tasks may use on this machine: the worker's own rule, and that of the coordinator as its last welcome said.
//!
//! Looked at before each attempt, on the machine that has the files. The tasks of one job share a spec and come in a row:
//! what was found in order is not looked at again.

use crate::{disks::Folders, executor::JobSpec};
use braid_proto::v1;
use braid_workload::{Execute, Failure, Roots};
use serde_json::Value;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    own: Option<Roots>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    coordinators: Option<Arc<Roots>>,
    /// What some jobs may use besides.
    further: Vec<PathBuf>,
    /// A spec that was found in order, and under which rule of the coordinator's.
    passed: Option<(Arc<JobSpec>, Option<Arc<Roots>>)>,
}

/// A rule as the coordinator tells it.
pub(crate) fn roots(bounds: &v1::Bounds) -> Roots {
    let paths = |list: &[String]| list.iter().map(Into::into).collect();
    Roots {
        read: paths(&bounds.read),
        write: paths(&bounds.write),
        unbounded: bounds.unbounded.clone(),
        rule: bounds.rule.clone(),
    }
}

impl Bounds {
    /// With the worker's own rule, if it has one.
    pub(crate) fn new(own: Option<Roots>) -> Self {
        Self { own, state: Mutex::default() }
    }

    /// Takes in what the coordinator says.
    pub(crate) fn set(&self, welcome: &v1::Welcome) {
        let further = welcome.folders.iter().map(Into::into).collect();
        *self.lock() =
            State { coordinators: welcome.bounds.as_ref().map(|bounds| Arc::new(roots(bounds))), further, passed: None };
    }

    /// Whether a job of this kind and spec stays inside. `of_job`: the coordinator's rule for it, where it has one of its own.
    ///
    /// # Errors
    /// A failure that names the path and the rule.
    pub(crate) fn check(
        &self,
        executor: &dyn Execute,
        spec: &Arc<JobSpec>,
        value: &Value,
        of_job: Option<Arc<Roots>>,
    ) -> Result<(), Failure> {
        let coordinators = {
            let state = self.lock();
            let rule = of_job.or_else(|| state.coordinators.clone());
            if state.passed.as_ref().is_some_and(|(passed, under)| Arc::ptr_eq(passed, spec) && *under == rule) {
                return Ok(());
            }
            rule
        };
        if self.own.is_none() && coordinators.is_none() {
            return Ok(());
        }
        let reach = executor.reach(value)?;
        for roots in self.own.iter().chain(coordinators.as_deref()) {
            roots.check(executor.kind(), &reach, true).map_err(|error| {
                Failure::fatal(error.to_string())
                    .with_hint("use a folder that is allowed, or ask whoever runs the fleet to allow it")
            })?;
        }
        self.lock().passed = Some((Arc::clone(spec), coordinators));
        Ok(())
    }

    /// The folders that the rules name; any, where there is none.
    pub(crate) fn folders(&self) -> Folders {
        let state = self.lock();
        let rules = || self.own.iter().chain(state.coordinators.as_deref());
        let list = rules().flat_map(|roots| roots.write.iter().chain(&roots.read)).chain(&state.further);
        Folders { list: list.cloned().collect(), any: rules().next().is_none() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_workload::{Reach, TaskContext, TaskSpec};

    struct Reader(PathBuf);

    impl Execute for Reader {
        fn kind(&self) -> &'static str {
            "reader"
        }

        fn reach(&self, _: &Value) -> Result<Reach, Failure> {
            Ok(Reach::Paths { reads: vec![self.0.clone()], writes: Vec::new() })
        }

        fn run(&self, _: &Value, _: &TaskSpec, _: &TaskContext) -> Result<Value, Failure> {
            Ok(Value::Null)
        }
    }

    #[test]
    fn a_job_must_stay_inside_both_rules_and_the_newest_counts() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let path = base.join("a/b");
        std::fs::create_dir_all(&path).unwrap();
        let reader = Reader(path);
        let spec = Arc::new(JobSpec::new("null".into()));
        let own_root = base.join("a");
        let own = Roots { read: vec![own_root.clone()], rule: "--allow-read".into(), ..Roots::default() };
        let bounds = Bounds::new(Some(own));
        let check_under = |rule| bounds.check(&reader, &spec, &Value::Null, rule).map_err(|failure| failure.message);
        let check = || check_under(None);
        assert_eq!(check(), Ok(()));
        let rule = |read: PathBuf| v1::Bounds {
            read: vec![read.display().to_string()],
            rule: "the policy".into(),
            ..Default::default()
        };
        let welcome = |rule| v1::Welcome { bounds: Some(rule), folders: vec!["/further".into()], ..Default::default() };
        bounds.set(&welcome(rule(base.join("c"))));
        assert!(check().unwrap_err().contains("the policy allows"), "what passed is looked at again under a new rule");
        assert_eq!(check_under(Some(Arc::new(roots(&rule(base.clone()))))), Ok(()), "a rule of its own");
        assert!(check().is_err(), "which is not that of others, with the same spec");
        bounds.set(&welcome(rule(base.clone())));
        assert_eq!((check(), check()), (Ok(()), Ok(())));
        assert!(check_under(Some(Arc::new(roots(&rule(base.join("c")))))).is_err());
        assert!(
            !bounds.folders().any
                && bounds.folders().list.contains(&own_root)
                && bounds.folders().list.contains(&"/further".into()),
            "{:?}",
            bounds.folders()
        );
        assert_eq!(Bounds::new(None).folders(), Folders { list: vec![], any: true });
        assert_eq!(Bounds::new(None).check(&reader, &spec, &Value::Null, None), Ok(()), "no rule");
    }
}
