//! Trainers that die and go on, ranks that agree or do not, and calls at the wrong time.

use super::*;
use crate::{
    MixtureError, Proportions,
    job::Line,
    online::{
        BranchReport, Gradients, Needs, Observation, ProbeReport,
        simulate::{Trainer, run, settings},
    },
};
use proptest::prelude::*;

const LAW: [[f64; 3]; 3] = [[0.02, 0.005, 0.0], [0.0, 0.01, 0.0], [0.001, 0.0, 0.03]];

const METHODS: [&str; 8] = [
    "{method: stratified}",
    "{method: schedule, stages: [{from: 0, proportions: [0.5, 0.3, 0.2]}, {from: 17, proportions: [0.1, 0.1, 0.8]}]}",
    "{method: aioli, round: 20, sweeps: 1, interval: 2, rate: 0.5}",
    "{method: aioli, round: 20, sweeps: 1, interval: 2, rate: 0.5, probing: forked}",
    "{method: skill-it, every: 10, graph_steps: 5}",
    "{method: sheared, every: 10, targets: [1, 1, 1]}",
    "{method: odm, every: 5}",
    "{method: pike, every: 10}",
];

fn steering(method: &str) -> Steering {
    ending(method, Last::Test)
}

fn ending(method: &str, last: Last) -> Steering {
    Steering::new(&settings(method), run(3, 60, 6), last).unwrap()
}

fn trainer() -> Trainer {
    Trainer::new(LAW.map(|row| row.to_vec()).to_vec(), &[3.0, 4.0, 5.0], &run(3, 60, 6))
}

/// One life of a trainer: from a checkpoint until its end, or until it has made so many calls. Records and lines as a job keeps them.
struct Life<'a> {
    steering: &'a mut Steering,
    records: &'a mut Vec<Told>,
    lines: &'a mut Vec<Line>,
}

impl Life<'_> {
    fn tell(&mut self, told: Told) {
        if self.steering.check(&told).unwrap() {
            self.records.push(told.clone());
            self.lines.extend(self.steering.take(told).unwrap());
        }
    }

    /// The checkpoints that it made, each at the end of a leg.
    fn live(&mut self, from: (u64, Trainer), calls: usize) -> Vec<(u64, Trainer)> {
        let (mut step, mut model) = from;
        let mut checkpoints = vec![];
        for _ in 0..calls {
            match self.steering.turn(step).unwrap() {
                Turn::Train { from, leg } => {
                    assert_eq!(from, step, "its checkpoints are at ends of legs");
                    let seen = model.train(&leg, from);
                    step = leg.until;
                    self.tell(Told::Trained { since: from, seen, stale: 0 });
                    checkpoints.push((step, model.clone()));
                }
                Turn::Measure(_) => {
                    let seen = Observation { step, tokens: vec![0; 3], validation: model.validation(), ..Observation::default() };
                    self.tell(Told::Measured { seen });
                }
                Turn::Probe(plan) => {
                    let report = model.probe(&plan, step);
                    self.tell(Told::Probed { report });
                }
                Turn::Test => self.tell(Told::Tested { losses: model.losses().to_vec() }),
                Turn::Over => return vec![],
            }
        }
        checkpoints
    }
}

/// A whole run whose trainer dies after so many calls, each time, and goes on from the checkpoint that is picked.
fn play(method: &str, last: Last, deaths: &[(usize, usize)], coordinator_dies: bool) -> (Vec<Told>, Vec<Line>) {
    let (mut steering, mut records, mut lines) = (ending(method, last), vec![], vec![]);
    let mut checkpoints = vec![(0, trainer())];
    for &(calls, pick) in deaths.iter().chain([&(usize::MAX, 0)]) {
        let from = checkpoints[checkpoints.len() - 1 - pick % checkpoints.len()].clone();
        checkpoints.retain(|(step, _)| *step <= from.0);
        let mut life = Life { steering: &mut steering, records: &mut records, lines: &mut lines };
        checkpoints.extend(life.live(from, calls.max(1)));
        if coordinator_dies {
            // What is known is in the records.
            steering = ending(method, last);
            lines = records.iter().flat_map(|told: &Told| steering.take(told.clone()).unwrap()).collect();
        }
    }
    assert!(steering.last_losses().is_some());
    (records, lines)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// However often a trainer dies, and whoever keeps the records: the same proportions at every step.
    #[test]
    fn deaths_change_nothing(
        method in 0usize..METHODS.len(),
        deaths in prop::collection::vec((1usize..12, 0usize..4), 0..6),
        coordinator_dies: bool,
        serves: bool,
    ) {
        let last = if serves { Last::Validation } else { Last::Test };
        let whole = play(METHODS[method], last, &[], false);
        let disturbed = play(METHODS[method], last, &deaths, coordinator_dies);
        prop_assert_eq!(whole.1, disturbed.1);
        let text = serde_json::to_string(&disturbed.0).unwrap();
        prop_assert_eq!(serde_json::from_str::<Vec<Told>>(&text).unwrap(), whole.0);
    }
}

#[test]
fn every_step_of_a_leg_has_the_same_answer_at_any_time() {
    let mut steering = steering(METHODS[6]);
    let first = steering.turn(3).unwrap();
    let Turn::Train { from: 0, leg } = first.clone() else { panic!("{first:?}") };
    let seen = trainer().train(&leg, 0);
    steering.take(Told::Trained { since: 0, seen, stale: 0 }).unwrap();
    for step in 0..5 {
        assert_eq!(steering.turn(step).unwrap(), first, "step {step}");
    }
    assert_ne!(steering.turn(5).unwrap(), first);
}

fn seen(step: u64) -> Observation {
    Observation { step, tokens: vec![7, 8, 9], train: [1.0, 2.0, 3.0].map(Some).to_vec(), ..Observation::default() }
}

#[test]
fn what_comes_at_the_wrong_time_is_refused_and_changes_nothing() {
    let mut steering = steering(METHODS[6]);
    steering.take(Told::Trained { since: 0, seen: seen(5), stale: 0 }).unwrap();
    let trained = |since, seen| Told::Trained { since, seen, stale: 0 };
    let no_loss = Observation { train: vec![Some(1.0), None, Some(3.0)], ..seen(10) };
    let measured = Told::Measured { seen: Observation { tokens: vec![0; 3], ..seen(5) } };
    let probed = Told::Probed { report: ProbeReport { step: 5, ..ProbeReport::default() } };
    for (told, said) in [
        (trained(5, seen(12)), "expected step 10 (odm, at step 5), but the trainer reports step 12"),
        (trained(5, seen(9)), "expected step 10 (odm, at step 5), but the trainer reports step 9"),
        (trained(7, seen(10)), "report of step 10 begins at step 7, but its leg began at step 5"),
        (trained(0, seen(3)), "the trainer is at step 3, and the report of step 5 is due"),
        (trained(5, no_loss), "the report of step 10 lacks a training loss, which odm needs"),
        (measured, "the trainer is at step 5, and a report with its tokens is due"),
        (probed, "expected no probe (odm, at step 5)"),
        (Told::Tested { losses: vec![1.0; 3] }, "the trainer is at step 5, and more training is due"),
    ] {
        let before = format!("{steering:?}");
        let text = steering.check(&told).unwrap_err().to_string();
        assert!(text.contains(said), "{text}");
        assert_eq!(format!("{steering:?}"), before);
    }
    assert!(!steering.check(&trained(0, seen(5))).unwrap(), "of an earlier life: known");
    let text = steering.turn(10).unwrap_err().to_string();
    assert_eq!(text, "the trainer is at step 10, and the report of step 10 is due");
}

#[test]
fn a_run_that_serves_a_law_ends_with_validation_losses() {
    let mut steering = ending(METHODS[0], Last::Validation);
    steering.take(Told::Trained { since: 0, seen: seen(60), stale: 0 }).unwrap();
    let needs = Needs { validation: true, ..Needs::default() };
    assert_eq!(steering.turn(60).unwrap(), Turn::Measure(needs));
    let measured = |step, validation: &[f64]| Told::Measured {
        seen: Observation { step, tokens: vec![0; 3], validation: validation.to_vec(), ..Observation::default() },
    };
    for (told, said) in [
        (measured(60, &[1.0, 2.0]), "the losses that a run ends with: expected 3 entries, one for each domain, found 2"),
        (measured(60, &[1.0, f64::NAN, 2.0]), "step 60: the validation loss is NaN"),
        (Told::Tested { losses: vec![1.0; 3] }, "the trainer is at step 60, and a measurement of validation losses is due"),
    ] {
        let text = steering.check(&told).unwrap_err().to_string();
        assert!(text.contains(said), "{text}");
    }
    let told = measured(60, &[1.0, 2.0, 3.0]);
    assert!(steering.check(&told).unwrap());
    steering.take(told.clone()).unwrap();
    assert!(!steering.check(&told).unwrap(), "of another life: known");
    assert_eq!(
        (steering.turn(60).unwrap(), steering.last_losses()),
        (Turn::Over, Some((Last::Validation, &[1.0, 2.0, 3.0][..])))
    );
}

#[test]
fn ranks_are_brought_together_in_their_order() {
    let trained = |tokens: [u64; 2], losses: [Option<f64>; 2], validation: &[f64]| {
        let (tokens, train, validation) = (tokens.to_vec(), losses.to_vec(), validation.to_vec());
        Call::Tell(Told::Trained {
            since: 2,
            seen: Observation { step: 9, tokens, train, validation, ..Observation::default() },
            stale: 0,
        })
    };
    let calls = vec![
        trained([10, 0], [Some(2.0), None], &[]),
        trained([30, 5], [Some(4.0), Some(1.5)], &[1.0, 2.0]),
        trained([0, 5], [None, Some(2.5)], &[2.0, 3.0]),
    ];
    let Ok(Call::Tell(Told::Trained { seen, .. })) = agree(calls) else { panic!() };
    assert_eq!((seen.tokens, seen.train, seen.validation), (vec![40, 10], vec![Some(3.5), Some(2.0)], vec![1.5, 2.5]));
    let probed = |after: f64| {
        let branches = vec![BranchReport { tokens: vec![4, 4], after: vec![after; 2] }];
        Call::Tell(Told::Probed { report: ProbeReport { step: 1, before: vec![3.0; 2], branches } })
    };
    let Ok(Call::Tell(Told::Probed { report })) = agree(vec![probed(1.0), probed(2.0)]) else { panic!() };
    assert_eq!((report.before[0], report.branches[0].after[0], report.branches[0].tokens[0]), (3.0, 1.5, 8));
    let gradients = |norm| Gradients { squared_norms: vec![norm], ..Gradients::default() };
    let measured =
        |gradients| Call::Tell(Told::Measured { seen: Observation { gradients, tokens: vec![0], ..Observation::default() } });
    let Ok(Call::Tell(Told::Measured { seen })) = agree(vec![measured(None), measured(Some(gradients(2.0)))]) else { panic!() };
    assert_eq!(seen.gradients, Some(gradients(2.0)));
}

#[test]
fn ranks_that_do_not_do_the_same_are_told() {
    let told = Call::Tell(Told::Tested { losses: vec![1.0] });
    for (zero, one, said) in [
        (Call::Begin { step: 20 }, Call::Begin { step: 10 }, "rank 1 begins at step 10, where rank 0 begins at step 20"),
        (Call::Turn { step: 3 }, told, "rank 1 reports its last losses, where rank 0 asks what to do at step 3"),
    ] {
        let error = agree(vec![zero, one]).unwrap_err();
        assert_eq!(error.to_string(), said);
        assert_eq!(error.hint(), Some("all ranks make the same calls, and go on from the same checkpoint"));
    }
    assert!(matches!(agree(vec![]), Err(MixtureError::State(_))));
    let alone = Call::Turn { step: 3 };
    assert_eq!(agree(vec![alone.clone()]).unwrap(), alone);
    let legs = steering(METHODS[1]);
    let Turn::Train { leg, .. } = legs.turn(0).unwrap() else { panic!() };
    assert_eq!(leg.proportions, Proportions::new(vec![0.5, 0.3, 0.2]).unwrap());
}
