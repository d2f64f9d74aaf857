//! How a plan is shown: a table for people, and a schema that trainers read.

use super::{SCHEMA, table};
use crate::{
    error::{Error, Result},
    planning::{self, Answer, Baselines, Question},
    units::show_duration,
};
use braid_sequence::planner::{Batch, CostModel, Group, Millis, Plan, baseline::Baseline};
use serde::Serialize;
use std::time::Duration;

/// How wide the column of groups may be: the table fits 80 columns.
const GROUPS: usize = 30;

/// How a plan prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PlanFormat {
    /// Columns for people.
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// `braid plan`.
#[derive(Debug, Serialize)]
pub(crate) struct PlanView {
    schema: &'static str,
    cluster: String,
    model: String,
    context: u64,
    world: u32,
    barrier: bool,
    predicted_s: f64,
    bound_s: f64,
    gap: f64,
    any_division_bound_s: f64,
    solve_ms: f64,
    baselines: BaselinesView,
    dropped: Vec<usize>,
    micro_batches: Vec<MicroBatchView>,
    #[serde(skip)]
    totals: Vec<(&'static str, Option<String>)>,
    #[serde(skip)]
    rows: Vec<[String; 7]>,
}

/// Absent where the cluster has several pools.
#[derive(Debug, Serialize)]
struct BaselinesView {
    static_s: Option<f64>,
    batchada_s: Option<f64>,
}

#[derive(Debug, Serialize)]
struct MicroBatchView {
    predicted_s: f64,
    bound_s: f64,
    groups: Vec<GroupView>,
}

#[derive(Debug, Serialize)]
struct GroupView {
    first_rank: u32,
    degree: u32,
    predicted_s: f64,
    sequences: Vec<usize>,
}

impl PlanView {
    pub(crate) fn new(question: &Question, answer: &Answer, baselines: &Baselines) -> Self {
        let plan = &answer.plan;
        let seconds = |baseline: Option<Baseline>| baseline.map(|baseline| baseline.predicted.seconds());
        Self {
            schema: SCHEMA,
            cluster: question.cluster.name.clone(),
            model: question.model.name.clone(),
            context: answer.context.0,
            world: plan.world,
            barrier: plan.barrier,
            predicted_s: plan.predicted_ms.seconds(),
            bound_s: plan.bound_ms.seconds(),
            gap: plan.gap(),
            any_division_bound_s: plan.any_division_bound_ms.seconds(),
            solve_ms: answer.solve.as_secs_f64() * 1e3,
            baselines: BaselinesView { static_s: seconds(baselines.fixed), batchada_s: seconds(baselines.batch_ada) },
            dropped: answer.batch.dropped.clone(),
            micro_batches: plan.micro_batches.iter().map(MicroBatchView::from).collect(),
            totals: totals(question, answer, baselines),
            rows: rows(plan, &answer.batch, &answer.cost),
        }
    }

    pub(crate) fn render(&self, format: PlanFormat) -> Result<String> {
        let broken = |error: &dyn std::fmt::Display| Error::unavailable(format!("cannot write the output: {error}"));
        Ok(match format {
            PlanFormat::Table => self.table(),
            PlanFormat::Json => serde_json::to_string_pretty(self).map_err(|error| broken(&error))?,
            PlanFormat::Yaml => serde_saphyr::to_string(self).map_err(|error| broken(&error))?,
        })
    }

    fn table(&self) -> String {
        let heading = ["#", " SEQS", "    TOKENS", "  PREDICTED", "     BOUND", "   GAP", "GROUPS"];
        format!("{}\n{}", table::columns(heading, &self.rows), table::fields(&self.totals))
    }
}

impl From<&braid_sequence::planner::MicroBatch> for MicroBatchView {
    fn from(m: &braid_sequence::planner::MicroBatch) -> Self {
        Self {
            predicted_s: m.predicted_ms.seconds(),
            bound_s: m.bound_ms.seconds(),
            groups: m.groups.iter().map(GroupView::from).collect(),
        }
    }
}

impl From<&Group> for GroupView {
    fn from(group: &Group) -> Self {
        Self {
            first_rank: group.first_rank.0,
            degree: group.degree.0,
            predicted_s: group.predicted_ms.seconds(),
            sequences: group.sequences.clone(),
        }
    }
}

/// A row for each micro-batch; groups that do not fit go on in rows of their own.
fn rows(plan: &Plan, batch: &Batch, cost: &CostModel) -> Vec<[String; 7]> {
    // By index, so that every group's tokens are found at once.
    let most = batch.sequences.iter().map(|s| s.index + 1).max().unwrap_or(0);
    let mut tokens = vec![0u64; most];
    batch.sequences.iter().for_each(|s| tokens[s.index] = s.tokens.0);
    let mut rows = Vec::new();
    for (index, m) in plan.micro_batches.iter().enumerate() {
        let members = || m.groups.iter().flat_map(|group| &group.sequences);
        let mut lines = wrap(&shapes(&m.groups, cost), GROUPS).into_iter();
        let micro_batch = [
            (index + 1).to_string(),
            format!("{:>5}", members().count()),
            format!("{:>10}", members().filter_map(|&index| tokens.get(index)).sum::<u64>()),
            format!("{:>11}", time(m.predicted_ms)),
            // Without a barrier no micro-batch is planned for its own sake.
            if plan.barrier { format!("{:>10}", time(m.bound_ms)) } else { String::new() },
            if plan.barrier { format!("{:>6}", percent(m.gap())) } else { String::new() },
            lines.next().unwrap_or_default(),
        ];
        rows.push(micro_batch);
        rows.extend(lines.map(|line| {
            let mut row: [String; 7] = Default::default();
            row[6] = line;
            row
        }));
    }
    rows
}

/// `32 16 8×2`: the degrees of the groups, pool by pool, equal ones together.
fn shapes(groups: &[Group], cost: &CostModel) -> Vec<String> {
    let mut words = Vec::new();
    for pool in cost.pools() {
        let ranks = pool.first_rank.0..pool.first_rank.0 + pool.gpus;
        let mut degrees: Vec<u32> = groups.iter().filter(|g| ranks.contains(&g.first_rank.0)).map(|g| g.degree.0).collect();
        degrees.sort_unstable_by(|a, b| b.cmp(a));
        if cost.pools().len() > 1 && !degrees.is_empty() {
            words.push(format!("{}:", pool.class));
        }
        words.extend(degrees.chunk_by(|a, b| a == b).map(|run| match run {
            [one] => one.to_string(),
            many => format!("{}×{}", many[0], many.len()),
        }));
    }
    words
}

/// Words in lines of at most `widest` letters, a longer word in a line of its own.
fn wrap(words: &[String], widest: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= widest => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.clone()),
        }
    }
    lines
}

fn totals(question: &Question, answer: &Answer, baselines: &Baselines) -> Vec<(&'static str, Option<String>)> {
    let (plan, batch) = (&answer.plan, &answer.batch);
    let bound = match plan.barrier {
        true => format!("{} in these micro-batches, {} in any", time(plan.bound_ms), time(plan.any_division_bound_ms)),
        false => format!("{}: no plan takes less", time(plan.bound_ms)),
    };
    let rival = |baseline: Option<Baseline>| match baseline {
        Some(Baseline { degree, predicted, .. }) => {
            let longer = predicted.0 / plan.predicted_ms.0;
            format!("{} with groups of {degree}: {longer:.2} times as long", time(predicted))
        }
        None => "cannot be run here".into(),
    };
    let unit = planning::unit(&question.cluster);
    let dropped = (!batch.dropped.is_empty()).then(|| {
        let kept = planning::longest_kept(&question.cluster, answer.context);
        format!("{}: longer than {kept} tokens, the context of {} less {unit}", batch.dropped.len(), answer.context)
    });
    let objective = match plan.barrier {
        true => "all ranks wait for each other between micro-batches",
        false => "the busiest rank; no waiting between micro-batches",
    };
    vec![
        ("objective", Some(objective.into())),
        ("predicted", Some(time(plan.predicted_ms))),
        ("bound", Some(bound)),
        ("gap", Some(percent(plan.gap()))),
        ("solved in", Some(solved(answer.solve))),
        ("static", Some(rival(baselines.fixed))),
        ("BatchAda", Some(rival(baselines.batch_ada))),
        (
            "sequences",
            Some(format!("{}, {} tokens, each length rounded up to a multiple of {unit}", batch.sequences.len(), batch.tokens())),
        ),
        ("dropped", dropped),
    ]
}

fn solved(took: Duration) -> String {
    if took < Duration::from_millis(10) { format!("{:.1} ms", took.as_secs_f64() * 1e3) } else { show_duration(took) }
}

/// `7.66 s`, or `12.5 ms` below a second.
fn time(at: Millis) -> String {
    if at.0 >= 999.95 { format!("{:.2} s", at.seconds()) } else { format!("{:.1} ms", at.0) }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
