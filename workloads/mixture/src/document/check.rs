//! What makes a document whole. No file is looked at.

use super::{Document, Period, VERSION};
use crate::{Domains, MixtureError, Proportions};

impl Document {
    pub(super) fn check(&self) -> Result<(), MixtureError> {
        let demand = |holds: bool, name: &'static str, value: String, wanted: &str| {
            if holds { Ok(()) } else { Err(MixtureError::Setting { object: "document", name, value, wanted: wanted.into() }) }
        };
        demand(self.version == VERSION, "version", self.version.to_string(), "1, the only one that this program knows")?;
        let first = self.schedule.first().map_or_else(|| "none".into(), |period| period.start_tokens.to_string());
        demand(first == "0", "the first start_tokens", first, "0")?;
        for pair in self.schedule.windows(2) {
            if let [before, after] = pair {
                let later = before.start_tokens < after.start_tokens;
                demand(later, "start_tokens", after.start_tokens.to_string(), "later than in the period before")?;
            }
        }
        if let Some(epochs) = self.caps.max_epochs {
            demand(epochs > 0.0 && epochs.is_finite(), "max_epochs", epochs.to_string(), "a number above 0")?;
        }
        let mixtures = self.mixtures()?;
        self.check_data(&mixtures)
    }

    /// That there is as much data as the schedule takes.
    fn check_data(&self, mixtures: &[(u64, Proportions)]) -> Result<(), MixtureError> {
        let ends = mixtures.iter().skip(1).map(|(start, _)| Some(*start)).chain([self.tokens]);
        let mut taken = vec![0.0; self.domains.len()];
        for ((start, mixture), end) in mixtures.iter().zip(ends) {
            let length = end.map_or(0, |end| end.saturating_sub(*start));
            taken.iter_mut().zip(mixture.iter()).for_each(|(taken, share)| *taken += share * length as f64);
        }
        for (index, (source, taken)) in self.domains.iter().zip(taken).enumerate() {
            let Some(tokens) = source.tokens else { continue };
            let wrong = |problem: String| Err(MixtureError::Data { domain: source.name.clone(), problem });
            let asked = mixtures.iter().any(|(_, mixture)| mixture.as_slice().get(index).is_some_and(|share| *share > 0.0));
            if tokens == 0 && asked {
                return wrong("it has no tokens, but the schedule gives it a share".into());
            }
            match self.caps.max_epochs {
                Some(epochs) if taken > tokens as f64 * epochs * (1.0 + 1e-9) => {
                    return wrong(format!(
                        "the schedule takes {taken:.0} tokens of it, but it has {tokens}, which may be seen {epochs} times"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// One period's weights in the order of the domains.
pub(super) fn weights(domains: &Domains, period: &Period) -> Result<Proportions, MixtureError> {
    let what = format!("weights from token {}", period.start_tokens);
    let values = domains.arrange(&what, period.weights.iter().map(|(name, value)| (name.clone(), value)))?;
    let number = |(index, value): (usize, &&serde_json::Value)| {
        value.as_f64().ok_or_else(|| MixtureError::Data {
            domain: domains.name(index),
            problem: format!("its weight from token {} is {value}, which is no number", period.start_tokens),
        })
    };
    let shares = values.iter().enumerate().map(number).collect::<Result<_, _>>()?;
    Proportions::new(shares).map_err(|problem| MixtureError::Proportions { what, problem })
}
