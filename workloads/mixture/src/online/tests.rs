//! Every method: a trace by hand, what its paper says it does, and what all of them promise.

use super::{
    Directive, Gradients, Observation, Online, Run,
    simulate::{Trainer, drive, run, settings},
};
use crate::{Proportions, numerics::Matrix};

/// All methods, with constants that make them move in a short run.
const ALL: [&str; 16] = [
    "{method: stratified}",
    "{method: proportional, exponent: 0.5}",
    "{method: fixed, proportions: [0.5, 0.3, 0.2]}",
    "{method: schedule, stages: [{from: 0, proportions: [1, 0, 0]}, {from: 40, proportions: [0.2, 0.3, 0.5]}]}",
    "{method: aioli, round: 50, sweeps: 2, interval: 4, rate: 0.5}",
    "{method: aioli, round: 50, sweeps: 2, interval: 4, memory: 0.5, probing: forked}",
    "{method: aioli, round: 50, sweeps: 2, interval: 4, memory: 0.1, semantics: released}",
    "{method: aioli, round: 50, sweeps: 1, interval: 4, start: {proportions: [0.1, 0.1, 0.8], steps: 20}}",
    "{method: skill-it, every: 20, graph_steps: 30}",
    "{method: doremi, every: 5, rate: 0.1, reference_steps: 60}",
    "{method: doremi, every: 5, rate: 0.1, play: sampling}",
    "{method: doge, every: 5}",
    "{method: odm, every: 2}",
    "{method: ado, every: 2, skip: 10, first_fit: 40, refit: 30}",
    "{method: pike, every: 10, norm_rate: 20.0}",
    "{method: sheared, every: 20, targets: [2.0, 3.0, 4.0]}",
];

/// Domain 0 helps all, domain 1 profits from all and helps nobody else, domain 2 learns alone.
fn law() -> Matrix {
    vec![vec![2e-3, 0.0, 0.0], vec![3e-3, 1e-3, 1e-3], vec![1e-3, 0.0, 2e-3]]
}

fn trainer(run: &Run) -> Trainer {
    let mut trainer = Trainer::new(law(), &[4.0, 4.0, 4.0], run);
    trainer.floor = Some(vec![1.5, 1.0, 2.0]);
    trainer
}

fn online(text: &str, run: &Run) -> Online {
    Online::new(&settings(text), run.clone()).unwrap()
}

fn close(found: &Proportions, wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len());
    let sum: f64 = wanted.iter().sum();
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted / sum).abs() < 1e-9, "{found} instead of {}", wanted / sum);
    }
}

fn leg(online: &Online) -> (u64, Proportions) {
    match online.next() {
        Directive::Train(leg) => (leg.until, leg.objective.unwrap_or(leg.proportions)),
        other => panic!("{other:?}"),
    }
}

/// Reports the leg with some tokens of every domain.
fn report(online: &mut Online, fill: impl FnOnce(&mut Observation)) {
    let (step, _) = leg(online);
    let mut seen = Observation { step, tokens: vec![100; online.run().domains.len()], ..Observation::default() };
    fill(&mut seen);
    online.observe(&seen).unwrap();
}

/// Stopped and read back from text after every single report, on a simplex, the same again.
#[test]
fn a_restart_anywhere_changes_nothing() {
    for text in ALL {
        let run = run(3, 150, 12);
        let (mut undisturbed, mut first) = (online(text, &run), trainer(&run));
        first.noise = 0.01;
        let mut second = first.clone();
        let legs = drive(&mut undisturbed, &mut first);
        let mut disturbed = online(text, &run);
        let mut again = vec![];
        while let Some(played) = second.advance(&mut disturbed) {
            again.extend(played);
            let stored = serde_json::to_string(&disturbed.state().unwrap()).unwrap();
            disturbed = Online::restore(serde_json::from_str(&stored).unwrap()).unwrap();
        }
        assert_eq!(legs, again, "{text}");
        assert_eq!(undisturbed, disturbed, "{text}");
        assert_eq!(undisturbed.step(), 150, "{text}");
        assert_eq!(undisturbed.cost().steps, 150, "{text}");
        for played in legs.iter().chain([&undisturbed.learnt()]) {
            assert!((played.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{text}: {played:?}");
        }
    }
}

/// Asked twice, a method says the same, and a report that is refused leaves no trace.
#[test]
fn reports_are_checked_before_a_method_sees_them() {
    for text in ALL {
        let run = run(3, 150, 12);
        let mut online = online(text, &run);
        let mut trainer = trainer(&run);
        while !matches!(online.next(), Directive::Train(_)) {
            trainer.advance(&mut online);
        }
        let before = online.clone();
        let Directive::Train(leg) = online.next() else { unreachable!() };
        let step = leg.until;
        let three = || vec![Some(2.0); 3];
        let gradients = Gradients {
            squared_norms: vec![1.0; 3],
            variances: vec![1.0; 3],
            products: vec![vec![1.0; 3]; 3],
            learning_rate: 1e-3,
        };
        let good = Observation {
            step,
            tokens: vec![100; 3],
            train: three(),
            validation: vec![2.0; 3],
            excess: three(),
            gradients: Some(gradients),
        };
        let mut wrong = vec![
            Observation { step: step + 1, ..good.clone() },
            Observation { tokens: vec![100; 2], ..good.clone() },
            Observation { tokens: vec![0; 3], ..good.clone() },
            Observation { train: vec![Some(2.0), None, Some(f64::NAN)], ..good.clone() },
            Observation { validation: vec![2.0, f64::INFINITY, 2.0], ..good.clone() },
            Observation { excess: vec![None; 4], ..good.clone() },
        ];
        if leg.needs != Default::default() {
            wrong.push(Observation { step, tokens: vec![100; 3], ..Observation::default() });
        }
        for seen in wrong {
            assert!(online.observe(&seen).is_err(), "{text}: {seen:?}");
            assert_eq!(online, before, "{text}: {seen:?}");
        }
        online.observe(&good).unwrap();
    }
}

#[test]
fn errors_name_what_is_wrong() {
    let run3 = run(3, 100, 12);
    let mut method = online("{method: sheared, every: 20, targets: [2, 3, 4]}", &run3);
    let mut text = |validation: Vec<f64>, step| {
        let seen = Observation { step, tokens: vec![9; 3], validation, ..Observation::default() };
        method.observe(&seen).unwrap_err().to_string()
    };
    assert_eq!(text(vec![2.0, f64::NAN, 2.0], 20), "domain code, step 20: the validation loss is NaN");
    assert_eq!(text(vec![], 20), "the report of step 20 lacks the validation loss, which sheared needs");
    assert_eq!(text(vec![2.0; 3], 10), "expected step 20 (sheared, at step 0), but the trainer reports step 10");
    assert_eq!(text(vec![2.0; 2], 20), "the validation loss: expected 3 entries, one for each domain, found 2");
    let refused = |text: &str, run: Run| Online::new(&settings(text), run).unwrap_err().to_string();
    assert_eq!(refused("{method: stratified}", run(3, 100, 2)), "a batch of 2 slots cannot hold each of 3 domains");
    assert_eq!(
        refused("{method: fixed, proportions: [0.5, 0.5]}", run3.clone()),
        "fixed proportions: expected 3 entries, one for each domain, found 2"
    );
    assert_eq!(
        refused("{method: schedule, stages: [{from: 5, proportions: [1, 0, 0]}]}", run3),
        "schedule: the first stage's from is 5: 0"
    );
    let unreadable = serde_saphyr::from_str::<super::Settings>("{method: fixed, proportions: [0.5, 0.6]}").unwrap_err();
    assert!(unreadable.to_string().contains("they sum to 1.1, not to 1"), "{unreadable}");
}

#[test]
fn a_state_of_other_domains_is_refused() {
    for text in ALL {
        let run = run(3, 150, 12);
        let mut online = online(text, &run);
        trainer(&run).advance(&mut online);
        let mut state = online.state().unwrap();
        state["run"]["domains"] = serde_json::json!(["only"]);
        assert!(Online::restore(state).unwrap_err().to_string().contains("of 1 domains"), "{text}");
    }
    assert!(Online::restore(serde_json::json!({"step": 1})).is_err());
}

#[test]
fn skill_it_by_hand() {
    let text = "{method: skill-it, every: 10, rate: 0.4, window: 2, graph: [[0.1, 0.3], [0.0, 0.2]]}";
    let mut method = online(text, &run(2, 60, 4));
    let gain = |losses: [f64; 2]| [(0.4 * 0.1 * losses[0]).exp(), (0.4f64 * (0.3 * losses[0] + 0.2 * losses[1])).exp()];
    close(&leg(&method).1, &gain([1.0, 1.0]));
    for (losses, sums) in [([3.0, 5.0], [3.0, 5.0]), ([2.5, 4.0], [5.5, 9.0]), ([2.0, 3.0], [4.5, 7.0])] {
        report(&mut method, |seen| seen.validation = losses.into());
        close(&leg(&method).1, &gain(sums));
    }
}

/// Weight goes to the domain that helps the others, not to the one that they help.
#[test]
fn skill_it_looks_along_the_right_axis() {
    let run = run(3, 120, 12);
    let (mut method, mut trainer) = (online("{method: skill-it, every: 30, rate: 1.0, graph_steps: 40}", &run), trainer(&run));
    let legs = drive(&mut method, &mut trainer);
    let graph = method.interactions().unwrap();
    assert!(graph[1][0] > 0.0 && graph[0][1] == 0.0, "row evaluated, column trained on: {graph:?}");
    assert!(legs.iter().all(|played| played[0] > played[2] && played[2] > played[1]), "{legs:?}");
    assert_eq!(method.cost().probe_steps, 3 * 40);
    assert_eq!(method.cost().validations, 4 + 3);
}

#[test]
fn doremi_by_hand() {
    let mut method = online("{method: doremi, every: 1, rate: 0.5, smoothing: 0.01}", &run(2, 9, 4));
    trainer_of_two().advance(&mut method);
    let (mut weights, mut sums) = ([0.5, 0.5], [0.0, 0.0]);
    for excess in [[0.4, 0.1], [0.2, -3.0], [0.0, 0.7]] {
        report(&mut method, |seen| seen.excess = excess.map(Some).into());
        let raised = [0, 1].map(|i| weights[i] * (0.5 * excess[i].max(0.0)).exp());
        weights = raised.map(|own| 0.99 * own / (raised[0] + raised[1]) + 0.01 / 2.0);
        sums = [0, 1].map(|i| sums[i] + weights[i]);
        close(&leg(&method).1, &weights);
        close(&method.learnt(), &sums);
    }
}

fn trainer_of_two() -> Trainer {
    Trainer::new(vec![vec![1e-3, 0.0], vec![0.0, 1e-3]], &[4.0, 4.0], &run(2, 9, 4))
}

/// A domain that the proxy is far behind on gets more, and the reference run is counted.
#[test]
fn doremi_favours_excess_loss() {
    let run = run(3, 100, 12);
    let mut trainer = Trainer::new(vec![vec![1e-3, 0.0, 0.0], vec![0.0, 9e-3, 0.0], vec![0.0, 0.0, 1e-3]], &[4.0; 3], &run);
    let mut method = online("{method: doremi, rate: 0.05, reference_steps: 300}", &run);
    drive(&mut method, &mut trainer);
    let learnt = method.learnt();
    assert!(learnt[1] > 0.4 && (learnt[0] - learnt[2]).abs() < 1e-9, "{learnt:?}");
    assert_eq!((method.cost().probe_steps, method.cost().reference_tokens), (300, 100 * 12 * 32));
}

#[test]
fn doge_by_hand() {
    let mut method = online("{method: doge, temperature: 0.02}", &run(2, 9, 4));
    let mut weights = [0.5, 0.5];
    for (cross, norms) in [([2.0, 1.0], [4.0, 9.0]), ([0.5, -1.0], [1.0, 4.0]), ([90.0, 0.0], [1.0, 1.0])] {
        report(&mut method, |seen| {
            // Column j: what a step on j does. The diagonal must not matter.
            let products = vec![vec![77.0, cross[1]], vec![cross[0], 88.0]];
            let squared_norms = norms.into();
            seen.gradients = Some(Gradients { squared_norms, variances: vec![], products, learning_rate: 0.01 });
        });
        let norm = (f64::sqrt(norms[0]) + f64::sqrt(norms[1])) / 2.0 + 1e-6;
        let score = cross.map(|product: f64| (0.01 * product / norm).clamp(0.0, 0.05));
        let raised = [0, 1].map(|j| weights[j] * (score[j] / 0.02).exp());
        weights = raised.map(|own| own / (raised[0] + raised[1]));
        close(&leg(&method).1, &weights);
    }
}

#[test]
fn doge_and_pike_follow_gradients() {
    let run = run(3, 100, 12);
    for text in
        ["{method: doge, temperature: 1e-4, play: sampling}", "{method: pike, every: 10, norm_rate: 50.0, variance_rate: 0.0}"]
    {
        let mut trainer = trainer(&run);
        let legs = drive(&mut online(text, &run), &mut trainer);
        let last = legs.last().unwrap();
        assert!(last[0] > 0.4 && last[0] > last[1], "{text}: {last:?}");
    }
}

/// A leg of one domain is a turn of the published bandit.
#[test]
fn odm_by_hand() {
    let mut method = online("{method: odm}", &run(2, 9, 4));
    let (mut rewards, mut shares) = ([0.0, 0.0], [0.5, 0.5]);
    let epsilon = |t: f64| if t == 0.0 { 0.5 } else { f64::min(0.5, (2f64.ln() / (2.0 * t)).sqrt()) };
    for (turn, (arm, loss)) in [(0, 6.0), (1, 2.0), (0, 5.0), (0, 4.0)].into_iter().enumerate() {
        report(&mut method, |seen| {
            seen.tokens = [0, 1].map(|i| if i == arm { 64 } else { 0 }).into();
            seen.train = [0, 1].map(|i| (i == arm).then_some(loss)).into();
        });
        rewards[arm] += loss / (10.0 * shares[arm]);
        let (before, now) = (epsilon(turn as f64), epsilon(turn as f64 + 1.0));
        let raised = rewards.map(|reward: f64| (before * reward).exp());
        shares = raised.map(|own| (1.0 - 2.0 * now) * own / (raised[0] + raised[1]) + now);
        close(&leg(&method).1, &shares);
    }
}

#[test]
fn odm_favours_high_losses() {
    let run = run(3, 600, 12);
    let mut trainer = Trainer::new(vec![vec![0.0; 3]; 3], &[6.0, 2.0, 2.0], &run);
    let legs = drive(&mut online("{method: odm}", &run), &mut trainer);
    let last = legs.last().unwrap();
    assert!(last[0] > 0.6 && (last[1] - last[2]).abs() < 0.02, "{last:?}");
}

/// The domain whose loss falls fastest for its data is preferred.
#[test]
fn ado_favours_what_learns() {
    let run = Run { sizes: vec![1000; 3], ..run(3, 400, 12) };
    let law = vec![vec![3e-4, 0.0, 0.0], vec![0.0, 5e-3, 0.0], vec![0.0, 0.0, 3e-4]];
    let mut trainer = Trainer::new(law, &[4.0; 3], &run);
    trainer.floor = Some(vec![2.0; 3]);
    let mut method = online("{method: ado, skip: 20, first_fit: 200, refit: 50}", &run);
    drive(&mut method, &mut trainer);
    let learnt = method.learnt();
    assert!(learnt[1] > learnt[0] && learnt[1] > learnt[2], "{learnt:?} at {:?}", trainer.losses());
}

#[test]
fn pike_by_hand() {
    let mut method = online("{method: pike, every: 3, norm_rate: 0.2, variance_rate: 0.3}", &run(2, 9, 4));
    let mut weights = [0.5, 0.5];
    for (norms, variances) in [([1.0, 2.0], [0.5, 8.0]), ([3.0, 0.1], [1.0, 1.0])] {
        report(&mut method, |seen| {
            let (squared_norms, variances) = (norms.into(), variances.into());
            seen.gradients = Some(Gradients { squared_norms, variances, ..Gradients::default() });
        });
        weights = [0, 1].map(|k| weights[k] * (0.2 * norms[k] - 0.3 / (2.0 * 4.0) * variances[k]).exp());
        close(&leg(&method).1, &weights);
    }
}

#[test]
fn sheared_by_hand() {
    let mut method = online("{method: sheared, every: 3, targets: [2.0, 2.5], smoothing: 0.02}", &run(2, 9, 4));
    let mut weights = [0.5, 0.5];
    for losses in [[3.0, 2.0], [2.5, 2.6]] {
        report(&mut method, |seen| seen.validation = losses.into());
        let raised = [0, 1].map(|i| weights[i] * (losses[i] - [2.0, 2.5][i]).exp());
        weights = raised.map(|own| 0.98 * own / (raised[0] + raised[1]) + 0.01);
        close(&leg(&method).1, &weights);
    }
}

/// Weight goes first to the domain that is furthest behind its target, and leaves it when it is ahead.
#[test]
fn sheared_follows_the_lag() {
    let run = run(3, 4000, 12);
    let mut trainer = Trainer::new(vec![vec![2e-3, 0.0, 0.0], vec![0.0, 2e-3, 0.0], vec![0.0, 0.0, 2e-3]], &[5.0; 3], &run);
    let mut method = online("{method: sheared, every: 50, targets: [3.5, 4.0, 4.5], rate: 0.3}", &run);
    let legs = drive(&mut method, &mut trainer);
    assert!(legs[1][0] > legs[1][1] && legs[1][1] > legs[1][2], "{:?}", legs[1]);
    let most = legs.iter().map(|played| played[0]).fold(0.0, f64::max);
    let last = legs.last().unwrap();
    assert!(most > 0.6 && last[0] < most - 0.1, "{most}, then {last:?}");
}
