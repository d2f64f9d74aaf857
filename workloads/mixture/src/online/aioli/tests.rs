//! Traces of Algorithm 1 from losses that are no law's, by arithmetic of their own; and laws that the estimate must find.

use super::super::{
    Directive, Observation, Online,
    simulate::{Trainer, drive, run, settings},
};
use crate::numerics::Matrix;

fn close(found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() < 1e-9, "{found} instead of {wanted}");
    }
}

/// Losses that follow no law, the same for every call.
fn wild(step: u64, domain: usize) -> f64 {
    3.0 + domain as f64 - 0.002 * step as f64 + 0.3 * ((step * 7 + domain as u64 * 13) as f64).sin()
}

/// One trial as the test sees it: on which domain, what it consumed, losses before and after.
struct Trial {
    hot: usize,
    mix: [f64; 3],
    drop: [f64; 3],
}

fn determinant(m: [[f64; 3]; 3]) -> f64 {
    m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
}

/// `A` by Cramer's rule from mean drops and mean mixtures.
fn by_hand(trials: &[Trial]) -> [[f64; 3]; 3] {
    let mut mixes = [[0.0; 3]; 3];
    let mut drops = [[0.0; 3]; 3];
    for j in 0..3 {
        let own: Vec<&Trial> = trials.iter().filter(|trial| trial.hot == j).collect();
        for k in 0..3 {
            mixes[j][k] = own.iter().map(|trial| trial.mix[k]).sum::<f64>() / own.len() as f64;
            drops[j][k] = own.iter().map(|trial| trial.drop[k]).sum::<f64>() / own.len() as f64;
        }
    }
    let all = determinant(mixes);
    let entry = |i: usize, l: usize| {
        let mut replaced = mixes;
        (0..3).for_each(|j| replaced[j][l] = drops[j][i]);
        determinant(replaced) / all
    };
    [0, 1, 2].map(|i| [0, 1, 2].map(|l| entry(i, l)))
}

fn normalized(a: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let least = a.iter().flatten().fold(f64::INFINITY, |least, &entry| least.min(entry)).min(0.0);
    let sum: f64 = a.iter().flatten().map(|entry| entry - least).sum();
    a.map(|row| row.map(|entry| (entry - least) / sum))
}

/// Runs with wild losses; for each round its trials and the proportions of its main part.
fn rounds(text: &str, steps: u64) -> Vec<(Vec<Trial>, Vec<f64>)> {
    let mut online = Online::new(&settings(text), run(3, steps, 8)).unwrap();
    let mut composer = crate::Composer::new(3, 8).unwrap();
    let losses = |step: u64| -> Vec<f64> { (0..3).map(|domain| wild(step, domain)).collect() };
    let (mut found, mut trials) = (vec![], vec![]);
    loop {
        let before = online.step();
        let (leg, tokens) = match online.next() {
            Directive::Done => return found,
            Directive::Measure(_) => (None, vec![0; 3]),
            Directive::Probe(_) => panic!("no probe was asked for"),
            Directive::Train(leg) => {
                let mut tokens = vec![0; 3];
                for _ in before..leg.until {
                    let counts = composer.next(&leg.proportions, 8, leg.rule, 5).unwrap();
                    tokens.iter_mut().zip(counts).for_each(|(sum, count)| *sum += 10 * count);
                }
                (Some(leg), tokens)
            }
        };
        let step = leg.as_ref().map_or(before, |leg| leg.until);
        let all: u64 = tokens.iter().sum();
        if let Some(leg) = leg {
            let shares: Vec<f64> = leg.proportions.iter().collect();
            let hot = (0..3).max_by(|&a, &b| shares[a].total_cmp(&shares[b])).unwrap();
            if step - before == 3 {
                let drop = [0, 1, 2].map(|i| wild(before, i) - wild(step, i));
                trials.push(Trial { hot, mix: [0, 1, 2].map(|i| tokens[i] as f64 / all as f64), drop });
            } else {
                found.push((std::mem::take(&mut trials), shares));
            }
        }
        online.observe(&Observation { step, tokens, validation: losses(step), ..Observation::default() }).unwrap();
    }
}

#[test]
fn three_rounds_by_hand() {
    let found = rounds("{method: aioli, round: 40, sweeps: 2, interval: 3, smoothing: 0.6, rate: 0.7}", 120);
    assert_eq!(found.len(), 3);
    let mut weights = [1.0; 3];
    for (trials, played) in &found {
        assert_eq!(
            trials.iter().map(|trial| trial.hot).fold([0; 3], |mut n, hot| {
                n[hot] += 1;
                n
            }),
            [2; 3]
        );
        let used = normalized(by_hand(trials));
        for (j, weight) in weights.iter_mut().enumerate() {
            *weight *= (0.7 * (0..3).map(|i| used[i][j]).sum::<f64>()).exp();
        }
        close(played, &weights.map(|weight| weight / weights.iter().sum::<f64>()));
    }
    assert!(found[2].1.iter().any(|share| (share - 1.0 / 3.0).abs() > 0.05), "{:?} moved nowhere", found[2].1);
}

#[test]
fn a_moving_average_keeps_weights_cumulative() {
    let found = rounds("{method: aioli, round: 40, sweeps: 2, interval: 3, smoothing: 0.6, rate: 0.7, memory: 0.3}", 120);
    let (mut weights, mut average) = ([1.0; 3], None);
    for (trials, played) in &found {
        let new = normalized(by_hand(trials));
        let old = average.unwrap_or(new);
        let blended = [0, 1, 2].map(|i| [0, 1, 2].map(|j| 0.7 * new[i][j] + 0.3 * old[i][j]));
        average = Some(blended);
        for (j, weight) in weights.iter_mut().enumerate() {
            *weight *= (0.7 * (0..3).map(|i| blended[i][j]).sum::<f64>()).exp();
        }
        close(played, &weights.map(|weight| weight / weights.iter().sum::<f64>()));
    }
}

/// The released code: from uniform each round, and solved with the mixtures that were asked for.
#[test]
fn released_semantics_by_hand() {
    let text = "{method: aioli, round: 40, sweeps: 2, interval: 3, smoothing: 0.6, rate: 0.7, memory: 0.3, semantics: released}";
    let found = rounds(text, 120);
    let mut average = None;
    for (trials, played) in &found {
        let asked = |trial: &Trial| Trial {
            mix: [0, 1, 2].map(|j| if j == trial.hot { 0.6 } else { 0.2 }),
            ..Trial { hot: trial.hot, mix: trial.mix, drop: trial.drop }
        };
        let new = normalized(by_hand(&trials.iter().map(asked).collect::<Vec<_>>()));
        let old = average.unwrap_or(new);
        let blended = [0, 1, 2].map(|i| [0, 1, 2].map(|j| 0.7 * new[i][j] + 0.3 * old[i][j]));
        average = Some(blended);
        let weights = [0, 1, 2].map(|j| (0.7 * (0..3).map(|i| blended[i][j]).sum::<f64>()).exp());
        close(played, &weights.map(|weight| weight / weights.iter().sum::<f64>()));
        let (most, least) = played.iter().fold((0.0f64, 1.0f64), |(most, least), &p| (most.max(p), least.min(p)));
        assert!(most / least <= 0.7f64.exp() + 1e-12, "{most} {least}");
    }
}

fn law() -> Matrix {
    vec![vec![4e-3, 1e-3, 0.0], vec![5e-4, 2e-3, 1e-3], vec![-3e-4, 0.0, 3e-3]]
}

/// Sixteen slots do not divide evenly into these mixtures: only realised ones give the law back.
#[test]
fn a_linear_law_is_found_exactly() {
    for probing in ["sequential", "forked"] {
        let text =
            format!("{{method: aioli, round: 100, sweeps: 3, interval: 5, smoothing: 0.5, rate: 0.5, probing: {probing}}}");
        let run = run(3, 300, 16);
        let mut online = Online::new(&settings(&text), run.clone()).unwrap();
        let mut trainer = Trainer::new(law(), &[4.0, 5.0, 6.0], &run);
        let legs = drive(&mut online, &mut trainer);
        for (found, wanted) in online.interactions().unwrap().iter().flatten().zip(law().iter().flatten()) {
            assert!((found - 5.0 * wanted).abs() < 1e-9, "{found} instead of {}", 5.0 * wanted);
        }
        // Column sums are 4.2e-3, 3e-3 and 4e-3: that order, more so from round to round.
        let last = legs.last().unwrap();
        assert!(last[0] > last[2] && last[2] > last[1], "{last:?}");
        let cost = online.cost();
        assert_eq!(cost.steps, 300);
        let (probe_steps, validations) = if probing == "forked" { (3 * 9 * 5, 3 * 10) } else { (0, 3 * (9 + 1)) };
        assert_eq!((cost.probe_steps, cost.validations), (probe_steps, validations), "{probing}");
    }
}

#[test]
fn with_noise_the_estimate_converges_as_sweeps_are_added() {
    let error = |sweeps: u64| {
        let round = sweeps * 12 + 1;
        let text = format!("{{method: aioli, round: {round}, sweeps: {sweeps}, interval: 4, smoothing: 0.5}}");
        let run = run(3, round, 12);
        let mut online = Online::new(&settings(&text), run.clone()).unwrap();
        let mut trainer = Trainer::new(law(), &[4.0, 5.0, 6.0], &run);
        trainer.noise = 0.01;
        drive(&mut online, &mut trainer);
        let found = online.interactions().unwrap();
        let pairs = found.iter().flatten().zip(law().into_iter().flatten());
        (pairs.map(|(found, wanted)| (found / 4.0 - wanted).powi(2)).sum::<f64>() / 9.0).sqrt()
    };
    let (few, many) = (error(4), error(400));
    assert!(many < 6e-4 && many < few / 4.0, "{few} {many}");
}

#[test]
fn refines_given_proportions_and_keeps_to_its_budget() {
    let text = "{method: aioli, round: 100, sweeps: 2, budget: 0.3, start: {proportions: [0.2, 0.3, 0.5], steps: 50}}";
    let run = run(3, 300, 12);
    let mut online = Online::new(&settings(text), run.clone()).unwrap();
    let mut trainer = Trainer::new(law(), &[4.0, 5.0, 6.0], &run);
    let mut lengths = vec![];
    while let Directive::Train(leg) = online.next() {
        lengths.push(leg.until - online.step());
        trainer.advance(&mut online);
    }
    // 0.3 of 100 steps over six trials are five each; after two rounds fifty steps are left.
    let round = [5, 5, 5, 5, 5, 5, 70];
    assert_eq!(lengths, [&[50][..], &round, &round, &[50]].concat());
    assert_eq!(online.next(), Directive::Done);
}

#[test]
fn mixtures_that_do_not_differ_are_refused() {
    let mut online = Online::new(&settings("{method: aioli, round: 20, sweeps: 1, interval: 2}"), run(2, 20, 4)).unwrap();
    let observe = |online: &mut Online, step: u64, tokens: [u64; 2]| {
        online.observe(&Observation { step, tokens: tokens.into(), validation: vec![3.0, 3.0], ..Observation::default() })
    };
    observe(&mut online, 0, [0, 0]).unwrap();
    observe(&mut online, 2, [64, 64]).unwrap();
    let before = online.clone();
    let error = observe(&mut online, 4, [64, 64]).unwrap_err();
    assert_eq!(error.to_string(), "aioli: the mixtures consumed in round 1 do not tell the domains apart");
    assert!(error.hint().is_some());
    assert_eq!(online, before, "a refused report changes nothing");
}

#[test]
fn settings_out_of_range() {
    let text =
        |fields: &str| Online::new(&settings(&format!("{{method: aioli, {fields}}}")), run(3, 300, 12)).unwrap_err().to_string();
    assert_eq!(text("round: 48"), "aioli: round is 48: more than the 48 steps of 12 trials");
    assert_eq!(text("round: 301"), "aioli: round is 301: at most 300, so that one fits into the run");
    assert_eq!(text("smoothing: 1.0"), "aioli: smoothing is 1: from 0 to below 1");
    assert_eq!(text("budget: 0.01"), "aioli: budget is 0.01: enough of a round of 250 steps for 12 trials of one step or more");
    assert_eq!(
        text("start: {proportions: [0.5, 0.5], steps: 1}"),
        "aioli's start: expected 3 entries, one for each domain, found 2"
    );
}
