//! Traces: what a job did, in all processes, is one tree that begins with the verb.

use crate::{
    harness::{
        Collector, Coordinator, CoordinatorSetup, Family, SMALL, Scratch, SentSpan, Worker, WorkerSetup, eventually, finish,
    },
    train::training,
};

fn coordinator(collector: &Collector) -> Coordinator {
    Coordinator::start(CoordinatorSetup { environment: collector.environment(), ..CoordinatorSetup::default() })
}

fn worker(coordinator: &Coordinator, collector: &Collector) -> Worker {
    Worker::start(coordinator.address(), WorkerSetup { environment: collector.environment(), ..WorkerSetup::default() })
}

/// A folder with a recipe in it.
fn recipe() -> Scratch {
    let scratch = Scratch::new();
    let family = Family::write(scratch.path(), SMALL, 11);
    scratch.write("recipe.yml", family.recipe("linear", 1.0));
    scratch
}

/// What has been sent, once `awaited` is among it and the parents of all: processes send what they have each for itself.
fn spans(collector: &Collector, what: &str, awaited: impl Fn(&SentSpan) -> bool) -> Vec<SentSpan> {
    eventually(what, || {
        let spans = collector.spans();
        let known = |id: &str| id.is_empty() || spans.iter().any(|span| span.id == id);
        let whole = spans.iter().all(|span| known(&span.parent)) && spans.iter().any(&awaited);
        whole.then_some(spans)
    })
}

/// The names from the root of the trace to this span, each with its process.
fn path(spans: &[SentSpan], span: &SentSpan) -> Vec<String> {
    let mut names = Vec::new();
    let mut next = Some(span);
    while let Some(span) = next {
        names.push(format!("{}: {}", span.service, span.name));
        next = spans.iter().find(|other| other.id == span.parent);
        if let Some(parent) = next {
            assert_eq!(parent.trace, span.trace, "{span:?}");
            assert!(parent.begin <= span.begin, "{span:?} begins before {parent:?}");
        }
    }
    names.reverse();
    names
}

#[test]
fn a_merge_is_one_trace_from_the_verb_to_the_kernels() {
    let (collector, scratch) = (Collector::start(), recipe());
    let coordinator = coordinator(&collector);
    let _worker = worker(&coordinator, &collector);
    coordinator.wait_for_nodes(1);
    let mut merge = coordinator.command(scratch.path(), ["merge", "recipe.yml", "out"]);
    merge.envs(collector.environment());
    finish(merge).ok();
    // The attempt that publishes is the last.
    let spans =
        spans(&collector, "the last attempt", |span| span.name == "attempt" && span.attributes["label"].starts_with("publish"));
    let found = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let to_attempt = ["braid: braid merge", "braid-coordinator: submit", "braid-coordinator: placement", "braid-worker: attempt"];
    for attempt in found("attempt") {
        assert_eq!(path(&spans, attempt), to_attempt);
    }
    assert_eq!(path(&spans, found("plan")[0]), ["braid: braid merge", "braid-coordinator: submit", "braid-coordinator: plan"]);
    for phase in ["read", "kernel", "write"] {
        let all = found(phase);
        assert!(!all.is_empty(), "no {phase} among {spans:#?}");
        for span in all {
            let mut expected = to_attempt.map(str::to_owned).to_vec();
            expected.push(format!("braid-worker: {phase}"));
            assert_eq!(path(&spans, span), expected);
            assert!(span.end >= span.begin && span.attributes["busy_ms"].parse::<f64>().unwrap() > 0.0, "{span:?}");
        }
    }
    let root = found("braid merge");
    assert_eq!((root.len(), root[0].parent.as_str()), (1, ""));
    assert!(spans.iter().all(|span| span.trace == root[0].trace), "{spans:#?}");
}

#[test]
fn a_trace_outlives_the_coordinator() {
    let (collector, scratch) = (Collector::start(), recipe());
    let mut coordinator = coordinator(&collector);
    let mut merge = coordinator.command(scratch.path(), ["merge", "recipe.yml", "out", "--detach"]);
    merge.envs(collector.environment());
    let job = finish(merge).ok().stdout.trim().to_owned();
    eventually("the submit", || collector.spans().iter().any(|span| span.name == "submit").then_some(()));
    coordinator.restart();
    let _worker = worker(&coordinator, &collector);
    coordinator.braid(["job", "wait", &job]).ok();
    let spans = spans(&collector, "an attempt", |span| span.name == "attempt");
    let root = spans.iter().find(|span| span.name == "braid merge").unwrap();
    let attempts: Vec<_> = spans.iter().filter(|span| span.name == "attempt").collect();
    assert!(!attempts.is_empty() && attempts.iter().all(|span| span.trace == root.trace), "{spans:#?}");
    assert_eq!(path(&spans, attempts[0])[..2], ["braid: braid merge", "braid-coordinator: submit"]);
}

#[test]
fn what_a_gang_tells_each_other_is_in_its_trace() {
    let collector = Collector::start();
    let coordinator = coordinator(&collector);
    let _workers = [worker(&coordinator, &collector), worker(&coordinator, &collector)];
    coordinator.wait_for_nodes(2);
    let scratch = training(2);
    let mut train = coordinator.command(scratch.path(), ["train", "train.yml", "out"]);
    train.envs(collector.environment());
    finish(train).ok();
    // A span is sent when it ends: the call before the attempt, and that before the verb.
    let path = eventually("a gather and all above it", || {
        let spans = collector.spans();
        let gather = spans.iter().find(|span| span.name == "all_gather")?;
        Some(path(&spans, gather)).filter(|path| path[0] == "braid: braid train")
    });
    assert_eq!(path[path.len() - 2..], ["braid-worker: attempt", "braid-worker: all_gather"]);
}
