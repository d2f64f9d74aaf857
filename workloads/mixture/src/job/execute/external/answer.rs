//! Answers the calls of one rank's program: brings all ranks' calls together, has rank 0 decide, and tells every rank the same.

use super::records::Records;
use crate::{
    Domains, MixtureError,
    job::{JobError, history::shares},
    online::Observation,
    steer::{Begun, Call, Refusal, Reply, Steering, Told, Turn, agree},
    trainer::TrainerError,
};
use braid_workload::{Exchange, ExchangeError, TaskContext};
use std::sync::atomic::{AtomicBool, Ordering};

/// Lines that a run tells of its progress.
const LINES: u64 = 20;

/// One rank's side of a run.
pub(super) struct Answering<'a> {
    exchange: &'a dyn Exchange,
    /// Of rank 0 alone it is asked.
    steering: Steering,
    records: Option<Records>,
    begun: Begun,
    label: &'a str,
    context: &'a TaskContext,
    /// Where this rank's trainer is; none before it begins.
    at: Option<u64>,
    /// The first thing that was wrong with the trainer's calls.
    refused: Option<Refusal>,
    /// Why the other ranks cannot be reached, and whether it was this one that left.
    apart: Option<(ExchangeError, bool)>,
}

impl<'a> Answering<'a> {
    pub(super) fn new(
        exchange: &'a dyn Exchange,
        steering: Steering,
        records: Option<Records>,
        begun: Begun,
        label: &'a str,
        context: &'a TaskContext,
    ) -> Self {
        Self { exchange, steering, records, begun, label, context, at: None, refused: None, apart: None }
    }

    /// Answers a call. `left`: this rank itself has left the others.
    pub(super) fn answer(&mut self, call: Result<Call, MixtureError>, left: &AtomicBool) -> Result<Reply, Refusal> {
        if let Some((apart, _)) = &self.apart {
            return Err(unreachable(apart));
        }
        if let Some(refused) = &self.refused {
            return Err(refused.clone());
        }
        let own = call.and_then(|call| self.check_own(call)).map_err(Refusal::from);
        let answer = self.together(own).map_err(|error| {
            let refusal = unreachable(&error);
            self.apart = Some((error, left.load(Ordering::Acquire)));
            refusal
        })?;
        if let Err(refusal) = &answer
            && !refusal.passing
        {
            self.refused = Some(refusal.clone());
        }
        answer
    }

    /// What became of the run, once the program has ended.
    pub(super) fn end(self, led: Result<(), TrainerError>) -> Result<(Steering, Option<Records>), JobError> {
        match (self.apart, self.refused, led) {
            (Some((apart, false)), ..) => Err(apart.into()),
            // The program may have made the best of it: it is wrong all the same.
            (_, Some(refused), Ok(()) | Err(TrainerError::Died { .. })) => {
                Err(TrainerError::Refused { message: refused.message, hint: refused.hint }.into())
            }
            (_, _, Err(error)) => Err(error.into()),
            _ => Ok((self.steering, self.records)),
        }
    }

    /// What can be said of a call without the other ranks.
    fn check_own(&mut self, call: Call) -> Result<Call, MixtureError> {
        let domains = self.steering.online().run().domains.clone();
        match &call {
            Call::Begin { step } => self.at = Some(*step),
            Call::Turn { step } => {
                let was = self.at.unwrap_or(0);
                if *step < was {
                    return Err(MixtureError::Backwards { was, step: *step });
                }
                self.at = Some(*step);
            }
            Call::Tell(told) => {
                numbers(told, &domains)?;
                if let Told::Trained { seen, .. } = told {
                    self.at = self.at.max(Some(seen.step));
                }
            }
        }
        Ok(call)
    }

    fn together(&mut self, own: Result<Call, Refusal>) -> Result<Result<Reply, Refusal>, ExchangeError> {
        if self.exchange.size() == 1 {
            return Ok(own.and_then(|call| self.decide(call)));
        }
        let all = gather(self.exchange, &encode(&own))?;
        let mut decided = vec![];
        if self.exchange.rank() == 0 {
            let calls = all.iter().map(|bytes| decode::<Call>(bytes)).collect::<Result<Vec<_>, Refusal>>();
            let agreed = calls.and_then(|calls| agree(calls).map_err(Refusal::from));
            decided = encode(&agreed.and_then(|call| self.decide(call)));
        }
        let mut length = (decided.len() as u64).to_le_bytes();
        self.exchange.broadcast(0, &mut length)?;
        // Rank 0 is of the same job, and its answers are small.
        decided.resize(usize::try_from(u64::from_le_bytes(length)).unwrap_or(0), 0);
        self.exchange.broadcast(0, &mut decided)?;
        Ok(decode(&decided))
    }

    /// What rank 0 says to what all have called.
    fn decide(&mut self, call: Call) -> Result<Reply, Refusal> {
        match call {
            Call::Begin { step } => {
                self.context.log(format!("{}: the trainer begins at step {step} of {}", self.label, self.begun.steps));
                Ok(Reply::Begun(self.begun.clone()))
            }
            Call::Turn { step } => Ok(Reply::Turn(self.steering.turn(step)?)),
            Call::Tell(told) => self.record(told),
        }
    }

    fn record(&mut self, told: Told) -> Result<Reply, Refusal> {
        if !self.steering.check(&told)? {
            return Ok(Reply::Taken { new: false });
        }
        let Some(records) = &mut self.records else {
            return Err(MixtureError::State("only rank 0 records".into()).into());
        };
        if let Err(error) = records.append(&told) {
            let message = format!("cannot record the report in {}: {error}", records.path().display());
            self.context.log(format!("{}: {message}; the trainer goes on with what it has", self.label));
            return Err(Refusal { message, hint: None, passing: true });
        }
        self.say(&told);
        let lines = self.steering.take(told)?;
        if let Some(records) = &mut self.records {
            records.keep(lines);
        }
        Ok(Reply::Taken { new: true })
    }

    /// Says it to people: twenty lines a run, however short its legs are.
    fn say(&self, told: &Told) {
        let Told::Trained { since, seen, stale } = told else { return };
        self.context.progress.add(seen.tokens.iter().sum());
        if *stale > 0 {
            let step = seen.step;
            self.context.log(format!("{}: {stale} steps before step {step} were trained on older proportions", self.label));
        }
        let steps = self.begun.steps.max(1);
        if seen.step * LINES / steps == since * LINES / steps {
            return;
        }
        let Ok(Turn::Train { leg, .. }) = self.steering.turn(*since) else { return };
        let loss = mean_loss(seen).map_or_else(String::new, |loss| format!(", loss {loss:.3}"));
        let shares = shares(&self.steering.online().run().domains, &leg.proportions);
        self.context.log(format!("{}: step {} of {steps}{loss}, on {shares}", self.label, seen.step));
    }
}

fn unreachable(error: &ExchangeError) -> Refusal {
    Refusal { message: error.to_string(), hint: None, passing: false }
}

fn mean_loss(seen: &Observation) -> Option<f64> {
    let known: Vec<f64> = seen.train.iter().copied().flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// That all figures are numbers, which JSON could not hold otherwise.
fn numbers(told: &Told, domains: &Domains) -> Result<(), MixtureError> {
    let finite = |what: &'static str, step: u64, values: &mut dyn Iterator<Item = Option<f64>>| {
        let wrong = values.enumerate().find_map(|(index, value)| value.filter(|x| !x.is_finite()).map(|x| (index, x)));
        let Some((index, value)) = wrong else { return Ok(()) };
        Err(MixtureError::Value { domain: domains.name(index), step, what, value })
    };
    let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>().into_iter();
    match told {
        Told::Trained { seen, .. } | Told::Measured { seen } => {
            let step = seen.step;
            finite("the training loss", step, &mut seen.train.iter().copied())?;
            finite("the validation loss", step, &mut some(&seen.validation))?;
            finite("the excess loss", step, &mut seen.excess.iter().copied())?;
            if let Some(gradients) = &seen.gradients {
                finite("the gradient's squared norm", step, &mut some(&gradients.squared_norms))?;
                finite("the gradient's variance", step, &mut some(&gradients.variances))?;
                for row in &gradients.products {
                    finite("the gradients' inner product", step, &mut some(row))?;
                }
                finite("the learning rate", step, &mut [Some(gradients.learning_rate)].into_iter())?;
            }
            Ok(())
        }
        Told::Probed { report } => {
            finite("the validation loss before the probe", report.step, &mut some(&report.before))?;
            let mut branches = report.branches.iter();
            branches.try_for_each(|branch| finite("the validation loss after a branch", report.step, &mut some(&branch.after)))
        }
        Told::Tested { losses } => finite("the test loss", 0, &mut some(losses)),
    }
}

fn encode<T: serde::Serialize>(value: &Result<T, Refusal>) -> Vec<u8> {
    // Numbers and names can always be written.
    serde_json::to_vec(value).unwrap_or_default()
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let unreadable =
        |error: serde_json::Error| Refusal { message: format!("what a rank says: {error}"), hint: None, passing: false };
    serde_json::from_slice::<Result<T, Refusal>>(bytes).map_err(unreadable)?
}

/// What every rank has, rank 0 first.
fn gather(exchange: &dyn Exchange, mine: &[u8]) -> Result<Vec<Vec<u8>>, ExchangeError> {
    let mut lengths = vec![0; 8 * exchange.size()];
    exchange.all_gather(&(mine.len() as u64).to_le_bytes(), &mut lengths)?;
    let length = |bytes: &[u8; 8]| usize::try_from(u64::from_le_bytes(*bytes)).unwrap_or(0);
    let lengths: Vec<usize> = lengths.as_chunks::<8>().0.iter().map(length).collect();
    let mut all = vec![0; lengths.iter().sum()];
    exchange.all_gather_varied(mine, &lengths, &mut all)?;
    let mut rest = &all[..];
    let part = |&length: &usize| {
        let (now, later) = rest.split_at(length.min(rest.len()));
        rest = later;
        now.to_vec()
    };
    Ok(lengths.iter().map(part).collect())
}
