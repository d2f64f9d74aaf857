//! Laws that are known, RegMix's public swarm, and proposals by hand.

use super::{Calibration, Caps, Design, Law, LawKind, LogLinear, Objective, Simulation, Swarm, fit, mirror_descent, simulate};
use crate::{Domains, Proportions, files::regmix};

fn public(mixtures: &str, losses: &str) -> Swarm {
    let read = |name: &str| std::fs::read_to_string(format!("{}/testdata/regmix/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    regmix::read((mixtures, &read(mixtures)), (losses, &read(losses))).unwrap()
}

/// Rank correlations of every loss on the 64 models of 1 B; that of Pile-CC first.
fn ranks(kind: LawKind, runs: usize) -> (f64, Vec<f64>) {
    let train = public("train_mixture_1m.csv", "train_pile_loss_1m.csv");
    let test = public("test_mixture_1B.csv", "test_pile_loss_1B.csv");
    assert_eq!((train.runs.len(), test.runs.len(), train.domains.len(), train.metrics.len()), (512, 64, 17, 13));
    assert_eq!((&train.metrics, &train.domains), (&test.metrics, &test.domains));
    let of_metric = |metric| {
        let (mixtures, values) = train.column(metric, runs);
        let (asked, real) = test.column(metric, 64);
        fit(kind, &mixtures, &values).unwrap().agreement(&asked, &real).spearman.unwrap()
    };
    let all: Vec<f64> = (0..13).map(of_metric).collect();
    (all[train.metric("metric/the_pile_pile_cc_val_loss").unwrap()], all)
}

#[test]
fn sixty_four_small_runs_rank_models_of_a_billion() {
    let (target, all) = ranks(LawKind::LogLinear, 64);
    let mean = all.iter().sum::<f64>() / 13.0;
    assert!(target >= 0.985 && mean >= 0.92, "Pile-CC {target:.4}, mean {mean:.4}, {all:?}");
    // A line is worse.
    assert!(ranks(LawKind::Linear, 64).0 < 0.95);
}

#[test]
fn trees_rank_them_with_five_hundred() {
    let train = public("train_mixture_1m.csv", "train_pile_loss_1m.csv");
    let test = public("test_mixture_1B.csv", "test_pile_loss_1B.csv");
    let metric = train.metric("metric/the_pile_pile_cc_val_loss").unwrap();
    let (mixtures, values) = train.column(metric, 512);
    let (asked, real) = test.column(metric, 64);
    let rank = fit(LawKind::Trees, &mixtures, &values).unwrap().agreement(&asked, &real).spearman.unwrap();
    assert!(rank >= 0.96, "{rank}");
}

/// The law that made the values is found, floor and all.
#[test]
fn a_log_linear_law_is_found() {
    let law = LogLinear { floor: 0.6, exponents: vec![-1.5, 0.4, 0.9] };
    let mixtures = Design::new(Proportions::uniform(3)).mixtures(40).unwrap();
    let values: Vec<f64> = mixtures.iter().map(|mixture| law.predict(mixture)).collect();
    let Law::LogLinear(found) = fit(LawKind::LogLinear, &mixtures, &values).unwrap() else { unreachable!() };
    assert!((found.floor - law.floor).abs() < 1e-5, "{found:?}");
    for (found, wanted) in found.exponents.iter().zip(&law.exponents) {
        assert!((found - wanted).abs() < 1e-5, "{found} instead of {wanted}");
    }
}

#[test]
fn a_line_is_found_and_its_gradient_is_its_slope() {
    let mixtures = Design::new(Proportions::uniform(3)).mixtures(20).unwrap();
    let values: Vec<f64> = mixtures.iter().map(|mixture| 2.0 * mixture[0] + 3.0 * mixture[1] - mixture[2]).collect();
    let law = fit(LawKind::Linear, &mixtures, &values).unwrap();
    for (found, wanted) in law.gradient(&mixtures[0]).unwrap().iter().zip([2.0, 3.0, -1.0]) {
        assert!((found - wanted).abs() < 1e-6, "{found} instead of {wanted}");
    }
    let agreement = law.agreement(&mixtures, &values);
    assert!(agreement.explained.unwrap() > 1.0 - 1e-9 && agreement.error < 1e-6, "{agreement:?}");
}

#[test]
fn fits_refuse_what_is_no_measurement() {
    let two = [Proportions::uniform(2), Proportions::one_hot(2, 0, 0.0)];
    let text = |kind, values: &[f64]| fit(kind, &two, values).unwrap_err().to_string();
    assert_eq!(text(LawKind::Linear, &[1.0]), "fit: 2 mixtures and 1 values, but two runs at least must have both");
    assert_eq!(text(LawKind::Trees, &[1.0, f64::NAN]), "fit: run 1 (counted from 0) has the value NaN");
    assert_eq!(
        text(LawKind::LogLinear, &[1.0, -1.0]),
        "log-linear law: run 1 (counted from 0) has the value -1, and only positive ones can be fitted"
    );
    let odd = [Proportions::uniform(2), Proportions::uniform(3)];
    assert!(fit(LawKind::Linear, &odd, &[1.0, 2.0]).unwrap_err().to_string().contains("different numbers"));
}

#[test]
fn designs_keep_their_rules() {
    let prior = Proportions::new(vec![0.6, 0.3, 0.08, 0.02]).unwrap();
    let design = Design { usage: 4.0, least: 0.01, seed: 3, ..Design::new(prior.clone()) };
    let mixtures = design.mixtures(200).unwrap();
    for mixture in &mixtures {
        assert!((mixture.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        for (share, prior) in mixture.iter().zip(prior.iter()) {
            // Rounding to multiples of `least` can add half of one, before the sum is made one again.
            assert!(share <= 4.0 * prior + 0.02 && (share == 0.0 || share > 0.008), "{mixture:?}");
        }
    }
    assert_eq!(design.mixtures(50).unwrap(), mixtures[..50], "mixture n is the same however many are drawn");
    assert!(mixtures.iter().any(|mixture| mixture[3] == 0.0) && mixtures.iter().any(|mixture| mixture[3] > 0.05));
    // Tempered by one half the mean is nearer to uniform than the prior.
    let mean = mixtures.iter().map(|mixture| mixture[0]).sum::<f64>() / 200.0;
    assert!((0.3..0.58).contains(&mean), "{mean}");

    let groups = |names: [&str; 4]| Some(names.map(String::from).to_vec());
    let grouped = Design { groups: groups(["a", "a", "b", "b"]), usage: 50.0, ..design.clone() };
    assert_eq!(grouped.mixtures(20).unwrap().len(), 20);
    let wrong = Design { strength: (2.0, 1.0), ..design.clone() };
    assert_eq!(wrong.mixtures(1).unwrap_err().to_string(), "design: strength is 2 to 1: above 0, the least first");
    let few = Design { groups: Some(vec!["a".into()]), ..design };
    assert_eq!(few.mixtures(1).unwrap_err().to_string(), "groups of a design: expected 4 entries, one for each domain, found 1");
    let strict = Design { usage: 1.0, strength: (0.01, 0.01), levels: 1, ..Design::new(Proportions::uniform(9)) };
    assert_eq!(strict.mixtures(3).unwrap_err().to_string(), "design: its rules accepted only 0 of 3 mixtures");
}

/// Two domains, one exponent each: the best share by a search along the line.
#[test]
fn proposals_are_the_minimum() {
    let law = Law::LogLinear(LogLinear { floor: 0.0, exponents: vec![0.3, -0.5] });
    let other = Law::LogLinear(LogLinear { floor: 0.0, exponents: vec![-1.2, 0.2] });
    let prior = Proportions::new(vec![0.7, 0.3]).unwrap();
    let caps = Caps::none(2);
    let objective = Objective { laws: vec![(1.0, &law), (0.5, &other)], closeness: 0.05, prior: &prior, caps: &caps };
    let along = |share: f64| objective.value(&Proportions::new(vec![share, 1.0 - share]).unwrap());
    let best = (1..100_000).map(|i| i as f64 / 1e5).min_by(|&a, &b| along(a).total_cmp(&along(b))).unwrap();
    let found = mirror_descent(&objective).unwrap();
    assert!((found[0] - best).abs() < 1e-4, "{found:?} instead of {best}");
    let simulated = simulate(&objective, Simulation { draws: 20_000, best: 32, strength: 2.0, seed: 1 }).unwrap();
    assert!((simulated[0] - best).abs() < 0.02, "{simulated:?} instead of {best}");
}

#[test]
fn caps_hold_and_need_data() {
    let domains = Domains::new(["web", "code", "books"]).unwrap();
    // Four times 10 of 100 tokens: books may have 0.4 of the run.
    let caps = Caps::of_data(&domains, &[900, 50, 10], 4.0, 100).unwrap();
    assert_eq!(caps.as_slice(), [1.0, 1.0, 0.4]);
    let law = Law::Linear { slopes: vec![3.0, 2.0, 1.0] };
    let prior = Proportions::uniform(3);
    let objective = Objective { laws: vec![(1.0, &law)], closeness: 0.0, prior: &prior, caps: &caps };
    let found = mirror_descent(&objective).unwrap();
    assert!((found[2] - 0.4).abs() < 1e-9 && (found[1] - 0.6).abs() < 1e-6, "{found:?}");
    let simulated = simulate(&objective, Simulation { draws: 5000, best: 16, ..Simulation::default() }).unwrap();
    assert!(simulated[2] <= 0.4 && simulated[1] > simulated[0], "{simulated:?}");
    let error = Caps::of_data(&domains, &[10, 0, 5], 4.0, 100).unwrap_err();
    assert_eq!(
        error.to_string(),
        "domain code: it has 0 tokens; with all domains there are 15, and seen 4 times they do not fill a run of 100"
    );
    // A prior that wants only what is capped.
    let narrow = Proportions::one_hot(3, 2, 0.0);
    let error = mirror_descent(&Objective { prior: &narrow, ..objective }).unwrap_err();
    assert!(error.to_string().contains("the caps leave less than the whole"), "{error}");
}

#[test]
fn calibration_by_hand_and_its_warnings() {
    let fitted = Calibration::fit(&[1.0, 2.0, 3.0], &[5.0, 7.0, 9.0]).unwrap();
    assert_eq!((fitted.offset, fitted.slope, fitted.warning()), (3.0, 2.0, None));
    let falling = Calibration::fit(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]).unwrap();
    assert_eq!(falling.warning().unwrap(), "the proxy falls where the real metric rises (slope -1.000)");
    let shuffled = Calibration::fit(&[1.0, 2.0, 3.0, 4.0], &[2.0, 1.0, 4.0, 3.0]).unwrap();
    assert_eq!(shuffled.warning().unwrap(), "the proxy orders the real runs at a rank correlation of 0.60, below 0.8");
    assert!(Calibration::fit(&[1.0, 1.0], &[1.0, 2.0]).is_err() && Calibration::fit(&[1.0], &[1.0]).is_err());
}
