//! A survey between its tasks: the state of the job, which adds up what they find and decides what comes next. Pure.

use super::{Answer, Case, Question, Search, Survey, counts};
use crate::{
    MergeError,
    step::{Group, Surveyed},
};
use braid_kernels::Buckets;
use serde::{Deserialize, Serialize};

/// The most tasks of one round.
pub(crate) const MOST_TASKS: usize = 48;
/// The counts that a round may ask for, so that the state that adds them up stays a small record: as text a count of a thousand
/// billion has eight letters.
const MOST_COUNTS: u32 = 2048 + 1024;
/// The sums that the state may hold, all tasks together.
const MOST_SUMS: usize = 900;

/// The state of a job whose survey is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Looking {
    /// The digest of the plan.
    pub(crate) plan: String,
    /// The memory that a task needs at least.
    pub(crate) memory: u64,
    /// The method that asks, by name.
    pub(crate) method: String,
    case: Case,
    /// What each task looks at.
    groups: Vec<Group>,
    answers: Vec<Answer>,
    round: Round,
}

/// What is being asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Round {
    Sums {
        count: usize,
        /// What each task has found.
        parts: Vec<Option<Vec<u64>>>,
    },
    Ranks {
        window: u32,
        searches: Vec<Vec<Search>>,
        /// The counts of all buckets so far.
        counts: String,
    },
}

/// What one task is to find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Look {
    /// So many sums.
    Sums(usize),
    /// Counts: for each source the buckets of its searches that are not over, as (low, shift, intervals).
    Counts(Vec<Vec<(u32, u32, u32)>>),
}

/// What one task has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Finding {
    /// The bits of its sums.
    Sums(Vec<u64>),
    /// The counts of all buckets, one after the other.
    Counts(String),
}

/// A task of a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Its number in the round.
    pub(crate) index: usize,
    /// The first tensor that it looks at.
    pub(crate) first: usize,
    /// The tensor after the last.
    pub(crate) end: usize,
    /// What it is to find.
    pub(crate) look: Look,
    /// What is known already.
    pub(crate) answers: Vec<Answer>,
}

/// What follows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A round of tasks, each with the bytes that it reads.
    Round(Vec<(Asked, u64)>),
    /// All that was asked is known.
    Known(Vec<Answer>),
}

impl Finding {
    /// Counts, written as text.
    pub(crate) fn of_counts(numbers: &[u64]) -> Self {
        Self::Counts(counts::write(numbers))
    }
}

impl Looking {
    /// The beginning of a survey of which each task looks at one of `groups`; none where nothing is asked.
    pub(crate) fn begin(survey: &dyn Survey, plan: String, memory: u64, surveyed: Surveyed) -> Option<Self> {
        let Surveyed { case, groups, method } = surveyed;
        let round = open(&survey.question(&case, &[])?, groups.len());
        Some(Self { plan, memory, method, case, groups, answers: Vec::new(), round })
    }

    /// The tasks of the present round.
    pub(crate) fn tasks(&self) -> Vec<(Asked, u64)> {
        let look = match &self.round {
            Round::Sums { count, .. } => Look::Sums(*count),
            Round::Ranks { window, searches, .. } => {
                let of = |buckets: Buckets| (buckets.low, buckets.shift, buckets.intervals);
                Look::Counts(buckets(searches, *window).into_iter().map(|source| source.into_iter().map(of).collect()).collect())
            }
        };
        let task = |(index, group): (usize, &Group)| {
            let &Group(first, end, bytes) = group;
            (Asked { index, first, end, look: look.clone(), answers: self.answers.clone() }, bytes)
        };
        self.groups.iter().enumerate().map(task).collect()
    }

    /// Adds what task `index` of the round has found.
    ///
    /// # Errors
    /// A finding of another question.
    pub(crate) fn take(&mut self, index: usize, finding: Finding) -> Result<(), MergeError> {
        let foreign = || MergeError::Task(format!("finding {index} of a survey is not what was asked for"));
        match (&mut self.round, finding) {
            (Round::Sums { count, parts }, Finding::Sums(sums)) if sums.len() == *count => {
                *parts.get_mut(index).ok_or_else(foreign)? = Some(sums);
            }
            (Round::Ranks { counts, .. }, Finding::Counts(text)) => {
                let found = counts::read(&text).ok_or_else(foreign)?;
                let mut sum = counts::read(counts).ok_or_else(foreign)?;
                if sum.is_empty() {
                    sum = vec![0; found.len()];
                }
                if sum.len() != found.len() {
                    return Err(foreign());
                }
                for (sum, found) in sum.iter_mut().zip(found) {
                    *sum = sum.checked_add(found).ok_or_else(foreign)?;
                }
                *counts = counts::write(&sum);
            }
            _ => return Err(foreign()),
        }
        Ok(())
    }

    /// What follows once all tasks of the round are done.
    ///
    /// # Errors
    /// Findings that contradict each other: the inputs have changed.
    pub(crate) fn next(&mut self, survey: &dyn Survey) -> Result<Next, MergeError> {
        let answer = match &mut self.round {
            Round::Sums { count, parts } => {
                let mut sums = vec![0.0; *count];
                for part in parts.iter().flatten() {
                    sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += f64::from_bits(*part));
                }
                Answer::Sums(sums.into_iter().map(f64::to_bits).collect())
            }
            Round::Ranks { window, searches, counts } => {
                let counted = counts::read(counts).unwrap_or_default();
                let mut rest = counted.as_slice();
                let most = most(searches);
                for search in searches.iter_mut().flatten() {
                    let Some(buckets) = search.buckets(most, *window) else { continue };
                    let Some((own, after)) = rest.split_at_checked(buckets.counts()) else {
                        return Err(MergeError::Task("a survey counted too little".into()));
                    };
                    rest = after;
                    search.take(&buckets, own, self.case.elements).map_err(MergeError::Task)?;
                }
                counts.clear();
                let found = searches.iter().map(|source| source.iter().map(Search::found).collect::<Option<Vec<_>>>());
                match found.collect::<Option<Vec<_>>>() {
                    Some(found) => Answer::Ranks(found),
                    None => return Ok(Next::Round(self.tasks())),
                }
            }
        };
        self.answers.push(answer);
        match survey.question(&self.case, &self.answers) {
            Some(question) => {
                self.round = open(&question, self.groups.len());
                Ok(Next::Round(self.tasks()))
            }
            None => Ok(Next::Known(std::mem::take(&mut self.answers))),
        }
    }
}

/// The tasks of a round at most, where each finds so many sums.
pub(crate) fn tasks_of(case: &Case) -> usize {
    (MOST_SUMS / (2 * case.experts + 2)).clamp(1, MOST_TASKS)
}

fn open(question: &Question, tasks: usize) -> Round {
    match question {
        Question::Sums(count) => Round::Sums { count: *count, parts: vec![None; tasks] },
        Question::Ranks { ranks, window } => Round::Ranks {
            window: *window,
            searches: ranks.iter().map(|ranks| ranks.iter().map(|rank| Search::new(*rank)).collect()).collect(),
            counts: String::new(),
        },
    }
}

/// How many rounds a question takes where its first guess is right, and an answer of its form.
pub(super) fn foreseen(question: &Question) -> (u64, Answer) {
    let Question::Ranks { ranks, .. } = question else { return (1, Answer::Sums(Vec::new())) };
    let searches: Vec<Vec<Search>> = ranks.iter().map(|ranks| ranks.iter().map(|rank| Search::new(*rank)).collect()).collect();
    (Search::rounds(most(&searches)), Answer::Ranks(Vec::new()))
}

/// How many intervals each search may ask for: those that are over ask for none.
fn most(searches: &[Vec<Search>]) -> u32 {
    let running = searches.iter().flatten().filter(|search| search.found().is_none()).count();
    MOST_COUNTS / u32::try_from(running.max(1)).unwrap_or(u32::MAX)
}

/// The buckets of each source.
fn buckets(searches: &[Vec<Search>], window: u32) -> Vec<Vec<Buckets>> {
    let most = most(searches);
    searches.iter().map(|source| source.iter().filter_map(|search| search.buckets(most, window)).collect()).collect()
}

#[cfg(test)]
mod tests;
