//! One trace by hand, of losses that lie on two laws exactly.

use super::super::{
    Directive, Observation, Online,
    simulate::{run, settings},
};

/// `L(n) = floor + reach n^{-exponent}`, `n` in sequences.
const LAWS: [(f64, f64, f64); 2] = [(2.0, 5.0, 0.5), (1.5, 3.0, 0.3)];

#[test]
fn preferences_by_hand() {
    let text = "{method: ado, skip: 10, first_fit: 60, refit: 1000, every: 1}";
    let mut online = Online::new(&settings(text), run(2, 64, 6)).unwrap();
    let mut composer = crate::Composer::new(2, 6).unwrap();
    // Sizes are 1000 and 2000.
    let natural = [1.0 / 3.0, 2.0 / 3.0];
    let (mut credit, mut mean, mut taken, mut preferences) = (natural, natural, [0.0; 2], 1.0);
    let mut wanted = natural;
    while let Directive::Train(leg) = online.next() {
        for (found, wanted) in leg.proportions.iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-9, "step {}: {found} instead of {wanted}", online.step());
        }
        let counts = composer.next(&leg.proportions, 6, leg.rule, 0).unwrap();
        let middle = [0, 1].map(|i| taken[i] + counts[i] as f64 / 2.0);
        let train = [0, 1].map(|i| {
            let (floor, reach, exponent) = LAWS[i];
            Some(floor + reach * middle[i].powf(-exponent))
        });
        let tokens: Vec<u64> = counts.iter().map(|count| count * 100).collect();
        online.observe(&Observation { step: leg.until, tokens, train: train.into(), ..Observation::default() }).unwrap();

        taken = [0, 1].map(|i| taken[i] + counts[i] as f64);
        credit = [0, 1].map(|i| 0.9 * credit[i] + 0.1 * counts[i] as f64 / 6.0);
        if leg.until >= 60 {
            let weight = [0, 1].map(|i| {
                let (_, reach, exponent) = LAWS[i];
                exponent * reach * taken[i].powf(-exponent - 1.0) * natural[i] * credit[i].sqrt()
            });
            let floored = weight.map(|own| (own / (weight[0] + weight[1])).max(0.01));
            let preference = floored.map(|own| own / (floored[0] + floored[1]));
            preferences += 1.0;
            mean = [0, 1].map(|i| mean[i] + (preference[i] - mean[i]) / preferences);
            wanted = [0, 1].map(|i| 0.9 * mean[i] + 0.1 * preference[i]);
        }
    }
    assert!((wanted[0] - natural[0]).abs() > 0.01, "{wanted:?}");
}

#[test]
fn sizes_must_be_known() {
    let unknown = crate::online::Run { sizes: vec![], ..run(2, 64, 6) };
    let error = Online::new(&settings("{method: ado}"), unknown).unwrap_err();
    assert_eq!(error.to_string(), "ado: sizes in tokens: expected 2 entries, one for each domain, found 0");
}
