//! The report as tables: Markdown for people, CSV for programs.

use super::{MethodReport, Paired, Report};
use crate::job::{
    JobError, MixJob,
    execute::files,
    history::Line,
    offline::Fitted,
    runs::{CampaignId, Role},
};
use crate::swarm::Agreement;
use std::{fmt::Write as _, fs};

pub(super) fn write(report: &Report, job: &MixJob) -> Result<(), JobError> {
    let file = |name: &str, text: &str| files::write(&job.out.join(name), text.as_bytes(), "report");
    file("report.md", &markdown(report))?;
    file("runs.csv", &runs(report)?)?;
    let (proportions, losses) = stretches(report, job)?;
    file("proportions.csv", &proportions)?;
    file("losses.csv", &losses)?;
    if report.methods.iter().any(|method| !method.fits.is_empty()) {
        file("predictions.csv", &predictions(report)?)?;
    }
    Ok(())
}

fn markdown(report: &Report) -> String {
    let mut out = format!(
        "# Mixture of {}\n\nTest perplexity, mean over domains; differences to {} seed by seed, with 95 % intervals.\n\n\
         | method | runs | perplexity | difference | interval | lower in | sure | steps | validations | learnt proportions |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
        report.domains.names().join(", "),
        report.control
    );
    for method in &report.methods {
        let (steps, validations) = cost(method);
        let [difference, interval, below, sure] = difference(method.difference);
        let learnt: Vec<String> = method.mean_learnt().iter().map(|share| format!("{share:.3}")).collect();
        let _ = writeln!(
            out,
            "| {} | {} | {:.3} | {difference} | {interval} | {below} | {sure} | {steps} | {validations} | {} |",
            method.name,
            method.runs.len(),
            method.perplexity,
            learnt.join(" ")
        );
    }
    out += "\nTest loss of each domain, nats a token, mean over seeds.\n\n| method |";
    report.domains.names().iter().for_each(|name| out.extend([" ", name, " |"]));
    out += &format!("\n|---|{}\n", "---|".repeat(report.domains.len()));
    for method in &report.methods {
        let _ = write!(out, "| {} |", method.name);
        for domain in 0..report.domains.len() {
            let losses = method.runs.iter().filter_map(|run| run.test.get(domain));
            let _ = write!(out, " {:.4} |", losses.sum::<f64>() / method.runs.len().max(1) as f64);
        }
        out.push('\n');
    }
    for method in report.methods.iter().filter(|method| !method.fits.is_empty()) {
        fits(method, &mut out);
    }
    out
}

/// How well the laws of an offline method hold, a table a method.
fn fits(method: &MethodReport, out: &mut String) {
    *out += &format!(
        "\nThe laws of {}: rank correlation (and R²) of what is predicted with what was measured.\n\n\
         | seed | domain | fitted to | held-out runs | merges to real runs | real ≈ | rely on it |\n|---|---|---|---|---|---|---|\n",
        method.name
    );
    let figure = |agreement: &Agreement| {
        let number = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| format!("{number:.3}"));
        format!("{} ({})", number(agreement.spearman), number(agreement.explained))
    };
    for (fitted, run) in method.fits.iter().zip(&method.runs) {
        for fit in &fitted.domains {
            let held_out = fit.held_out.as_ref().map_or_else(String::new, figure);
            let merges = fit.calibration.as_ref().map_or_else(String::new, |map| figure(&map.agreement));
            let real = fit.calibration.map_or_else(String::new, |map| format!("{:.3} + {:.3} · merge", map.offset, map.slope));
            let warning = fit.warning.as_ref().map_or_else(|| "yes".to_owned(), |why| format!("**no**: {why}"));
            let (seed, domain, agreement) = (run.seed, &fit.domain, figure(&fit.agreement));
            *out += &format!("| {seed} | {domain} | {agreement} | {held_out} | {merges} | {real} | {warning} |\n");
        }
        let (count, fresh) = fitted.mean_of;
        let runs = if fresh { "that had no part in a fit" } else { "that the laws were fitted to" };
        let (seed, mean) = (run.seed, figure(&fitted.mean));
        *out += &format!("\nSeed {seed}: mean loss over the domains, {count} real runs {runs}: {mean}.\n");
        if !std::ptr::eq(run, method.runs.last().unwrap_or(run)) {
            *out += "\n| seed | domain | fitted to | held-out runs | merges to real runs | real ≈ | rely on it |\n|---|---|---|---|---|---|---|\n";
        }
    }
}

/// One line a mixture and domain.
fn predictions(report: &Report) -> Result<String, JobError> {
    let head = ["method", "seed", "mixture", "domain", "predicted", "merge", "real", "held_out"].map(str::to_owned);
    let names = report.domains.names();
    let mut rows = vec![[head.to_vec(), names.iter().map(|name| format!("share:{name}")).collect()].concat()];
    for method in &report.methods {
        for (fitted, run) in method.fits.iter().zip(&method.runs) {
            rows.extend(rows_of(fitted, names, &[method.name.clone(), run.seed.to_string()]));
        }
    }
    csv(&rows)
}

fn rows_of(fitted: &Fitted, names: &[String], begin: &[String]) -> Vec<Vec<String>> {
    let mut rows = vec![];
    for (number, point) in fitted.points.iter().enumerate() {
        for (domain, name) in names.iter().enumerate() {
            let value =
                |losses: Option<&Vec<f64>>| losses.and_then(|losses| losses.get(domain)).map_or_else(String::new, f64::to_string);
            let values = [value(Some(&point.predicted)), value(point.proxy.as_ref()), value(point.real.as_ref())];
            let shares = point.proportions.iter().map(|share| share.to_string()).collect();
            let middle = vec![number.to_string(), name.clone()];
            rows.push([begin.to_vec(), middle, values.to_vec(), vec![point.held_out.to_string()], shares].concat());
        }
    }
    rows
}

fn cost(method: &MethodReport) -> (u64, u64) {
    let steps = method.runs.iter().map(|run| run.cost.steps + run.cost.probe_steps).sum();
    (steps, method.runs.iter().map(|run| run.cost.validations).sum())
}

fn difference(difference: Option<Paired>) -> [String; 4] {
    let Some(paired) = difference else { return [const { String::new() }; 4] };
    let interval = match (paired.low, paired.high) {
        (Some(low), Some(high)) => format!("[{low:+.4}, {high:+.4}]"),
        _ => String::new(),
    };
    let sure = if paired.is_sure() { "yes" } else { "no" };
    [format!("{:+.4}", paired.mean), interval, format!("{} of {}", paired.below, paired.pairs), sure.into()]
}

/// One line a run.
fn runs(report: &Report) -> Result<String, JobError> {
    let names = report.domains.names();
    let mut rows = vec![];
    let head = ["method", "seed", "perplexity", "loss", "steps", "probe_steps", "validations", "gradients"].map(str::to_owned);
    let columns = |prefix: &str| names.iter().map(|name| format!("{prefix}:{name}")).collect::<Vec<_>>();
    rows.push([head.to_vec(), columns("loss"), columns("realised"), columns("learnt")].concat());
    for method in &report.methods {
        for run in &method.runs {
            let cost = run.cost;
            let mut row = vec![method.name.clone(), run.seed.to_string()];
            row.extend([run.mean_perplexity(), run.mean_loss()].map(|figure| figure.to_string()));
            row.extend([cost.steps, cost.probe_steps, cost.validations, cost.gradients].map(|figure| figure.to_string()));
            row.extend(run.test.iter().copied().chain(run.realised.iter()).chain(run.learnt.iter()).map(|x| x.to_string()));
            rows.push(row);
        }
    }
    csv(&rows)
}

/// Proportions asked for, and mean training losses: one line a stretch.
fn stretches(report: &Report, job: &MixJob) -> Result<(String, String), JobError> {
    let head = [["method", "seed", "step"].map(str::to_owned).to_vec(), report.domains.names().to_vec()].concat();
    let (mut proportions, mut losses) = (vec![head.clone()], vec![head]);
    for (index, method) in job.spec.methods.iter().enumerate() {
        for &seed in &job.spec.seeds {
            let run = CampaignId { method: index, seed }.run(Role::Main);
            let path = job.out.join(run.folder(&job.spec)).join("history.jsonl");
            let text = fs::read_to_string(&path).map_err(JobError::file("read", &path))?;
            let lines = Line::decode(&text).map_err(|problem| JobError::Unreadable { path, problem })?;
            for line in lines {
                let Line::Trained { step, proportions: shares, losses: means, .. } = line else { continue };
                let begin = vec![method.name.clone(), seed.to_string(), step.to_string()];
                proportions.push([begin.clone(), shares.iter().map(|share| share.to_string()).collect()].concat());
                let mean = |mean: &Option<f64>| mean.map_or_else(String::new, |mean| mean.to_string());
                losses.push([begin, means.iter().map(mean).collect()].concat());
            }
        }
    }
    Ok((csv(&proportions)?, csv(&losses)?))
}

fn csv(rows: &[Vec<String>]) -> Result<String, JobError> {
    let broken = |error: &dyn std::fmt::Display| JobError::Task(format!("cannot write a table: {error}"));
    let mut writer = csv::Writer::from_writer(vec![]);
    rows.iter().try_for_each(|row| writer.write_record(row)).map_err(|error| broken(&error))?;
    let bytes = writer.into_inner().map_err(|error| broken(&error))?;
    String::from_utf8(bytes).map_err(|error| broken(&error))
}
