//! `braid project set`: the share and the quota of a project.

use crate::{client::Client, console::Console, error::Result, units, wire::ReachArgs};
use braid_proto::v1::{self, project::Limits};
use std::str::FromStr;

/// Say what share a project has, and how much it may use; what is not given is as for any project
#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// Name of the project
    #[arg(value_name = "NAME")]
    name: String,
    /// Its share beside other projects
    #[arg(long, value_name = "W", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    weight: u32,
    /// The most that its tasks may use at a time: threads=64,memory=256GiB,gpus=8 or some of them
    #[arg(long, value_name = "LIMITS")]
    quota: Option<Quota>,
    #[command(flatten)]
    coordinator: ReachArgs,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Quota(Limits);

impl FromStr for Quota {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let mut limits = Limits::default();
        for part in text.split(',') {
            let (name, value) = part.split_once('=').ok_or("not threads=N,memory=SIZE,gpus=N or some of them")?;
            let number = || value.parse::<u64>().map_err(|_| format!("`{value}` is no number of {name}"));
            let limit = match name {
                "threads" => limits.threads.replace(number()?),
                "gpus" => limits.gpus.replace(number()?),
                "memory" => limits.memory.replace(units::size(value)?),
                _ => return Err(format!("`{name}` has no quota: there are threads, memory and gpus")),
            };
            if limit.is_some() {
                return Err(format!("`{name}` is given twice"));
            }
        }
        Ok(Self(limits))
    }
}

pub(super) async fn run(args: SetArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    let quota = args.quota.map(|Quota(limits)| limits);
    let project = v1::Project { name: args.name, weight: args.weight, quota, used: None };
    let project = client.set_project(project).await?;
    console.note(&format!("project {} has weight {}", project.name, project.weight));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_of_threads_memory_and_gpus() {
        let limits = Limits { threads: Some(64), memory: Some(1 << 30), gpus: None };
        assert_eq!("threads=64,memory=1GiB".parse(), Ok(Quota(limits)));
        assert_eq!("gpus=0".parse(), Ok(Quota(Limits { gpus: Some(0), ..Limits::default() })));
        for (text, part) in [
            ("", "not threads=N"),
            ("threads", "not threads=N"),
            ("threads=x", "`x` is no number of threads"),
            ("disks=1", "`disks` has no quota"),
            ("gpus=1,gpus=2", "`gpus` is given twice"),
        ] {
            let error = text.parse::<Quota>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
