//! Tells a person how a job goes: a bar on a terminal, a line now and then elsewhere, nothing when quiet. On stderr.
//! Its start and its end are the verb's to tell.

mod meter;

use crate::{client::has_ended, console::Console};
use braid_proto::v1::Job;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
pub(crate) use meter::{Meter, Reading};
use std::time::{Duration, Instant};

/// Where nobody sees a bar move, a line comes so often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows one job.
pub(crate) struct Progress {
    since: Instant,
    meter: Meter,
    form: Form,
}

enum Form {
    Nothing,
    Lines { console: Console, last: Instant, reason: Option<String> },
    Bar(ProgressBar),
}

impl Progress {
    /// In the form that suits the console.
    pub(crate) fn new(console: &Console) -> Self {
        let form = if console.is_quiet() {
            Form::Nothing
        } else if console.live_stderr {
            Form::Bar(bar())
        } else {
            Form::Lines { console: *console, last: Instant::now(), reason: None }
        };
        Self { since: Instant::now(), meter: Meter::default(), form }
    }

    /// Takes in a change of the job.
    pub(crate) fn show(&mut self, job: &Job) {
        let reading = self.meter.observe(self.since.elapsed(), job);
        match &mut self.form {
            Form::Nothing => {}
            Form::Bar(bar) => draw(bar, &reading),
            Form::Lines { console, last, reason } => {
                // Whoever waits for a worker that nobody has started learns it at once.
                let news = reading.reason.is_some() && *reason != reading.reason;
                if !has_ended(job) && (news || last.elapsed() >= LINE_EVERY) {
                    *last = Instant::now();
                    console.note(&reading.line());
                    *reason = reading.reason;
                }
            }
        }
    }

    /// Takes the bar away, so that what follows has the line to itself.
    pub(crate) fn finish(self) {
        if let Form::Bar(bar) = self.form {
            bar.finish_and_clear();
        }
    }
}

/// In the words of indicatif, which only looks like those of `format!`.
#[allow(clippy::literal_string_with_formatting_args)]
const TEMPLATE: &str = "{spinner} [{bar:30}] {wide_msg}";

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn draw(bar: &ProgressBar, reading: &Reading) {
    if reading.total > 0 {
        bar.set_length(reading.total);
    }
    bar.set_position(reading.bytes);
    bar.set_message(reading.line());
}
