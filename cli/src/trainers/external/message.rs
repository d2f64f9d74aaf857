//! Messages to calls, answers to messages. What a trainer says by name comes into the order of the spec, or is refused. A trainer may
//! say anything.

use braid_mixture::{
    BatchRule, Domains, MixtureError, Proportions,
    online::{BranchReport, Fate, Gradients, Needs, Observation, Origin, ProbePlan, ProbeReport},
    steer::{Begun, Call, Refusal, Told, Turn},
};
use braid_proto::v1::{
    self, BeginReply, BeginRequest, Leg, ProbedRequest, ReportRequest, WeightsReply, begin_reply, leg::Rule, probe_plan,
    weights_reply,
};
use std::collections::HashMap;
use tonic::Status;

type By<T> = HashMap<String, T>;

pub(super) fn begin(request: BeginRequest, domains: &Domains) -> Result<Call, MixtureError> {
    if !request.domains.is_empty() {
        domains.arrange("the trainer", request.domains.into_iter().map(|name| (name, ())))?;
    }
    Ok(Call::Begin { step: request.step })
}

pub(super) fn report(request: ReportRequest, domains: &Domains) -> Result<Call, MixtureError> {
    let ReportRequest { step, since, tokens, losses, validation, excess, gradients, stale, test } = request;
    if !test.is_empty() {
        return Ok(Call::Tell(Told::Tested { losses: all("the trainer's test losses", test, domains)? }));
    }
    let tokens = match since {
        Some(_) => all("the trainer's tokens", tokens, domains)?,
        None => vec![0; domains.len()],
    };
    let seen = Observation {
        step,
        tokens,
        train: some("the trainer's losses", losses, domains)?,
        validation: all_or_none("the trainer's validation losses", validation, domains)?,
        excess: some("the trainer's excess losses", excess, domains)?,
        gradients: gradients.map(|gradients| self::gradients(gradients, domains)).transpose()?,
    };
    Ok(Call::Tell(match since {
        Some(since) => Told::Trained { since, seen, stale },
        None => Told::Measured { seen },
    }))
}

fn gradients(gradients: v1::Gradients, domains: &Domains) -> Result<Gradients, MixtureError> {
    let mut rows: Vec<Vec<f64>> = vec![];
    if !gradients.products.is_empty() {
        let arranged = by_name("the rows of the trainer's inner products", gradients.products, domains)?;
        let row = |row: v1::gradients::Row| all("a row of the trainer's inner products", row.by_trained, domains);
        rows = arranged.into_iter().map(row).collect::<Result<_, _>>()?;
    }
    Ok(Gradients {
        squared_norms: all("the trainer's norms of gradients", gradients.squared_norms, domains)?,
        variances: all_or_none("the trainer's variances of gradients", gradients.variances, domains)?,
        products: rows,
        learning_rate: gradients.learning_rate,
    })
}

pub(super) fn probed(request: ProbedRequest, domains: &Domains) -> Result<Call, MixtureError> {
    let branch = |branch: v1::probed_request::Branch| {
        let tokens = all("the trainer's tokens of a branch", branch.tokens, domains)?;
        Ok(BranchReport { tokens, after: all_or_none("the trainer's losses after a branch", branch.after, domains)? })
    };
    let branches = request.branches.into_iter().map(branch).collect::<Result<_, MixtureError>>()?;
    let before = all_or_none("the trainer's losses before a probe", request.before, domains)?;
    Ok(Call::Tell(Told::Probed { report: ProbeReport { step: request.step, before, branches } }))
}

fn by_name<T>(what: &str, by: By<T>, domains: &Domains) -> Result<Vec<T>, MixtureError> {
    let mut pairs: Vec<(String, T)> = by.into_iter().collect();
    // So that an error has the same text each time.
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    domains.arrange(what, pairs)
}

/// One entry for every domain.
fn all<T>(what: &str, by: By<T>, domains: &Domains) -> Result<Vec<T>, MixtureError> {
    by_name(what, by, domains)
}

fn all_or_none<T>(what: &str, by: By<T>, domains: &Domains) -> Result<Vec<T>, MixtureError> {
    if by.is_empty() { Ok(vec![]) } else { all(what, by, domains) }
}

/// Entries of some domains.
fn some(what: &str, by: By<f64>, domains: &Domains) -> Result<Vec<Option<f64>>, MixtureError> {
    if by.is_empty() {
        return Ok(vec![]);
    }
    let mut by: By<Option<f64>> = by.into_iter().map(|(name, value)| (name, Some(value))).collect();
    for name in domains.names() {
        by.entry(name.clone()).or_insert(None);
    }
    all(what, by, domains)
}

pub(super) fn begun(begun: Begun) -> BeginReply {
    let domain = |domain: braid_mixture::steer::DomainInfo| begin_reply::Domain {
        name: domain.name,
        paths: domain.paths.iter().map(|path| path.display().to_string()).collect(),
        tokens: domain.tokens,
    };
    BeginReply {
        domains: begun.domains.into_iter().map(domain).collect(),
        steps: begun.steps,
        slots: begun.slots,
        context: begun.context,
        seed: begun.seed,
        checkpoint_every: begun.checkpoint_every,
        folder: begun.folder.display().to_string(),
        method: begun.method,
    }
}

pub(super) fn turn(turn: Turn) -> WeightsReply {
    use weights_reply::Turn as Wire;
    let turn = match turn {
        Turn::Train { from, leg } => Wire::Train(Leg {
            since_step: from,
            until: leg.until,
            proportions: shares(&leg.proportions),
            objective: leg.objective.as_ref().map_or_else(Vec::new, shares),
            rule: match leg.rule {
                BatchRule::Exact => Rule::Exact,
                BatchRule::Multinomial => Rule::Multinomial,
                BatchRule::Floored => Rule::Floored,
            }
            .into(),
            needs: Some(needs(leg.needs)),
        }),
        Turn::Measure(asked) => Wire::Measure(needs(asked)),
        Turn::Probe(plan) => Wire::Probe(probe(&plan)),
        Turn::Test => Wire::Test(v1::Nothing {}),
        Turn::Over => Wire::Over(v1::Nothing {}),
    };
    WeightsReply { turn: Some(turn) }
}

fn probe(plan: &ProbePlan) -> v1::ProbePlan {
    let branch = |branch: &braid_mixture::online::Branch| probe_plan::Branch {
        proportions: shares(&branch.proportions),
        steps: branch.steps,
        stream: branch.stream,
    };
    v1::ProbePlan {
        from_start: plan.from == Origin::Start,
        measure: plan.measure,
        keep_reference: plan.fate == Fate::Reference,
        branches: plan.branches.iter().map(branch).collect(),
    }
}

fn needs(needs: Needs) -> v1::Needs {
    let Needs { train, validation, excess, norms, products } = needs;
    v1::Needs { train, validation, excess, norms, products }
}

fn shares(proportions: &Proportions) -> Vec<f64> {
    proportions.iter().collect()
}

/// A refusal as gRPC says it, the hint on a line of its own.
pub(super) fn status(refusal: &Refusal) -> Status {
    let text = match &refusal.hint {
        Some(hint) => format!("{}\nhint: {hint}", refusal.message),
        None => refusal.message.clone(),
    };
    // UNAVAILABLE is what a client makes of a broken connection: this is an answer, and all ranks get it.
    if refusal.passing { Status::aborted(text) } else { Status::invalid_argument(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains() -> Domains {
        Domains::new(["web", "code"]).unwrap()
    }

    fn by<T: Copy>(pairs: &[(&str, T)]) -> By<T> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn what_comes_by_name_is_brought_into_order() {
        let request = ReportRequest {
            step: 9,
            since: Some(4),
            tokens: by(&[("code", 5), ("web", 0)]),
            losses: by(&[("code", 2.5)]),
            ..ReportRequest::default()
        };
        let Call::Tell(Told::Trained { since, seen, .. }) = report(request, &domains()).unwrap() else { panic!() };
        assert_eq!((since, seen.step, seen.tokens, seen.train), (4, 9, vec![0, 5], vec![None, Some(2.5)]));
        let request = ReportRequest { step: 9, validation: by(&[("code", 2.5), ("web", 1.5)]), ..ReportRequest::default() };
        let Call::Tell(Told::Measured { seen }) = report(request, &domains()).unwrap() else { panic!() };
        assert_eq!((seen.tokens, seen.validation), (vec![0, 0], vec![1.5, 2.5]));
    }

    #[test]
    fn other_domains_are_refused() {
        let request = BeginRequest { domains: vec!["web".into(), "books".into()], step: 0 };
        let text = begin(request, &domains()).unwrap_err().to_string();
        assert_eq!(text, "the trainer: expected the domains web, code, found web, books");
        let request = ReportRequest { since: Some(0), tokens: by(&[("web", 1)]), ..ReportRequest::default() };
        let text = report(request, &domains()).unwrap_err().to_string();
        assert_eq!(text, "the trainer's tokens: expected the domains web, code, found web");
        let request = ReportRequest {
            since: Some(0),
            tokens: by(&[("web", 1), ("code", 1)]),
            losses: by(&[("books", 1.0)]),
            ..ReportRequest::default()
        };
        let text = report(request, &domains()).unwrap_err().to_string();
        assert_eq!(text, "the trainer's losses: expected the domains web, code, found books, code, web");
    }
}
