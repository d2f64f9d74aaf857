//! Who makes room for a higher priority.
//!
//! A job of which nothing runs is *starved* when nothing of it can be placed, or when its first task is handed to a node ahead of
//! its turn, behind tasks that do not end soon. It may take the place of jobs with a lower priority, whose kind can go on where it
//! was stopped: as few of their tasks as make room are told to stop, the least important and youngest first. They report
//! themselves given back and wait again; nothing is held against them.
//!
//! ```text
//!   nothing placed   ─── one such change at a time ───▶ stop on the nodes that cost least, place again when they have stopped
//!   handed ahead     ─── once, as it is handed out ───▶ stop on that node alone: the task is next there
//! ```
//! Who makes room has a lower priority, so whoever is stopped for a job never stops it in turn.

use super::{Effect, Effects, Engine, Message, State};
use crate::{
    model::{Class, Job, JobPhase, Node, Task},
    placement::{AHEAD, Candidate, Placement},
};
use braid_workload::{JobId, TaskId};
use std::cmp::Reverse;

impl State {
    /// The least priority of those jobs of which something runs: nobody below it makes room.
    pub(super) fn least_priority(&self) -> Option<i32> {
        let running = self.jobs.values().filter(|job| job.phase == JobPhase::Running && job.tally().assigned > 0);
        running.map(|job| job.precedence.priority).min()
    }

    fn task(&self, id: &TaskId) -> Option<&Task> {
        self.job(id.job)?.tasks.get(id.index as usize)
    }
}

impl Engine {
    /// Makes room for the most important of the jobs of which nothing could be placed.
    pub(super) fn preempt(&mut self, starved: &[JobId], effects: &mut Effects) {
        let least = self.state.least_priority();
        let urgent = starved.iter().filter_map(|id| self.state.job(*id)).filter(|job| job.tally().assigned == 0);
        let urgent = urgent.max_by_key(|job| (job.precedence.priority, Reverse(job.id)));
        let Some(job) = urgent.filter(|job| least.is_some_and(|least| least < job.precedence.priority)) else { return };
        if self.state.jobs.values().flat_map(|job| &job.tasks).any(|task| task.stopping) {
            return;
        }
        self.stop(&self.victims(job), effects);
    }

    /// What must end on a node so that the task starts which is about to be handed to it: nothing, unless it is the first of its
    /// job and would stand behind others for longer than what is handed ahead may take.
    pub(super) fn in_the_way(&self, placement: &Placement, least: Option<i32>) -> Vec<TaskId> {
        let job = self.state.job(placement.job).filter(|job| job.phase == JobPhase::Running && job.tally().assigned == 0);
        let urgent = job.filter(|job| least.is_some_and(|least| least < job.precedence.priority));
        let Some((job, node)) = urgent.zip(self.state.nodes.get(&placement.node)) else { return Vec::new() };
        if node.tasks.iter().all(|task| self.is_brief(*task)) {
            return Vec::new();
        }
        // What was told to stop before is as good as gone.
        let leaving: Vec<TaskId> =
            node.tasks.iter().copied().filter(|task| self.state.task(task).is_some_and(|task| task.stopping)).collect();
        let starts = |node: Candidate| node.unused(&placement.class) > 0;
        if self.state.candidate(node, &leaving).is_none_or(starts) {
            return Vec::new();
        }
        let victims = self.vacate(node, job, &placement.class, &leaving).map_or_else(Vec::new, |(tasks, _)| tasks);
        if victims.iter().all(|task| self.is_brief(*task)) { Vec::new() } else { victims }
    }

    /// Tells tasks to stop.
    pub(super) fn stop(&mut self, tasks: &[TaskId], effects: &mut Effects) {
        for id in tasks.iter().copied() {
            let Some(task) = self.state.jobs.get_mut(&id.job).and_then(|job| job.tasks.get_mut(id.index as usize)) else {
                continue;
            };
            task.stopping = true;
            let attempt = task.attempt;
            let session = task.assignment().and_then(|to| self.state.nodes.get(&to.node)).and_then(|node| node.session);
            let message = Message::Stop { task: id, attempt };
            effects.extend(session.map(|session| Effect::Send { session, message }));
        }
    }

    /// The fewest tasks whose end lets one task, or one gang, of a job start.
    fn victims(&self, job: &Job) -> Vec<TaskId> {
        let Some(class) = job.waiting().keys().next() else { return Vec::new() };
        let mut vacated: Vec<(Vec<TaskId>, u32)> = self
            .state
            .nodes
            .values()
            .filter(|node| node.inventory.as_ref().is_some_and(|offer| offer.could_run(&job.kind, class)))
            .filter_map(|node| self.vacate(node, job, class, &[]))
            .collect();
        // The cheapest place first.
        vacated.sort_by_key(|(tasks, room)| (tasks.len(), Reverse(*room)));
        let (mut victims, mut room) = (Vec::new(), 0);
        for (tasks, more) in vacated {
            victims.extend(tasks);
            room += more;
            if room >= class.gang {
                return victims;
            }
        }
        Vec::new() // not even this would do
    }

    /// What must end on a node, beside what leaves, so that at least one task starts there, and how many then would.
    fn vacate(&self, node: &Node, job: &Job, class: &Class, leaving: &[TaskId]) -> Option<(Vec<TaskId>, u32)> {
        let gives_way = |task: &TaskId| !leaving.contains(task) && self.gives_way(*task, job);
        let mut ours: Vec<TaskId> = node.tasks.iter().copied().filter(gives_way).collect();
        let since = |task: &TaskId| self.state.task(task).and_then(Task::assignment);
        ours.sort_by_key(|task| {
            let priority = self.state.job(task.job).map(|job| job.precedence.priority);
            (priority, since(task).map(|to| Reverse(to.since)), Reverse(*task))
        });
        let room = |gone: &[TaskId]| {
            let without = self.state.candidate(node, &[leaving, gone].concat())?;
            // Members of a gang start where nothing is in any lane; a task alone, where its own lane has a place and placement
            // would give it more.
            let places = match class.gang {
                1 if without.room(class, job.pace.get(class).copied()) > 0 => without.unused(class),
                1 => 0,
                _ => without.free(class),
            };
            Some(places.min(class.gang))
        };
        for count in 0..=ours.len() {
            let (gone, _) = ours.split_at(count);
            let places = room(gone)?;
            // A gang takes what it can get; a task alone needs one place.
            if places > 0 && (class.gang == 1 || count == ours.len() || places == class.gang) {
                // Those of the other lane go on where they turn out to be in nobody's way.
                let wide = |task: &TaskId| self.state.task(task).is_some_and(|task| task.spec.demand.wide);
                let beside: Vec<TaskId> = gone.iter().copied().filter(|task| wide(task) == class.wide).collect();
                let gone = if class.gang == 1 && room(&beside)? >= places { beside } else { gone.to_vec() };
                return Some((gone, places));
            }
        }
        None
    }

    /// Whether a task may be stopped for a job.
    fn gives_way(&self, id: TaskId, to: &Job) -> bool {
        let Some(job) = self.state.job(id.job) else { return false };
        let ended = self.state.task(&id).is_none_or(|task| task.reported.is_some());
        let resumes = self.workloads.get(&job.kind).is_some_and(|workload| workload.is_resumable(&job.spec));
        job.phase == JobPhase::Running && job.precedence.priority < to.precedence.priority && resumes && !ended
    }

    /// Whether a task is of those that are handed ahead by the dozen: it has ended before it could be stopped.
    fn is_brief(&self, id: TaskId) -> bool {
        let class = self.state.task(&id).map(|task| Class::from(&task.spec.demand));
        let pace = self.state.job(id.job).zip(class).and_then(|(job, class)| job.pace.get(&class));
        pace.is_some_and(|seconds| *seconds <= AHEAD)
    }
}
