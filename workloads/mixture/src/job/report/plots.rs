//! The report as drawings: proportions over time, differences with their intervals, predicted against real losses.

use super::{
    Report,
    chart::{Sheet, ink, range},
};
use crate::job::{
    JobError, MixJob,
    execute::files,
    history::Line,
    runs::{CampaignId, Role},
};
use braid_drawing::{Anchor, Ink, Scene, Shape, png, svg};
use std::fs;

const WIDTH: f64 = 900.0;
/// How high a panel of proportions is.
const PANEL: f64 = 130.0;

pub(super) fn write(report: &Report, job: &MixJob) -> Result<(), JobError> {
    let mut drawings = vec![("proportions", proportions(report, job)?)];
    drawings.extend(differences(report).map(|scene| ("differences", scene)));
    drawings.extend(predictions(report).map(|scene| ("predictions", scene)));
    for (name, scene) in drawings {
        files::write(&job.out.join(format!("{name}.svg")), svg(&scene).as_bytes(), "report")?;
        files::write(&job.out.join(format!("{name}.png")), &png(&scene), "report")?;
    }
    Ok(())
}

/// What was asked for over time, a panel a method, of its first seed.
fn proportions(report: &Report, job: &MixJob) -> Result<Scene, JobError> {
    let title = format!("Proportions over {} steps, first seed", report.steps);
    let mut sheet = Sheet::new(WIDTH, &title);
    sheet.legend(report.domains.names());
    let Some(&seed) = job.spec.seeds.first() else { return Ok(sheet.scene(&title)) };
    for (index, method) in report.methods.iter().enumerate() {
        let run = CampaignId { method: index, seed }.run(Role::Main);
        let before = run.extent(&job.spec).before as f64;
        let path = job.out.join(run.folder(&job.spec)).join("history.jsonl");
        let text = fs::read_to_string(&path).map_err(JobError::file("read", &path))?;
        let lines = Line::decode(&text).map_err(|problem| JobError::Unreadable { path, problem })?;
        let panel = sheet.panel(PANEL, (0.0, report.steps as f64), (0.0, 1.0), (&method.name, "step"));
        for domain in 0..report.domains.len() {
            let (mut points, mut since) = (vec![], before);
            for line in &lines {
                let Line::Trained { step, proportions, .. } = line else { continue };
                let (until, share) = (before + *step as f64, proportions.as_slice().get(domain).copied().unwrap_or(0.0));
                points.extend([panel.at(since, share), panel.at(until, share)]);
                since = until;
            }
            sheet.shapes.push(Shape::Path { points, ink: ink(domain) });
        }
    }
    Ok(sheet.scene(&title))
}

/// Each method's difference of perplexity to the control, with its 95 % interval and those of single seeds.
fn differences(report: &Report) -> Option<Scene> {
    let control = report.methods.iter().find(|method| method.name == report.control)?;
    let others: Vec<_> = report.methods.iter().filter_map(|method| Some((method, method.difference?))).collect();
    let single = |method: &super::MethodReport| -> Vec<f64> {
        let pairs = method.runs.iter().zip(&control.runs);
        pairs.map(|(own, control)| own.mean_perplexity() - control.mean_perplexity()).collect()
    };
    let ends = others.iter().flat_map(|(method, paired)| {
        let interval = [paired.low, paired.high, Some(paired.mean), Some(0.0)];
        interval.into_iter().flatten().chain(single(method)).collect::<Vec<_>>()
    });
    let x = range(ends)?;
    let title = format!("Difference of test perplexity to {}, 95 % intervals", report.control);
    let mut sheet = Sheet::new(WIDTH, &title);
    let rows = others.len() as f64;
    let panel = sheet.panel(rows * 34.0, x, (0.0, rows), ("", "difference; left of zero is better"));
    let (zero, top) = panel.at(0.0, panel.y().1);
    let (_, bottom) = panel.at(0.0, panel.y().0);
    sheet.shapes.push(Shape::Line { x: zero, y: top, height: bottom - top, ink: Ink::Rule });
    for (index, (method, paired)) in others.iter().enumerate() {
        let middle = rows - index as f64 - 0.6;
        for difference in single(method) {
            let (x, y) = panel.at(difference, middle);
            sheet.shapes.push(Shape::Dot { x, y, radius: 2.0, ink: Ink::Faint, tip: None });
        }
        if let (Some(low), Some(high)) = (paired.low, paired.high) {
            let points = vec![panel.at(low, middle), panel.at(high, middle)];
            sheet.shapes.push(Shape::Path { points, ink: ink(index) });
        }
        let (x, y) = panel.at(paired.mean, middle);
        let tip = Some(format!("{}: {:+.4}", method.name, paired.mean));
        sheet.shapes.push(Shape::Dot { x, y, radius: 4.5, ink: ink(index), tip });
        sheet.word((panel.at(panel.x().0, 0.0).0 + 6.0, y - 11.0), Anchor::Start, Ink::Word, &method.name);
    }
    Some(sheet.scene(&title))
}

/// What laws and merges predict against what real runs had, a panel a method, of its first seed.
fn predictions(report: &Report) -> Option<Scene> {
    let title = "Predicted against real validation loss, first seed".to_owned();
    let mut sheet = Sheet::new(WIDTH, &title);
    sheet.legend(report.domains.names());
    let mut drawn = false;
    for method in &report.methods {
        let Some(fit) = method.fits.first() else { continue };
        let real = fit.points.iter().filter_map(|point| Some((point, point.real.as_ref()?)));
        let pairs: Vec<(usize, f64, f64, bool)> = real
            .flat_map(|(point, real)| {
                let pairs = point.predicted.iter().zip(real).enumerate();
                pairs.map(|(domain, (predicted, real))| (domain, *predicted, *real, point.held_out))
            })
            .collect();
        let Some(both) = range(pairs.iter().flat_map(|(_, predicted, real, _)| [*predicted, *real])) else { continue };
        let panel =
            sheet.panel(360.0, both, both, (&method.name, "predicted, nats a token (a larger dot: had no part in the fit)"));
        let (low, high) = (panel.at(both.0, both.0), panel.at(both.1, both.1));
        sheet.shapes.push(Shape::Path { points: vec![low, high], ink: Ink::Faint });
        for (domain, predicted, real, held_out) in pairs {
            let (x, y) = panel.at(predicted, real);
            let name = report.domains.name(domain);
            let tip = Some(format!("{name}: predicted {predicted:.4}, real {real:.4}"));
            sheet.shapes.push(Shape::Dot { x, y, radius: if held_out { 4.0 } else { 2.5 }, ink: ink(domain), tip });
        }
        drawn = true;
    }
    drawn.then(|| sheet.scene(&title))
}
