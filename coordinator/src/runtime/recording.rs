//! Writes down what the driver takes in and what is decided, for `braid sim replay`.
//!
//! ```text
//!   driver ── lines (bounded by number and bytes) ──▶ thread ──▶ file
//! ```
//! The driver never waits for the disk: what does not fit is left out, and a line says how much is missing. A file that is
//! there is gone on with. It can be read by its owner alone: jobs are in it as they were submitted.

use crate::{
    engine::{Event, Records},
    model::Millis,
    placement::Plan,
    replay::{Header, Line, Step, records},
};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
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
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        end_last_line(&mut file)?;
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

fn keep(file: File, lines: &Receiver<Entry>, waiting: &AtomicUsize) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    loop {
        let entry = match lines.try_recv() {
            Ok(entry) => entry,
            Err(TryRecvError::Disconnected) => return file.flush(),
            Err(TryRecvError::Empty) => {
                // A coordinator that is killed has lost little.
                file.flush()?;
                match lines.recv() {
                    Ok(entry) => entry,
                    Err(_) => return Ok(()),
                }
            }
        };
        match entry {
            Entry::Begin(begin) => {
                let (header, held) = *begin;
                for line in std::iter::once(Line::Header(header)).chain(records(&held)) {
                    writeln!(file, "{}", line.write()?)?;
                }
            }
            Entry::Line(text) => {
                waiting.fetch_sub(text.len(), Ordering::Relaxed);
                writeln!(file, "{text}")?;
            }
        }
    }
}

/// What a killed coordinator left is a line of its own.
fn end_last_line(file: &mut File) -> io::Result<()> {
    if file.metadata()?.len() == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}
