//! `braid.v1.Planner`, as a trainer in any language uses it: by a client that was generated from the .proto.

use crate::harness::{Coordinator, Scratch};
use braid_proto::v1::{PlanReply, PlanRequest, planner_client::PlannerClient};
use std::time::{Duration, Instant};
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, transport::Channel};

fn request(tag: u64) -> PlanRequest {
    let lengths = (0..100 + tag).map(|i| 300 + (i * 7919 % 120).pow(3) / 17).collect();
    PlanRequest { lengths, cluster: "a100x64".into(), model: "gpt-7b".into(), tag, ..Default::default() }
}

/// Runs `test` with a client of a new coordinator.
fn with_client<F: Future<Output = ()>>(test: impl FnOnce(PlannerClient<Channel>) -> F) {
    let coordinator = Coordinator::spawn(None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        test(PlannerClient::connect(format!("http://{}", coordinator.address())).await.unwrap()).await;
    });
}

fn sequences(reply: &PlanReply) -> Vec<u32> {
    let groups = reply.micro_batches.iter().flat_map(|m| &m.groups);
    let mut all: Vec<u32> = groups.flat_map(|group| group.sequences.iter().copied()).collect();
    all.sort_unstable();
    all
}

#[test]
fn the_service_plans_as_the_verb_does() {
    with_client(|mut client| async move {
        let asked = PlanRequest { baselines: true, context: Some(64_000), ..request(7) };
        let reply = client.plan(asked.clone()).await.unwrap().into_inner();
        let scratch = Scratch::new();
        scratch.write("lengths.txt", asked.lengths.iter().map(|n| format!("{n}\n")).collect::<String>());
        let args = ["plan", "lengths.txt", "--cluster", "a100x64", "--model", "gpt-7b", "--context", "64000", "-o", "json"];
        let json = scratch.braid(args).ok().json();
        assert_eq!((reply.tag, reply.world, reply.context), (7, 64, 64_000));
        let near = |mine: f64, theirs: &serde_json::Value| (mine - theirs.as_f64().unwrap()).abs() < 1e-9;
        assert!(
            near(reply.predicted_s, &json["predicted_s"])
                && near(reply.bound_s, &json["bound_s"])
                && near(reply.gap, &json["gap"])
        );
        let baselines = reply.baselines.unwrap();
        assert!(near(baselines.static_s.unwrap(), &json["baselines"]["static_s"]));
        assert!(near(baselines.batchada_s.unwrap(), &json["baselines"]["batchada_s"]));
        for (mine, theirs) in reply.micro_batches.iter().zip(json["micro_batches"].as_array().unwrap()) {
            for (group, other) in mine.groups.iter().zip(theirs["groups"].as_array().unwrap()) {
                let placed = serde_json::json!([group.first_rank, group.degree, group.sequences]);
                assert_eq!(placed, serde_json::json!([other["first_rank"], other["degree"], other["sequences"]]));
            }
        }
        assert_eq!(reply.dropped.len(), json["dropped"].as_array().unwrap().len());
        assert!(!reply.dropped.is_empty());
    });
}

#[test]
fn what_cannot_be_planned_says_why_and_harms_nobody_else() {
    with_client(|mut client| async move {
        for (change, code, said) in [
            ((|r| r.lengths[3] = 0) as fn(&mut PlanRequest), Code::InvalidArgument, "lengths[3] is 0"),
            (|r| r.lengths.clear(), Code::InvalidArgument, "there is no sequence to plan"),
            (|r| r.model = "gpt-8b".into(), Code::InvalidArgument, "did you mean gpt-7b?"),
            (|r| r.cluster = "name: x\nnode: 1\n".into(), Code::InvalidArgument, "node"),
            (|r| r.lengths[2] = 500_001, Code::FailedPrecondition, "tokens or"),
        ] {
            let mut bad = request(0);
            change(&mut bad);
            let status = client.plan(bad).await.unwrap_err();
            assert!(status.code() == code && status.message().contains(said), "{status}");
        }
        assert!(!client.plan(request(0)).await.unwrap().into_inner().micro_batches.is_empty());
    });
}

#[test]
fn plans_that_are_asked_for_ahead_come_in_order() {
    with_client(|mut client| async move {
        // Of different sizes, so that they are not done in the order of asking.
        let tags = [90, 1, 60, 2, 30, 3, 0, 45];
        let replies = client.plans(tokio_stream::iter(tags.map(request))).await.unwrap().into_inner();
        let replies: Vec<_> = replies.map(Result::unwrap).collect().await;
        assert_eq!(replies.iter().map(|reply| reply.tag).collect::<Vec<_>>(), tags);
        for reply in &replies {
            assert_eq!(sequences(reply), (0..100 + reply.tag as u32).collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_stream_ends_at_the_first_request_that_cannot_be_planned() {
    with_client(|mut client| async move {
        let bad = PlanRequest { model: "none".into(), ..request(2) };
        let mut replies = client.plans(tokio_stream::iter([request(1), bad, request(3)])).await.unwrap().into_inner();
        assert_eq!(replies.message().await.unwrap().unwrap().tag, 1);
        assert_eq!(replies.message().await.unwrap_err().code(), Code::InvalidArgument);
    });
}

#[test]
fn deadlines_hold_and_abandoned_plans_leave_their_seats() {
    with_client(|mut client| async move {
        // Hard enough to take much longer than it is given.
        let hard = |tag| {
            let lengths = (0..20_000u64).map(|i| 1_000 + (i * 7919) % 30_011).collect();
            PlanRequest { lengths, effort: 1, ..request(tag) }
        };
        for _ in 0..6 {
            let mut limited = Request::new(hard(0));
            limited.set_timeout(Duration::from_millis(100));
            let status = client.plan(limited).await.unwrap_err();
            assert!(matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded), "{status}");
        }
        // A stream whose requests do not end, so that its deadline alone ends it.
        let mut limited = Request::new(tokio_stream::iter([request(1)]).chain(tokio_stream::pending()));
        limited.set_timeout(Duration::from_secs(2));
        let start = Instant::now();
        let mut replies = client.plans(limited).await.unwrap().into_inner();
        assert_eq!(replies.message().await.unwrap().unwrap().tag, 1);
        let status = replies.message().await.unwrap_err();
        assert!(status.code() == Code::DeadlineExceeded && start.elapsed() < Duration::from_secs(20), "{status}");
        assert_eq!(client.plan(request(9)).await.unwrap().into_inner().tag, 9);
    });
}

#[test]
fn a_budget_gives_a_plan_in_time() {
    with_client(|mut client| async move {
        let lengths: Vec<u64> = (0..4_000u64).map(|i| 1_000 + (i * 7919) % 30_011).collect();
        let asked = PlanRequest { lengths, effort: 1, budget_millis: 1, ..request(5) };
        let reply = client.plan(asked).await.unwrap().into_inner();
        assert_eq!(sequences(&reply), (0..4_000).collect::<Vec<_>>());
        assert!(reply.gap >= 0.0 && reply.predicted_s >= reply.bound_s);
    });
}
