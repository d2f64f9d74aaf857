//! From measurements to a proposal: calibrates proxies, fits a law to each domain's loss, and says how well it holds. Pure.

use super::LawSettings;
use crate::{
    Domains, MixtureError, Proportions,
    online::Cost,
    swarm::{self, Agreement, Calibration, Law, LawKind, Objective, Simulation, mirror_descent, simulate},
};
use serde::{Deserialize, Serialize};

/// Below this rank correlation a law of a domain cannot be trusted to order mixtures.
const TRUSTED: f64 = 0.8;
/// The same of the mean over the domains, on runs that had no part in any fit.
const TRUSTED_MEAN: f64 = 0.9;

/// A mixture and what was measured of it, one value a domain.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::job) struct Measured {
    pub(in crate::job) mixture: Proportions,
    /// Losses of a merge; none where only a real run was made.
    pub(in crate::job) proxy: Option<Vec<f64>>,
    /// Losses of a real run.
    pub(in crate::job) real: Option<Vec<f64>>,
    /// A real run that only tests.
    pub(in crate::job) held_out: bool,
}

/// What came of it: `fit.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    /// One a domain.
    pub domains: Vec<DomainFit>,
    /// Predicted against real mean loss, on real runs that had no part in any fit; else on those that had.
    pub mean: Agreement,
    /// How many real runs that is of, and whether none of them had a part in a fit.
    pub mean_of: (usize, bool),
    /// What the law proposes to train on.
    pub proposal: Proportions,
    /// What it was kept close to.
    pub prior: Proportions,
    /// Predicted and real losses of every mixture.
    pub points: Vec<Point>,
    /// What all of it has cost.
    pub cost: Cost,
}

/// The fit of one domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainFit {
    /// The domain.
    pub domain: String,
    /// The law of its loss.
    pub law: Law,
    /// Of the law with what it was fitted to.
    pub agreement: Agreement,
    /// Of what is predicted with real runs that had no part in any fit.
    pub held_out: Option<Agreement>,
    /// From merges to real runs.
    pub calibration: Option<Calibration>,
    /// Why not to rely on it.
    pub warning: Option<String>,
}

/// A mixture with predicted and real losses, one a domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The mixture.
    pub proportions: Proportions,
    /// By the laws.
    pub predicted: Vec<f64>,
    /// By merges, calibrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Vec<f64>>,
    /// By a real run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real: Option<Vec<f64>>,
    /// Whether it had no part in any fit.
    pub held_out: bool,
}

/// Fits and proposes. `sizes` are the training tokens of each domain, `tokens` those of the final run.
///
/// # Errors
/// Measurements that determine no law, caps that leave no mixture.
pub(in crate::job) fn fit(
    settings: &LawSettings,
    domains: &Domains,
    (sizes, tokens): (&[u64], u64),
    measured: &[Measured],
    cost: Cost,
) -> Result<Fitted, MixtureError> {
    let mut fits = vec![];
    let mut proxies: Vec<Vec<Option<f64>>> = vec![vec![]; measured.len()];
    for (domain, name) in domains.names().iter().enumerate() {
        let value = |losses: &Option<Vec<f64>>| losses.as_ref().and_then(|losses| losses.get(domain)).copied();
        let calibration = calibrate(measured, &value)?;
        let calibrated = |point: &Measured| calibration.zip(value(&point.proxy)).map(|(map, proxy)| map.apply(proxy));
        proxies.iter_mut().zip(measured).for_each(|(row, point)| row.push(calibrated(point)));
        // A real run says more than a merge of the same mixture.
        let known = measured.iter().filter(|point| !point.held_out);
        let known = known.filter_map(|point| Some((point.mixture.clone(), value(&point.real).or_else(|| calibrated(point))?)));
        let (mixtures, values): (Vec<_>, Vec<_>) = known.unzip();
        let law = swarm::fit(settings.kind, &mixtures, &values)?;
        let tests = measured.iter().filter(|point| point.held_out);
        let (tested, reached): (Vec<_>, Vec<_>) =
            tests.filter_map(|point| Some((point.mixture.clone(), value(&point.real)?))).unzip();
        let held_out = (tested.len() > 2).then(|| law.agreement(&tested, &reached));
        let agreement = law.agreement(&mixtures, &values);
        let warning =
            calibration.and_then(|calibration| calibration.warning()).or_else(|| warning(&agreement, held_out.as_ref()));
        fits.push(DomainFit { domain: name.clone(), law, agreement, held_out, calibration, warning });
    }
    let prior = settings.prior(sizes)?;
    let caps = settings.caps(domains, sizes, tokens)?;
    let weight = 1.0 / domains.len() as f64;
    let laws = fits.iter().map(|fit| (weight, &fit.law)).collect();
    let objective = Objective { laws, closeness: settings.closeness, prior: &prior, caps: &caps };
    let proposal = match settings.kind {
        LawKind::Trees => simulate(&objective, Simulation::default())?,
        LawKind::LogLinear | LawKind::Linear => mirror_descent(&objective)?,
    };
    let points: Vec<Point> = measured.iter().zip(proxies).map(|(measured, proxy)| point(&fits, measured, proxy)).collect();
    let (mean, mean_of) = means(&points, None);
    if mean_of.1 && mean.spearman.unwrap_or(0.0) < TRUSTED_MEAN {
        name_the_worst(&mut fits, &points, &mean);
    }
    Ok(Fitted { domains: fits, mean, mean_of, proposal, prior, points, cost })
}

/// The map from merges to real runs, from all runs that have both and are not held out; none where there is no merge.
fn calibrate(
    measured: &[Measured],
    value: &impl Fn(&Option<Vec<f64>>) -> Option<f64>,
) -> Result<Option<Calibration>, MixtureError> {
    if measured.iter().all(|point| point.proxy.is_none()) {
        return Ok(None);
    }
    let both = measured.iter().filter(|point| !point.held_out);
    let (proxy, real): (Vec<f64>, Vec<f64>) = both.filter_map(|point| Some((value(&point.proxy)?, value(&point.real)?))).unzip();
    Calibration::fit(&proxy, &real).map(Some)
}

fn warning(agreement: &Agreement, held_out: Option<&Agreement>) -> Option<String> {
    let low = |agreement: &Agreement| agreement.spearman.unwrap_or(0.0) < TRUSTED;
    let text = |agreement: &Agreement, of: &str| {
        let order = agreement.spearman.unwrap_or(0.0);
        format!("its law orders {of} at a rank correlation of {order:.2}, below {TRUSTED}")
    };
    match held_out {
        Some(held_out) if low(held_out) => Some(text(held_out, "real runs that it was not fitted to")),
        _ => low(agreement).then(|| text(agreement, "the runs that it was fitted to")),
    }
}

fn point(fits: &[DomainFit], measured: &Measured, proxy: Vec<Option<f64>>) -> Point {
    Point {
        proportions: measured.mixture.clone(),
        predicted: fits.iter().map(|fit| fit.law.predict(&measured.mixture)).collect(),
        proxy: proxy.into_iter().collect(),
        real: measured.real.clone(),
        held_out: measured.held_out,
    }
}

/// Predicted against real mean loss; as if a domain were predicted without error, where one is named.
fn means(points: &[Point], known: Option<usize>) -> (Agreement, (usize, bool)) {
    let fresh = points.iter().filter(|point| point.held_out && point.real.is_some()).count() > 2;
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len().max(1) as f64;
    let chosen = points.iter().filter(|point| point.held_out || !fresh);
    let both = |point: &Point| {
        let real = point.real.as_ref()?;
        let mut predicted = point.predicted.clone();
        if let Some((predicted, real)) = known.and_then(|domain| Some((predicted.get_mut(domain)?, real.get(domain)?))) {
            *predicted = *real;
        }
        Some((mean(&predicted), mean(real)))
    };
    let (predicted, real): (Vec<f64>, Vec<f64>) = chosen.filter_map(both).unzip();
    (Agreement::of(&predicted, &real), (real.len(), fresh))
}

/// Where a mean is not predicted, though domains by themselves may be: names the one without whose errors it would be best.
fn name_the_worst(fits: &mut [DomainFit], points: &[Point], mean: &Agreement) {
    let order = |agreement: &Agreement| agreement.spearman.unwrap_or(0.0);
    let without = (0..fits.len()).map(|domain| order(&means(points, Some(domain)).0));
    let Some((worst, would_be)) = without.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)) else { return };
    if let Some(fit) = fits.get_mut(worst) {
        fit.warning.get_or_insert_with(|| {
            format!(
                "the mean loss of real runs that had no part in a fit is ordered at a rank correlation of {:.3}, below \
                 {TRUSTED_MEAN}; without the errors of this domain it would be {would_be:.3}",
                order(mean)
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Losses that fall with the domain's own share, and a little with the other's.
    fn losses(mixture: &Proportions) -> Vec<f64> {
        (0..3).map(|i| 1.0 + libm::exp(0.8 - 1.5 * mixture[i] - 0.3 * mixture[(i + 1) % 3])).collect()
    }

    fn mixtures(count: usize) -> Vec<Proportions> {
        LawSettings::default().mixtures(&[100, 100, 100], count, 1).unwrap()
    }

    fn domains() -> Domains {
        Domains::new(["a", "b", "c"]).unwrap()
    }

    #[test]
    fn a_swarm_finds_the_law_and_its_best_mixture() {
        let real = |mixture: Proportions| Measured { real: Some(losses(&mixture)), mixture, proxy: None, held_out: false };
        let measured: Vec<_> = mixtures(24).into_iter().map(real).collect();
        let settings = LawSettings { closeness: 0.0, ..LawSettings::default() };
        let fitted = fit(&settings, &domains(), (&[100; 3], 50), &measured, Cost::default()).unwrap();
        assert!(fitted.domains.iter().all(|fit| fit.warning.is_none() && fit.agreement.spearman.unwrap() > 0.99));
        // The losses are the same for every domain but for the names, so even shares are best.
        assert!(fitted.proposal.iter().all(|share| (share - 1.0 / 3.0).abs() < 0.02), "{:?}", fitted.proposal);
        assert_eq!(fitted.mean_of, (24, false));
        let text = serde_json::to_string(&fitted).unwrap();
        assert_eq!(serde_json::from_str::<Fitted>(&text).unwrap(), fitted);
    }

    #[test]
    fn a_mean_that_is_not_predicted_is_laid_to_the_domain_whose_errors_it_has() {
        let real = |mixture: Proportions| Measured { real: Some(losses(&mixture)), mixture, proxy: None, held_out: false };
        let measured: Vec<_> = mixtures(24).into_iter().map(real).collect();
        let mut fits = fit(&LawSettings::default(), &domains(), (&[100; 3], 50), &measured, Cost::default()).unwrap().domains;
        // Each domain is ordered well enough by itself; the second moves more than the others.
        let point = |(predicted, real): (f64, f64)| Point {
            proportions: Proportions::uniform(3),
            predicted: vec![1.0, predicted, 2.0],
            proxy: None,
            real: Some(vec![1.1, real, 2.1]),
            held_out: true,
        };
        let points = [(2.0, 1.0), (1.0, 2.0), (3.0, 3.0), (4.0, 4.0), (6.0, 5.0), (5.0, 6.0)].map(point);
        let (mean, of) = means(&points, None);
        assert!((mean.spearman.unwrap() - (1.0 - 24.0 / 210.0)).abs() < 1e-12 && of == (6, true), "{mean:?}");
        name_the_worst(&mut fits, &points, &mean);
        let said = fits[1].warning.as_deref().unwrap();
        assert!(
            said.contains("at a rank correlation of 0.886, below 0.9; without the errors of this domain it would be 1.000"),
            "{said}"
        );
        assert!(fits[0].warning.is_none() && fits[2].warning.is_none());
    }

    #[test]
    fn merges_are_brought_to_the_scale_of_real_runs_and_a_domain_that_fails_is_named() {
        let skewed = |losses: Vec<f64>, number: usize| -> Vec<f64> {
            let scale = |(domain, loss): (usize, f64)| match domain {
                // What merges say of this domain has nothing to do with it.
                2 => 5.0 + ((number * 7) % 5) as f64,
                _ => 2.0 * loss + 0.7,
            };
            losses.into_iter().enumerate().map(scale).collect()
        };
        let measure = |(number, mixture): (usize, Proportions)| Measured {
            proxy: Some(skewed(losses(&mixture), number)),
            real: (number < 18).then(|| losses(&mixture)),
            held_out: (6..18).contains(&number),
            mixture,
        };
        let measured: Vec<_> = mixtures(40).into_iter().enumerate().map(measure).collect();
        let fitted = fit(&LawSettings::default(), &domains(), (&[100; 3], 50), &measured, Cost::default()).unwrap();
        let [a, b, c] = &fitted.domains[..] else { panic!("three domains") };
        for fit in [a, b] {
            let calibration = fit.calibration.unwrap();
            assert!((calibration.slope - 0.5).abs() < 1e-9 && (calibration.offset + 0.35).abs() < 1e-9, "{calibration:?}");
            assert_eq!(fit.warning, None);
            assert!(fit.held_out.unwrap().spearman.unwrap() > 0.98);
        }
        assert!(c.warning.as_ref().unwrap().starts_with("the proxy"), "{c:?}");
        assert_eq!(fitted.mean_of, (12, true));
    }
}
