//! What holds for every placer.

use super::{
    super::{
        Decision, Greedy, Guide, Lp, Placer, hand_out, plan,
        program::{Budget, Effort},
    },
    *,
};
use proptest::prelude::*;
use std::sync::Arc;

fn placers() -> Vec<(&'static str, Box<dyn Placer>)> {
    vec![("greedy", Box::new(Greedy)), ("lp", Box::new(Lp { effort: Effort { work: 2_000_000, columns: 100, ..Effort::QUICK } }))]
}

/// No class is over-placed, nobody gets what it cannot run or has no room for, GPUs are given once, gangs start whole.
fn sound(name: &str, problem: &Problem, decision: &Decision) {
    let mut nodes = problem.nodes.clone();
    for placement in &decision.placements {
        let class = problem.classes.iter().find(|class| class.job == placement.job && class.class == placement.class);
        let class = class.unwrap_or_else(|| panic!("{name}: {placement:?} was not asked for"));
        let node = nodes.iter_mut().find(|node| node.node == placement.node).expect("a node that is there");
        assert!(node.fits(class) && placement.class.gang == 1, "{name}: {placement:?}");
        for _ in 0..placement.count {
            node.load.add(&class.class, class.bytes);
        }
        assert!(node.load.gpus <= node.offer.gpus.count, "{name}: GPUs of {} are given twice", node.node);
    }
    for gang in &decision.gangs {
        assert_eq!(gang.nodes.len(), gang.class.gang as usize, "{name}: half a gang");
    }
    for class in &problem.classes {
        let placed: u32 =
            decision.placements.iter().filter(|to| to.job == class.job && to.class == class.class).map(|to| to.count).sum();
        let gangs = decision.gangs.iter().filter(|to| to.job == class.job && to.class == class.class).count();
        assert!(placed <= class.count && gangs <= class.count as usize, "{name}: more than waits");
        let said = decision.reasons.iter().any(|(job, _)| *job == class.job);
        assert!(placed > 0 || gangs > 0 || said, "{name}: {class:?} waits for no reason");
    }
}

prop_compose! {
    fn any_class()(wide: bool, memory in 0u64..100, gang in prop_oneof![4 => Just(1u32), 1 => 2u32..5], threads in 1u32..6,
        gpus in prop_oneof![2 => Just(0u32), 1 => 1u32..5], kind in 0..3) -> Class {
        let gpu_kind = (gpus > 0 && kind == 0).then(|| "h100".to_owned());
        Class { wide, memory: memory * GIB, gang, threads, gpus, gpu_kind, ..Class::default() }
    }
}

prop_compose! {
    fn any_node()(threads in 1u32..9, gib in 1u64..100, gpus in 0u32..9, h100: bool, held in 0u32..6, wide: bool,
        rate in proptest::option::of(1e6..1e10)) -> Candidate {
        let mut node = with_gpus(node(""), gpus, if h100 { "H100" } else { "A100" });
        let offer = Arc::make_mut(&mut node.offer);
        (offer.threads, offer.memory, node.rate) = (threads, gib * GIB, rate);
        holding(node, &Class { wide, ..Class::default() }, held)
    }
}

fn any_problem() -> impl Strategy<Value = Problem> {
    let classes = proptest::collection::vec((any_class(), 1u32..40, proptest::option::of(0.01..100.0)), 1..6);
    (classes, proptest::collection::vec(any_node(), 0..5)).prop_map(|(classes, nodes)| {
        let classes =
            (1u64..).zip(classes).map(|(job, (class, count, seconds))| Waiting { seconds, ..waiting(job, class, count) });
        let named = |(at, node): (usize, Candidate)| Candidate { node: NodeId(format!("n{at}")), ..node };
        problem(classes.collect(), nodes.into_iter().enumerate().map(named).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn decisions_are_sound_and_the_same_again(problem in any_problem()) {
        for (name, mut placer) in placers() {
            let decision = placer.place(&problem);
            sound(name, &problem, &decision);
            prop_assert_eq!(placer.place(&problem), decision, "{} decides twice in two ways", name);
        }
    }

    /// Whatever a plan says, an idle fleet that could run something is given something.
    #[test]
    fn an_idle_fleet_is_never_left_idle(problem in any_problem()) {
        let mut problem = problem;
        problem.nodes.iter_mut().for_each(|node| node.load = Default::default());
        problem.classes.iter_mut().for_each(|class| class.class.gang = 1);
        let possible = problem.classes.iter().any(|class| problem.nodes.iter().any(|node| node.fits(class)));
        for (name, mut placer) in placers() {
            prop_assert_eq!(!placer.place(&problem).placements.is_empty(), possible, "{}", name);
        }
    }
}

#[test]
fn a_node_of_which_nothing_is_known_or_that_has_room_is_given_what_writes() {
    let disk = |free| vec![Disk { mount: "/".into(), total: 100 * GIB, free, ..Disk::default() }];
    let with = |name: &str, disks| {
        let mut node = node(name);
        Arc::make_mut(&mut node.offer).disks = disks;
        node
    };
    let nodes = vec![with("full", disk(GIB)), with("free", disk(3 * GIB)), with("silent", vec![])];
    let class = Class { disk: Some(Space { path: "/out".into(), bytes: 2 * GIB }), wide: true, ..Class::default() };
    let problem = problem(vec![waiting(1, class, 40)], nodes);
    for (name, mut placer) in placers() {
        let decision = placer.place(&problem);
        let given: std::collections::BTreeSet<&str> = decision.placements.iter().map(|to| &to.node.0[..]).collect();
        assert_eq!(given.into_iter().collect::<Vec<_>>(), ["free", "silent"], "{name}");
    }
}

#[test]
fn a_plan_is_not_spent_twice() {
    let problem = problem(vec![waiting(1, Class { wide: true, ..Class::default() }, 6)], vec![node("a"), node("b")]);
    let plan = plan(&problem, Effort::QUICK, Budget::new(1 << 28)).unwrap();
    assert_eq!(plan.targets.values().flat_map(|on| on.values()).sum::<u32>(), 6);
    let mut guide = Guide::from(plan);
    let mut given = 0;
    for _ in 0..2 {
        given += hand_out(&problem, &mut guide).placements.iter().map(|to| to.count).sum::<u32>();
    }
    assert!(given >= 4, "each node is given two at a time");
}
