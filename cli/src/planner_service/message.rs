//! Requests to questions, answers to replies. A peer may send anything.

use crate::planning::{Answer, Baselines, Named, Question, unknown};
use braid_proto::v1::{
    PlanReply, PlanRequest,
    plan_reply::{self, Group, MicroBatch},
    plan_request::{Degrees, Effort},
};
use braid_sequence::{
    SequenceError,
    planner::{self, Cluster, MAX_LENGTH, ModelProfile, PlanOptions, Tokens},
};
use tonic::Status;

/// The most sequences of one step: what is longer is no batch.
const MAX_SEQUENCES: usize = 1 << 16;

/// Reads a request.
pub(super) fn question(request: PlanRequest) -> Result<Question, Status> {
    let (effort, degrees) = (request.effort(), request.degrees());
    if request.lengths.len() > MAX_SEQUENCES {
        let text = format!("{} sequences are more than a step may have ({MAX_SEQUENCES})", request.lengths.len());
        return Err(Status::invalid_argument(text));
    }
    if let Some(index) = request.lengths.iter().position(|&length| length == 0 || length > MAX_LENGTH) {
        let text = format!("lengths[{index}] is {}; a sequence has 1 to {MAX_LENGTH} tokens", request.lengths[index]);
        return Err(Status::invalid_argument(text));
    }
    if request.context == Some(0) {
        return Err(Status::invalid_argument("a context of 0 tokens leaves no sequence to plan"));
    }
    Ok(Question {
        cluster: profile::<Cluster>(&request.cluster)?,
        model: profile::<ModelProfile>(&request.model)?,
        lengths: request.lengths.into_iter().map(Tokens).collect(),
        context: request.context.map(Tokens),
        degrees: match degrees {
            Degrees::PowersOfTwo => planner::Degrees::PowersOfTwo,
            Degrees::Any => planner::Degrees::Any,
        },
        options: PlanOptions {
            effort: match effort {
                Effort::Fast => planner::Effort::Fast,
                Effort::Thorough => planner::Effort::Thorough,
            },
            barrier: !request.no_barrier,
            ..PlanOptions::default()
        },
    })
}

/// A name, or a text: no name has a colon, and no YAML of a profile is without one.
fn profile<T: Named>(text: &str) -> Result<T, Status> {
    if text.contains(':') {
        return T::parse(T::WHAT, text).map_err(|error| refusal(&error));
    }
    if !T::NAMES.contains(&text) {
        let (message, hint) = unknown::<T>(text);
        return Err(Status::invalid_argument(format!("{message}; {hint}")));
    }
    T::built_in(text).map_err(|error| refusal(&error))
}

/// Why there is no plan. Nothing of it passes by trying again.
pub(super) fn refusal(error: &SequenceError) -> Status {
    match error {
        SequenceError::NoPlan { .. } | SequenceError::TooLong { .. } | SequenceError::ModelTooLarge { .. } => {
            Status::failed_precondition(error.to_string())
        }
        SequenceError::InvalidPlan { .. } => Status::internal(error.to_string()),
        _ => Status::invalid_argument(error.to_string()),
    }
}

/// Writes a reply.
pub(super) fn reply(tag: u64, answer: &Answer, baselines: Option<&Baselines>) -> PlanReply {
    let plan = &answer.plan;
    PlanReply {
        tag,
        predicted_s: plan.predicted_ms.seconds(),
        bound_s: plan.bound_ms.seconds(),
        gap: plan.gap(),
        any_division_bound_s: plan.any_division_bound_ms.seconds(),
        solve_ms: answer.solve.as_secs_f64() * 1e3,
        baselines: baselines.map(|baselines| plan_reply::Baselines {
            static_s: baselines.fixed.map(|baseline| baseline.predicted.seconds()),
            batchada_s: baselines.batch_ada.map(|baseline| baseline.predicted.seconds()),
        }),
        micro_batches: plan.micro_batches.iter().map(micro_batch).collect(),
        dropped: narrow(&answer.batch.dropped),
        world: plan.world,
        barrier: plan.barrier,
        context: answer.context.0,
    }
}

fn micro_batch(m: &planner::MicroBatch) -> MicroBatch {
    let group = |group: &planner::Group| Group {
        first_rank: group.first_rank.0,
        degree: group.degree.0,
        predicted_s: group.predicted_ms.seconds(),
        sequences: narrow(&group.sequences),
    };
    MicroBatch {
        predicted_s: m.predicted_ms.seconds(),
        bound_s: m.bound_ms.seconds(),
        groups: m.groups.iter().map(group).collect(),
    }
}

/// No step has more than [`MAX_SEQUENCES`].
fn narrow(indices: &[usize]) -> Vec<u32> {
    indices.iter().map(|&index| index as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    fn request() -> PlanRequest {
        PlanRequest { lengths: vec![4_000; 3], cluster: "a100x64".into(), model: "gpt-7b".into(), ..Default::default() }
    }

    #[test]
    fn a_request_that_cannot_be_read_says_why() {
        let bad = |change: fn(&mut PlanRequest)| {
            let mut request = request();
            change(&mut request);
            let status = question(request).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            status.message().to_owned()
        };
        assert_eq!(bad(|r| r.lengths[1] = 0), "lengths[1] is 0; a sequence has 1 to 134217728 tokens");
        assert!(bad(|r| r.lengths = vec![1; MAX_SEQUENCES + 1]).starts_with("65537 sequences"));
        assert!(bad(|r| r.context = Some(0)).contains("context of 0"));
        assert!(bad(|r| r.model = "gpt-8b".into()).ends_with("did you mean gpt-7b?"));
        assert!(bad(|r| r.model = String::new()).contains("gpt-30b"));
        assert!(bad(|r| r.cluster = "name: x\nnodes: 3".into()).contains("unknown field"));
        assert!(question(request()).is_ok());
    }

    #[test]
    fn enumerations_of_a_newer_peer_fall_back_to_the_default() {
        let request = PlanRequest { effort: 77, degrees: -1, ..request() };
        let question = question(request).unwrap();
        assert_eq!((question.options.effort, question.degrees), (planner::Effort::Fast, planner::Degrees::PowersOfTwo));
    }
}
