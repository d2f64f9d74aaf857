//! Writes down what the driver takes in and what is decided, for `braid sim replay`.
//!
//! ```text
//!   driver ── lines (bounded by number and bytes) ──▶ thread ──▶ file
//! ```
//! The driver never waits for the disk: what does not fit is left out, and a line says how much is missing. A file that is
//! there is gone on with.

mod rotated;

use crate::{
    engine::{Event, Records},
    model::Millis,
    placement::Plan,
    replay::{Header, Line, Step, records},
};
use rotated::Rotated;
use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
};
use tokio_util::task::TaskTracker;

/// Lines that may wait for the disk.
const QUEUE: usize = 16 << 10;
/// Their bytes.
const QUEUE_BYTES: usize = 32 << 20;
/// The most that the file may hold, and as much the one before it.
const LARGEST: u64 = 1 << 30;

/// The way to the file; cheap to clone. The thread ends when the last is dropped.
#[derive(Clone)]
pub(super) struct Recording {
    to: SyncSender<Entry>,
    waiting: Arc<AtomicUsize>,
}

enum Entry {
    Begin(Box<(Header, Records)>),
    Line(String),
}

/// The recording of one term.
#[derive(Default)]
pub(super) struct Recorder {
    recording: Option<Recording>,
    number: u64,
    lost: u64,
}

impl Recording {
    /// Opens the file and starts the thread.
    pub(super) fn start(path: &Path, tasks: &TaskTracker) -> io::Result<Self> {
        let file = Rotated::open(path, LARGEST)?;
        let (to, lines) = sync_channel(QUEUE);
        let waiting = Arc::<AtomicUsize>::default();
        let theirs = Arc::clone(&waiting);
        let path = path.to_owned();
        tasks.spawn_blocking(move || {
            if let Err(error) = keep(file, &lines, &theirs) {
                tracing::error!(path = %path.display(), %error, "the recording ends here");
            }
        });
        Ok(Self { to, waiting })
    }

    /// Begins a term with these records. When the disk is so far behind that not even this fits, the term is not recorded.
    pub(super) fn term(&self, header: Header, records: Records) -> Recorder {
        if self.to.try_send(Entry::Begin(Box::new((header, records)))).is_err() {
            tracing::warn!("this term is not recorded: what came before is not written yet");
            return Recorder::default();
        }
        Recorder { recording: Some(self.clone()), number: 0, lost: 0 }
    }

    fn send(&self, line: &Line) -> bool {
        let Ok(text) = line.write() else { return false };
        let bytes = text.len();
        if self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes <= QUEUE_BYTES && self.to.try_send(Entry::Line(text)).is_ok()
        {
            return true;
        }
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        false
    }
}

impl Recorder {
    /// A copy of an event that is about to be taken in, if it is to be recorded.
    pub(super) fn keep(&self, event: &Event) -> Option<Event> {
        self.recording.is_some().then(|| event.clone())
    }

    /// An event, and what follows.
    pub(super) fn step(&mut self, now: Millis, event: Event, effects: Vec<String>) {
        self.number += 1;
        self.write(Line::Step(Box::new(Step { number: self.number, now, event, effects })));
    }

    /// Placement had nothing to decide.
    pub(super) fn idle(&mut self) {
        self.write(Line::Idle);
    }

    /// A plan is asked for.
    pub(super) fn asked(&mut self, question: u64) {
        self.write(Line::Asked { question });
    }

    /// A plan has come.
    pub(super) fn planned(&mut self, question: u64, plan: &Plan) {
        if self.recording.is_some() {
            self.write(Line::Planned { question, targets: plan.placements(), makespan: plan.makespan.to_bits() });
        }
    }

    fn write(&mut self, line: Line) {
        let Some(recording) = &self.recording else { return };
        if self.lost > 0 && recording.send(&Line::Gap { lost: self.lost }) {
            self.lost = 0;
        }
        if self.lost > 0 || !recording.send(&line) {
            if self.lost == 0 {
                tracing::warn!("the recording has a gap: its disk is too slow, or gone");
            }
            self.lost += 1;
        }
    }
}

fn keep(mut to: Rotated, lines: &Receiver<Entry>, waiting: &AtomicUsize) -> io::Result<()> {
    loop {
        let entry = match lines.try_recv() {
            Ok(entry) => entry,
            Err(TryRecvError::Disconnected) => return to.end_term(),
            Err(TryRecvError::Empty) => {
                // A coordinator that is killed has lost little.
                to.flush()?;
                match lines.recv() {
                    Ok(entry) => entry,
                    Err(_) => return to.end_term(),
                }
            }
        };
        match entry {
            Entry::Begin(begin) => {
                let (header, held) = *begin;
                to.begin_term()?;
                for line in std::iter::once(Line::Header(header)).chain(records(&held)) {
                    to.write(&line.write()?)?;
                }
            }
            Entry::Line(text) => {
                waiting.fetch_sub(text.len(), Ordering::Relaxed);
                to.write(&text)?;
            }
        }
    }
}
