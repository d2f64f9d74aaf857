//! The clients of the simulated world: what they asked for, what they were answered, and whether that was kept.

use super::toy::{Call, ToySpec, Trouble};
use crate::model::Precedence;
use crate::{
    engine::{Event, MAX_FAILURES, MAX_LOSSES, Refusal, ReplyId, State},
    model::{JobEnd, JobPhase, JobRecord, decode, keys},
};
use braid_workload::JobId;
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Clients {
    pub(crate) wishes: Vec<Wish>,
    asked: BTreeMap<ReplyId, Question>,
    replies: u64,
}

/// A job that a client wants.
pub(crate) struct Wish {
    spec: ToySpec,
    precedence: Precedence,
    /// Its number, once a client was told.
    pub(crate) id: Option<JobId>,
    cancel_asked: bool,
    cancel_promised: bool,
}

#[derive(Clone, Copy)]
enum Question {
    Submit(usize),
    Cancel(usize),
}

impl Clients {
    pub(crate) fn wish(&mut self, spec: ToySpec, precedence: Precedence) -> usize {
        self.wishes.push(Wish { spec, precedence, id: None, cancel_asked: false, cancel_promised: false });
        self.wishes.len() - 1
    }

    /// Submits, for the first time or again.
    pub(crate) fn submit(&mut self, wish: usize) -> Event {
        let spec = &self.wishes[wish].spec;
        let (spec, request_id) = (spec.value(), spec.tag.clone());
        let precedence = self.wishes[wish].precedence.clone();
        Event::Submit { reply: self.ask(Question::Submit(wish)), kind: "toy".into(), spec, request_id, precedence, trace: None }
    }

    pub(crate) fn cancel(&mut self, wish: usize) -> Option<Event> {
        let job = self.wishes[wish].id?;
        self.wishes[wish].cancel_asked = true;
        Some(Event::Cancel { reply: self.ask(Question::Cancel(wish)), job })
    }

    /// The coordinator died: nobody will be answered.
    pub(crate) fn hang_up(&mut self) {
        self.asked.clear();
    }

    pub(crate) fn unanswered(&self) -> Vec<usize> {
        (0..self.wishes.len()).filter(|wish| self.wishes[*wish].id.is_none()).collect()
    }

    /// Takes in an answer, and compares it with what is durable at that moment.
    pub(crate) fn answer(&mut self, reply: ReplyId, result: Result<JobId, Refusal>, records: &BTreeMap<String, Vec<u8>>) {
        let question = self.asked.remove(&reply).expect("each question is answered once");
        let phase = |id: JobId| {
            let key = keys::job(id);
            let record: JobRecord = decode(&key, records.get(&key).expect("an answer names a durable job")).unwrap();
            record.phase
        };
        match (question, result) {
            (Question::Submit(wish), Ok(id)) => {
                phase(id);
                let wish = &mut self.wishes[wish];
                assert!(wish.id.is_none_or(|known| known == id), "{} is two jobs: {id} and {:?}", wish.spec.tag, wish.id);
                wish.id = Some(id);
            }
            (Question::Submit(wish), Err(Refusal::Held { name, holder })) => {
                phase(holder);
                assert_eq!(self.wishes[wish].spec.exclusive, Some(name));
            }
            (Question::Cancel(wish), Ok(id)) => {
                assert!(matches!(phase(id), JobPhase::Ending(JobEnd::Cancelled) | JobPhase::Ended(JobEnd::Cancelled)));
                self.wishes[wish].cancel_promised = true;
            }
            (Question::Cancel(_), Err(Refusal::Over(id))) => assert_ne!(phase(id), JobPhase::Running),
            (Question::Submit(wish) | Question::Cancel(wish), Err(refusal)) => {
                panic!("{}: {refusal}", self.wishes[wish].spec.tag)
            }
        }
    }

    /// Whether each job ended as it had to, given the calls of the workload that took effect.
    pub(crate) fn judge(&self, state: &State, calls: &[Call]) {
        let mut by_tag: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (tag, number) in calls {
            by_tag.entry(tag).or_default().push(*number);
        }
        for wish in &self.wishes {
            let job = state.job(wish.id.expect("the client was answered")).expect("an accepted job is never lost");
            let JobPhase::Ended(end) = &job.phase else { panic!("job {} never ends: {:?}", job.id, job.phase) };
            let mut numbers = by_tag.remove(wish.spec.tag.as_str()).unwrap_or_default();
            numbers.sort_unstable();
            assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "job {}: counted twice: {numbers:?}", job.id);
            assert!(!wish.cancel_promised || *end == JobEnd::Cancelled, "job {} was to be cancelled: {end:?}", job.id);
            let worn_out = job.tasks.iter().any(|task| task.losses == MAX_LOSSES);
            match end {
                JobEnd::Done(result) => {
                    assert_eq!(wish.spec.trouble, None, "job {} cannot have a result: {result:?}", job.id);
                    assert_eq!(result.details, wish.spec.sum(), "job {} has a wrong result", job.id);
                    assert_eq!(numbers, wish.spec.numbers(), "job {}", job.id);
                }
                JobEnd::Cancelled => assert!(wish.cancel_asked, "nobody wanted job {} to end", job.id),
                JobEnd::Failed(failure) => {
                    let trouble = wish.spec.trouble.unwrap_or(Trouble::Killer);
                    let right = match trouble {
                        Trouble::Poison => {
                            job.tasks.get(1).is_some_and(|task| task.failures == MAX_FAILURES)
                                && failure.message == "the disk is full"
                        }
                        Trouble::Fatal => {
                            job.tasks.get(1).is_some_and(|task| task.failures == 0) && failure.message == "the input is wrong"
                        }
                        Trouble::Killer => failure.message.contains("lost its worker 10 times"),
                        Trouble::Garbage => failure.message.contains("a result is a number"),
                        Trouble::Huge => failure.message.contains("the state of the job has 30002 bytes"),
                        Trouble::HugeTask => failure.message.contains("the task of the job has"),
                        Trouble::Idle | Trouble::Endless | Trouble::Lame => false,
                        Trouble::Stall => failure.message.contains("no task is left and the job has no result"),
                    };
                    let lost = worn_out && failure.message.contains("lost its worker");
                    assert!(right && (trouble != Trouble::Killer || worn_out) || lost, "job {}: {failure:?}", job.id);
                }
            }
        }
    }

    fn ask(&mut self, question: Question) -> ReplyId {
        self.replies += 1;
        let reply = ReplyId(self.replies);
        self.asked.insert(reply, question);
        reply
    }
}
