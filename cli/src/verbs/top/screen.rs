//! What is on the screen and what a key does to it. Pure: no terminal, no clock, no coordinator.
//!
//! ```text
//!             x                    y
//!   looking ──────▶ asking(job) ──────▶ Wish::Cancel(job), looking
//!      ▲                 │ any other key
//!      └─────────────────┘
//! ```

use crate::{
    client::has_ended,
    progress::{Meter, Reading},
};
use braid_proto::v1::{Job, Node, Task};
use std::{collections::HashMap, time::Duration};

/// What the coordinator said.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    pub(super) jobs: Vec<Job>,
    pub(super) nodes: Vec<Node>,
    /// Those of one job.
    pub(super) tasks: Vec<Task>,
    /// Which.
    pub(super) tasks_of: Option<u64>,
}

/// A key, by what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    /// Show jobs that have ended, or hide them.
    All,
    Cancel,
    Yes,
    Quit,
    Other,
}

/// What the screen wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    /// Ask the coordinator.
    Look,
    Cancel(u64),
    Quit,
}

/// Everything that is drawn.
#[derive(Debug, Default)]
pub(super) struct Screen {
    pub(super) at: String,
    pub(super) fleet: Fleet,
    /// How each job that runs is doing.
    pub(super) readings: HashMap<u64, Reading>,
    /// Whether jobs that have ended are shown.
    pub(super) all: bool,
    /// The job that a person is asked about.
    pub(super) asking: Option<u64>,
    /// What went wrong last; the rest of the screen is then what was known before.
    pub(super) trouble: Option<String>,
    meters: HashMap<u64, Meter>,
    selected: Option<u64>,
}

impl Screen {
    /// An empty one, of the coordinator at `at`.
    pub(super) fn new(at: String) -> Self {
        Self { at, ..Self::default() }
    }

    /// Takes in what the coordinator said at `now`, counted from any fixed moment.
    pub(super) fn see(&mut self, mut fleet: Fleet, now: Duration) {
        self.trouble = None;
        if fleet.tasks_of.is_none() || fleet.tasks_of != self.selected {
            fleet.tasks.clear();
        }
        self.fleet = fleet;
        let Self { fleet, meters, readings, .. } = self;
        let running: Vec<&Job> = fleet.jobs.iter().filter(|job| !has_ended(job)).collect();
        meters.retain(|id, _| running.iter().any(|job| job.id == *id));
        *readings = running.iter().map(|job| (job.id, meters.entry(job.id).or_default().observe(now, job))).collect();
        self.keep_selection();
    }

    /// Shows a line in place of news.
    pub(super) fn tell(&mut self, trouble: String) {
        self.trouble = Some(trouble);
    }

    /// The jobs that are shown: those that run first, the newest first among equals.
    pub(super) fn jobs(&self) -> Vec<&Job> {
        let mut jobs: Vec<&Job> = self.fleet.jobs.iter().filter(|job| self.all || !has_ended(job)).collect();
        jobs.sort_by_key(|job| (has_ended(job), std::cmp::Reverse(job.id)));
        jobs
    }

    /// The job whose tasks are shown.
    pub(super) fn selected_job(&self) -> Option<u64> {
        self.selected
    }

    /// Where it stands among those that are shown.
    pub(super) fn selected_row(&self) -> Option<usize> {
        self.jobs().iter().position(|job| Some(job.id) == self.selected)
    }

    /// Takes in a key.
    pub(super) fn press(&mut self, key: Key) -> Wish {
        if let Some(job) = self.asking.take() {
            return match key {
                Key::Yes => Wish::Cancel(job),
                Key::Quit => Wish::Quit,
                _ => Wish::Nothing,
            };
        }
        match key {
            Key::Quit => Wish::Quit,
            Key::Up => self.select(-1),
            Key::Down => self.select(1),
            Key::All => {
                self.all = !self.all;
                self.keep_selection();
                Wish::Look
            }
            Key::Cancel => {
                self.asking = self.jobs().iter().find(|job| Some(job.id) == self.selected && !has_ended(job)).map(|job| job.id);
                Wish::Nothing
            }
            Key::Yes | Key::Other => Wish::Nothing,
        }
    }

    fn select(&mut self, by: isize) -> Wish {
        let jobs = self.jobs();
        let Some(last) = jobs.len().checked_sub(1) else { return Wish::Nothing };
        let row = self.selected_row().map_or(0, |row| row.saturating_add_signed(by).min(last));
        let id = jobs[row].id;
        if self.selected.replace(id) != Some(id) {
            self.fleet.tasks.clear();
        }
        Wish::Look
    }

    /// A job that is no longer shown cannot be selected; the first one is then.
    fn keep_selection(&mut self) {
        if self.selected_row().is_none() {
            self.selected = self.jobs().first().map(|job| job.id);
            self.fleet.tasks.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_proto::v1::JobState;

    fn job(id: u64, state: JobState) -> Job {
        Job { id, state: state.into(), kind: "merge".into(), ..Default::default() }
    }

    fn screen(jobs: Vec<Job>) -> Screen {
        let mut screen = Screen::new("there".into());
        screen.see(Fleet { jobs, ..Fleet::default() }, Duration::ZERO);
        screen
    }

    fn ids(screen: &Screen) -> Vec<u64> {
        screen.jobs().iter().map(|job| job.id).collect()
    }

    #[test]
    fn those_that_run_come_first_and_those_that_ended_when_they_are_wanted() {
        let mut screen = screen(vec![job(1, JobState::Running), job(2, JobState::Done), job(3, JobState::Running)]);
        assert_eq!(ids(&screen), [3, 1]);
        assert_eq!(screen.press(Key::All), Wish::Look);
        assert_eq!(ids(&screen), [3, 1, 2]);
    }

    #[test]
    fn the_selection_moves_within_the_list_and_follows_its_job() {
        let mut screen = screen(vec![job(1, JobState::Running), job(2, JobState::Running)]);
        assert_eq!(screen.selected_job(), Some(2));
        for (key, want) in [(Key::Up, 2), (Key::Down, 1), (Key::Down, 1)] {
            assert_eq!(screen.press(key), Wish::Look);
            assert_eq!(screen.selected_job(), Some(want));
        }
        let more = vec![job(1, JobState::Running), job(2, JobState::Running), job(3, JobState::Running)];
        screen.see(Fleet { jobs: more, ..Fleet::default() }, Duration::ZERO);
        assert_eq!((screen.selected_job(), screen.selected_row()), (Some(1), Some(2)));
        screen.see(Fleet { jobs: vec![job(1, JobState::Done), job(3, JobState::Running)], ..Fleet::default() }, Duration::ZERO);
        assert_eq!(screen.selected_job(), Some(3), "the one that was selected has ended and is hidden");
        screen.see(Fleet::default(), Duration::ZERO);
        assert_eq!((screen.selected_job(), screen.press(Key::Down)), (None, Wish::Nothing));
    }

    #[test]
    fn nothing_is_cancelled_before_a_yes() {
        let mut screen = screen(vec![job(7, JobState::Running)]);
        assert_eq!(screen.press(Key::Yes), Wish::Nothing);
        for (answer, want) in [(Key::Other, Wish::Nothing), (Key::Down, Wish::Nothing), (Key::Yes, Wish::Cancel(7))] {
            assert_eq!((screen.press(Key::Cancel), screen.asking), (Wish::Nothing, Some(7)));
            assert_eq!((screen.press(answer), screen.asking), (want, None));
        }
        let mut over = self::screen(vec![job(7, JobState::Done)]);
        over.press(Key::All);
        assert_eq!((over.selected_job(), over.press(Key::Cancel), over.asking), (Some(7), Wish::Nothing, None));
    }

    #[test]
    fn tasks_of_another_job_are_not_shown() {
        let mut screen = screen(vec![job(1, JobState::Running), job(2, JobState::Running)]);
        let fleet = |of| Fleet {
            jobs: vec![job(1, JobState::Running), job(2, JobState::Running)],
            tasks: vec![Task::default()],
            tasks_of: Some(of),
            ..Fleet::default()
        };
        screen.see(fleet(2), Duration::ZERO);
        assert_eq!(screen.fleet.tasks.len(), 1);
        screen.press(Key::Down);
        assert_eq!(screen.fleet.tasks.len(), 0);
        // An answer to the question before.
        screen.see(fleet(2), Duration::ZERO);
        assert_eq!(screen.fleet.tasks.len(), 0);
    }

    #[test]
    fn what_was_known_stays_while_the_coordinator_is_away() {
        let mut screen = screen(vec![job(1, JobState::Running)]);
        screen.tell("it is away".into());
        assert_eq!((ids(&screen), screen.trouble.as_deref()), (vec![1], Some("it is away")));
        screen.see(Fleet::default(), Duration::ZERO);
        assert_eq!(screen.trouble, None);
    }
}
