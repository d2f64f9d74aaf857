//! How projects are shown.

use super::{SCHEMA, View, table};
use crate::units::show_bytes;
use braid_proto::v1::{self, project::Limits};
use serde::Serialize;

/// `braid project ls`.
#[derive(Debug, Serialize)]
pub(crate) struct ProjectList {
    schema: &'static str,
    projects: Vec<ProjectView>,
}

#[derive(Debug, Serialize)]
struct ProjectView {
    name: String,
    weight: u32,
    quota: LimitsView,
    used: LimitsView,
}

/// `null` is no limit.
#[derive(Debug, Serialize)]
struct LimitsView {
    threads: Option<u64>,
    memory: Option<u64>,
    gpus: Option<u64>,
}

impl ProjectList {
    pub(crate) fn new(projects: Vec<v1::Project>) -> Self {
        let limits = |limits: Option<Limits>| {
            let Limits { threads, memory, gpus } = limits.unwrap_or_default();
            LimitsView { threads, memory, gpus }
        };
        let view = |project: v1::Project| ProjectView {
            name: project.name,
            weight: project.weight,
            quota: limits(project.quota),
            used: limits(project.used),
        };
        Self { schema: SCHEMA, projects: projects.into_iter().map(view).collect() }
    }
}

impl View for ProjectList {
    fn table(&self, _now: u64) -> String {
        let of = |used: Option<u64>, limit: Option<u64>, show: fn(u64) -> String| {
            let used = show(used.unwrap_or(0));
            match limit {
                Some(limit) => format!("{used} of {}", show(limit)),
                None => used,
            }
        };
        let row = |project: &ProjectView| {
            let ProjectView { name, weight, quota, used } = project;
            [
                name.clone(),
                weight.to_string(),
                of(used.threads, quota.threads, |count| count.to_string()),
                of(used.memory, quota.memory, show_bytes),
                of(used.gpus, quota.gpus, |count| count.to_string()),
            ]
        };
        let rows: Vec<_> = self.projects.iter().map(row).collect();
        table::columns(["NAME", "WEIGHT", "THREADS", "MEMORY", "GPUS"], &rows)
    }

    fn names(&self) -> Vec<String> {
        self.projects.iter().map(|project| project.name.clone()).collect()
    }

    fn is_final(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Format, render};

    #[test]
    fn projects_in_every_form() {
        let project = v1::Project {
            name: "vision".into(),
            weight: 2,
            quota: Some(Limits { threads: Some(64), memory: None, gpus: Some(8) }),
            used: Some(Limits { threads: Some(3), memory: Some(1_000_000), gpus: Some(0) }),
        };
        let list = ProjectList::new(vec![project]);
        insta::assert_snapshot!(render(&list, Format::Table, 0, false).unwrap(), @"
        NAME    WEIGHT  THREADS  MEMORY  GPUS
        vision  2       3 of 64  1.0 MB  0 of 8
        ");
        insta::assert_snapshot!(render(&list, Format::Json, 0, true).unwrap(), @r#"{"schema":"braid/v1","projects":[{"name":"vision","weight":2,"quota":{"threads":64,"memory":null,"gpus":8},"used":{"threads":3,"memory":1000000,"gpus":0}}]}"#);
        insta::assert_snapshot!(render(&list, Format::Name, 0, false).unwrap(), @"vision");
    }
}
