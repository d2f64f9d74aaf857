//! Thirty things that may be in the way, and what must be said of each: the constraint, the sentence, and a remedy that works.

use super::{
    super::{Absent, Away, Change, Decision, Greedy, Guide, Placer, Problem, Wait, Waiting, explain, hand_out, remedy::remedy},
    *,
};
use braid_workload::Input;
use std::sync::Arc;

struct Case {
    name: &'static str,
    problem: Problem,
    /// The word, then the sentence.
    expect: (&'static str, &'static str),
    /// What would help; `None` where only time does.
    remedy: Option<&'static str>,
}

fn gpus(gpus: u32, kind: Option<&str>) -> Class {
    Class { gpus, gpu_kind: kind.map(str::to_owned), ..Class::default() }
}

fn memory(gib: u64) -> Class {
    Class { memory: gib * GIB, ..Class::default() }
}

fn labelled(labels: &[(&str, &str)], class: Class) -> Class {
    Class { labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(), ..class }
}

fn gang(size: u32, class: Class) -> Class {
    Class { gang: size, ..class }
}

fn label(mut node: Candidate, name: &str, value: &str) -> Candidate {
    Arc::make_mut(&mut node.offer).labels.insert(name.into(), value.into());
    node
}

fn only(mut node: Candidate, kind: &str) -> Candidate {
    Arc::make_mut(&mut node.offer).kinds = [kind.to_owned()].into();
    node
}

fn mute(mut node: Candidate) -> Candidate {
    Arc::make_mut(&mut node.offer).exchange.clear();
    node
}

fn small(mut node: Candidate, gib: u64) -> Candidate {
    Arc::make_mut(&mut node.offer).memory = gib * GIB;
    node
}

fn absent(name: &str, why: Away) -> Absent {
    Absent { node: NodeId(name.into()), offer: node(name).offer, why }
}

fn wide() -> Class {
    Class { wide: true, ..Class::default() }
}

fn writing(gib: u64) -> Class {
    Class { disk: Some(Space { path: "/data/out".into(), bytes: gib * GIB }), ..Class::default() }
}

/// With so much free on the disk that they write to, and more on the other.
fn with_free(mut node: Candidate, gib: u64) -> Candidate {
    let disk = |mount: &str, gib| Disk { mount: mount.into(), total: 1000 * GIB, free: gib * GIB, ..Disk::default() };
    Arc::make_mut(&mut node.offer).disks = vec![disk("/", 500), disk("/data", gib)];
    node
}

fn full(name: &str) -> Candidate {
    holding(node(name), &Class::default(), 16)
}

fn one(class: Class, nodes: Vec<Candidate>) -> Problem {
    problem(vec![waiting(1, class, 1)], nodes)
}

fn gone(class: Class, absent: Vec<Absent>) -> Problem {
    Problem { absent, ..one(class, vec![]) }
}

fn cases() -> Vec<Case> {
    let case = |name, problem, expect, remedy| Case { name, problem, expect, remedy };
    let h100 = |name| with_gpus(node(name), 8, "NVIDIA H100 80GB HBM3");
    let behind = |gangs: Class, class: Class, nodes| problem(vec![waiting(1, gangs, 1), waiting(2, class, 1)], nodes);
    vec![
        case(
            "an empty fleet",
            one(Class::default(), vec![]),
            ("no_worker", "no worker is connected"),
            Some("1 more worker with `train` jobs"),
        ),
        case(
            "a kind that nobody runs",
            one(Class::default(), vec![only(node("a"), "merge"), only(node("b"), "noop")]),
            ("kind", "none of the 2 workers can run `train` jobs"),
            Some("a runs a worker that knows `train` jobs"),
        ),
        case(
            "a kind and a size",
            one(memory(128), vec![only(node("a"), "merge")]),
            ("kind", "none of the 1 workers can run `train` jobs"),
            Some("a runs a worker that knows `train` jobs, and a has 64.0 GiB more for tasks"),
        ),
        case(
            "too much memory",
            one(memory(80), vec![node("a"), small(node("b"), 16)]),
            ("memory", "no worker may hold 80.0 GiB (the largest may hold 64.0 GiB)"),
            Some("a has 16.0 GiB more for tasks"),
        ),
        case(
            "too little free on every disk",
            one(writing(80), vec![with_free(node("a"), 64), with_free(node("b"), 16)]),
            ("disk", "no node has 80.0 GiB free on the disk of /data/out (the most is 64.0 GiB)"),
            Some("a has 16.0 GiB more free on the disk of /data/out"),
        ),
        case(
            "room on the disk of one and memory of another",
            one(Class { memory: 60 * GIB, ..writing(80) }, vec![with_free(node("a"), 64), small(with_free(node("b"), 90), 16)]),
            (
                "together",
                "no worker has `train` jobs, 60.0 GiB and 80.0 GiB free on the disk of /data/out together, though each is somewhere",
            ),
            Some("a has 16.0 GiB more free on the disk of /data/out"),
        ),
        case(
            "memory of workers of another kind does not count",
            one(memory(80), vec![node("a"), small(only(node("b"), "merge"), 128)]),
            ("memory", "no worker may hold 80.0 GiB (the largest may hold 64.0 GiB)"),
            Some("a has 16.0 GiB more for tasks"),
        ),
        case(
            "no GPUs at all",
            one(gpus(1, None), vec![node("a")]),
            ("gpus", "no worker has GPUs, and 1 are asked for"),
            Some("a has 1 more GPU"),
        ),
        case(
            "too few GPUs",
            one(gpus(8, None), vec![with_gpus(node("a"), 4, "A100"), with_gpus(node("b"), 2, "A100")]),
            ("gpus", "no worker has 8 GPUs (the most is 4)"),
            Some("a has 4 more GPUs"),
        ),
        case(
            "GPUs of another kind",
            one(gpus(1, Some("h100")), vec![with_gpus(node("a"), 8, "A100")]),
            ("gpu_kind", "none of the 1 workers with GPUs has h100"),
            Some("a has GPUs of kind h100"),
        ),
        case(
            "a kind of GPU and no GPUs",
            one(gpus(1, Some("h100")), vec![node("a")]),
            ("gpu_kind", "no worker has GPUs, and h100 is asked for"),
            Some("a has GPUs of kind h100, and a has 1 more GPU"),
        ),
        case(
            "a label that no node has",
            one(labelled(&[("rack", "7")], Class::default()), vec![node("a")]),
            ("label", "none of the 1 workers is labelled rack=7"),
            Some("a is labelled rack=7"),
        ),
        case(
            "a label with another value",
            one(labelled(&[("rack", "7")], Class::default()), vec![label(node("a"), "rack", "6")]),
            ("label", "none of the 1 workers is labelled rack=7"),
            Some("a is labelled rack=7"),
        ),
        case(
            "two labels on two nodes",
            one(
                labelled(&[("rack", "7"), ("zone", "a")], Class::default()),
                vec![label(node("a"), "rack", "7"), label(node("b"), "zone", "a")],
            ),
            ("together", "no worker has `train` jobs, rack=7 and zone=a together, though each is somewhere"),
            Some("a is labelled zone=a"),
        ),
        case(
            "GPUs here and memory there",
            one(Class { memory: 60 * GIB, ..gpus(2, None) }, vec![small(with_gpus(node("a"), 4, "A100"), 32), node("b")]),
            ("together", "no worker has `train` jobs, 2 GPUs and 60.0 GiB together, though each is somewhere"),
            Some("a has 28.0 GiB more for tasks"),
        ),
        case(
            "GPUs and memory, of which memory is nowhere",
            one(Class { memory: 256 * GIB, ..gpus(2, Some("h100")) }, vec![h100("a")]),
            ("memory", "no worker may hold 256.0 GiB (the largest may hold 64.0 GiB)"),
            Some("a has 192.0 GiB more for tasks"),
        ),
        case(
            "GPUs in use",
            one(gpus(4, None), vec![holding(h100("a"), &gpus(2, None), 3)]),
            ("gpus_busy", "no worker has 4 GPUs free (the most is 2 of 8)"),
            Some("a task on a ends"),
        ),
        case(
            "GPUs in use on each of two",
            one(gpus(8, None), vec![holding(h100("a"), &gpus(1, None), 1), holding(h100("b"), &gpus(4, None), 2)]),
            ("gpus_busy", "no worker has 8 GPUs free (the most is 7 of 8)"),
            Some("a task on a ends"),
        ),
        case(
            "memory in use",
            one(memory(40), vec![holding(node("a"), &memory(30), 3)]),
            ("memory_busy", "no worker has 40.0 GiB free (the most is 0 B)"),
            Some("a task on a ends"),
        ),
        case(
            "one worker, busy",
            one(wide(), vec![holding(node("a"), &wide(), 2)]),
            ("busy", "the only worker that could run it is busy"),
            Some("a task on a ends"),
        ),
        case(
            "all workers busy",
            one(Class::default(), vec![full("a"), full("b")]),
            ("busy", "all 2 workers that could run it are busy"),
            Some("8 tasks on a end"),
        ),
        case(
            "threads in use by broad tasks",
            one(Class { threads: 4, ..Class::default() }, vec![holding(node("a"), &Class { threads: 4, ..Class::default() }, 3)]),
            ("busy", "the only worker that could run it is busy"),
            Some("a task on a ends"),
        ),
        case(
            "busy where it may run, idle where not",
            one(labelled(&[("rack", "7")], Class::default()), vec![label(full("a"), "rack", "7"), node("b")]),
            ("busy", "the only worker that could run it is busy"),
            Some("8 tasks on a end"),
        ),
        case(
            "the worker is silent",
            gone(Class::default(), vec![absent("a", Away::Silent)]),
            ("away", "the only worker that could run it, a, is silent"),
            Some("a: its worker connects again"),
        ),
        case(
            "the workers are leaving",
            gone(Class::default(), vec![absent("a", Away::Leaving), absent("b", Away::Leaving)]),
            ("away", "each of the 2 workers that could run it is leaving"),
            Some("a: its worker stays, or starts again"),
        ),
        case(
            "a gang where there is no exchange",
            one(gang(2, Class::default()), vec![mute(node("a")), mute(node("b"))]),
            ("exchange", "none of the 2 workers can be in a gang: they have no exchange"),
            Some("a has an exchange"),
        ),
        case(
            "a gang larger than the fleet",
            one(gang(3, wide()), vec![node("a"), node("b")]),
            ("gang_too_large", "a gang of 3 needs 3 workers at once, and the 2 workers have 2"),
            Some("1 more worker like a"),
        ),
        case(
            "a gang of GPUs larger than the fleet",
            one(gang(16, gpus(1, None)), vec![h100("a")]),
            ("gang_too_large", "a gang of 16 needs 16 places on GPUs at once, and the 1 workers have 8"),
            Some("1 more worker like a"),
        ),
        case(
            "a gang that lacks GPUs now",
            one(gang(8, gpus(1, None)), vec![holding(h100("a"), &gpus(1, None), 3)]),
            ("gang", "a gang of 8 needs 3 more GPUs (5 of 8 places are free)"),
            Some("3 tasks on a end"),
        ),
        case(
            "a gang that lacks threads now",
            one(gang(8, memory(2)), vec![holding(node("a"), &Class::default(), 3)]),
            ("gang", "a gang of 8 needs 8 threads with 2.0 GiB each at once, and 5 of 8 are free"),
            Some("3 tasks on a end"),
        ),
        case(
            "a task behind a gang",
            behind(gang(16, Class::default()), Class::default(), vec![node("a"), holding(node("b"), &Class::default(), 1)]),
            ("reserved", "it waits behind the gang of 16 of job 1, for which workers are kept"),
            None,
        ),
        case(
            "a gang behind a gang",
            behind(
                gang(16, Class::default()),
                gang(4, Class::default()),
                vec![node("a"), holding(node("b"), &Class::default(), 1)],
            ),
            ("reserved", "it waits behind the gang of 16 of job 1, for which workers are kept"),
            None,
        ),
    ]
}

/// What is said of the class that comes last.
fn said(problem: &Problem) -> Wait {
    let mut decision = Greedy.place(problem);
    decision.reasons.pop().expect("something waits").1
}

#[test]
fn thirty_waits_and_more_name_their_constraint_and_a_remedy_that_works() {
    let cases = cases();
    assert!(cases.len() >= 30);
    for Case { name, problem, expect: (word, sentence), remedy: expected } in cases {
        let wait = said(&problem);
        assert_eq!((wait.word().as_str(), wait.to_string().as_str()), (word, sentence), "{name}");
        let class = problem.classes.last().unwrap();
        let explained = explain(&problem, class.job, None);
        assert_eq!(explained.waits.last().unwrap().wait.as_ref(), Some(&wait), "{name}: explained as placement says it");
        let remedy = remedy(class, &problem);
        assert_eq!(remedy.as_ref().map(ToString::to_string).as_deref(), expected, "{name}");
        // A remedy counts only if it works: the search for it tries. Here, that nothing less than the whole of it does.
        if let Some(remedy) = remedy {
            assert!(!remedy.changes.is_empty() && !starts(class, &problem), "{name}");
            assert!(matches!(remedy.changes[..], [_] | [_, _]), "{name}: {remedy}");
            assert!(remedy.node.is_some() || matches!(remedy.changes.last(), Some(Change::More(_))), "{name}");
        }
    }
}

fn starts(class: &Waiting, problem: &Problem) -> bool {
    let Decision { placements, gangs, .. } = Greedy.place(&Problem { classes: vec![class.clone()], ..problem.clone() });
    !placements.is_empty() || !gangs.is_empty()
}

#[test]
fn a_task_that_is_meant_for_a_node_says_for_which_and_what_it_lacks() {
    // The data is on `near`, which is busy; the link of `far` is slow.
    let inputs = vec![Input { name: "shard".into(), bytes: 100_000_000_000 }];
    let class = Class { inputs, ..wide() };
    let mut near = holding(node("near"), &wide(), 2);
    near.inputs = std::sync::Arc::new(["shard".to_owned()].into());
    let mut far = node("far");
    (Arc::make_mut(&mut near.offer).link, Arc::make_mut(&mut far.offer).link) = (Some(1_000_000_000), Some(100_000_000));
    (near.rate, far.rate) = (Some(1e9), Some(1e6));
    let problem = problem(vec![waiting(1, class, 1)], vec![near, far]);
    let plan =
        super::super::plan(&problem, super::super::program::Effort::QUICK, super::super::program::Budget::new(1 << 30)).unwrap();
    let decision = hand_out(&problem, &mut Guide::from(plan));
    assert!(decision.placements.is_empty(), "{decision:?}");
    assert_eq!(decision.reasons[0].1.word(), "planned");
    assert!(decision.reasons[0].1.to_string().contains("near"), "{}", decision.reasons[0].1);
}

#[test]
fn more_of_what_is_scarce_saves_and_more_of_the_rest_does_not() {
    let one_gpu = Class { gpus: 1, ..Class::default() };
    let problem = problem(
        vec![waiting(1, one_gpu, 40)],
        vec![with_gpus(node("a"), 4, "H100"), with_gpus(holding(node("b"), &gpus(1, None), 1), 1, "H100")],
    );
    let explained = explain(&problem, JobId(1), None);
    let makespan = explained.makespan.unwrap();
    let texts: Vec<&str> = explained.relief.iter().map(|relief| relief.what.as_str()).collect();
    assert!(texts.contains(&"one more GPU in a"), "{texts:?}");
    assert!(texts.iter().all(|text| !text.contains("memory") && !text.contains("thread")), "{texts:?}");
    assert!(explained.relief.iter().all(|relief| relief.saves > 0.0 && relief.saves < makespan));
    // Four nodes of eight GPUs each do it in a fraction of the time.
    let more = explain(&problem, JobId(1), Some(&"4xH100".parse().unwrap()));
    assert!(more.makespan.unwrap() < 0.5 * makespan, "{more:?}");
}

#[test]
fn nodes_that_would_help_let_it_start() {
    let problem = one(gang(16, gpus(1, Some("H100"))), vec![with_gpus(node("a"), 8, "A100")]);
    assert!(explain(&problem, JobId(1), None).waits[0].wait.is_some());
    let more = explain(&problem, JobId(1), Some(&"2xH100".parse().unwrap()));
    assert_eq!(more.waits[0].wait, None);
}
