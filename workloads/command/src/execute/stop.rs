//! Which signal a program gets, and when. Pure.
//!
//! ```text
//!            save_signal's time            timeout, cancel          after the grace
//!   running ───────────────────▶ running ──────────────────▶ asked ────────────────▶ killed
//!      │         the signal                   SIGTERM          ▲       SIGKILL
//!      └─────────────────────────▶ saving ─────────────────────┘
//!        cancel of one that goes on    after save_signal's time: SIGTERM
//!        later: the signal
//! ```
//! Every signal goes to the whole process group. A job that makes room for another ends like a cancelled one.

use crate::CommandSpec;
use rustix::process::Signal;
use std::time::Duration;

/// How far a program has been asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stop {
    save: Option<(Signal, Duration)>,
    timeout: Option<Duration>,
    grace: Duration,
    saved: bool,
    /// The signal of one that goes on later, and the time that it has to save.
    first: Option<(Signal, Duration)>,
    /// Since when it saves.
    saving: Option<Duration>,
    asked: Option<(Duration, Why)>,
    killed: bool,
}

/// Why a program is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Its task was told to stop.
    Cancelled,
    /// Its time is over.
    Timeout,
}

impl Stop {
    /// A program that starts now.
    pub(super) fn new(spec: &CommandSpec) -> Self {
        let save = spec.save_signal.zip(spec.timeout);
        Self {
            save: save.map(|(save, timeout)| (save.signal.signal(), timeout.saturating_sub(save.before))),
            timeout: spec.timeout,
            grace: spec.grace(),
            saved: false,
            first: spec.save_signal.filter(|_| spec.resumable).map(|save| (save.signal.signal(), save.before)),
            saving: None,
            asked: None,
            killed: false,
        }
    }

    /// The signal that is due after it has run for so long.
    pub(super) fn due(&mut self, ran: Duration, cancelled: bool) -> Option<Signal> {
        if let Some((since, _)) = self.asked {
            if self.killed || ran < since + self.grace {
                return None;
            }
            self.killed = true;
            return Some(Signal::KILL);
        }
        let over = self.timeout.is_some_and(|timeout| ran >= timeout);
        match (self.first, self.saving) {
            (Some((signal, _)), None) if cancelled && !over => {
                self.saving = Some(ran);
                return Some(signal);
            }
            (Some((_, within)), Some(since)) if ran < since.saturating_add(within) => return None,
            _ => {}
        }
        if cancelled || over {
            self.asked = Some((ran, if cancelled { Why::Cancelled } else { Why::Timeout }));
            return Some(Signal::TERM);
        }
        let (signal, _) = self.save.filter(|(_, at)| ran >= *at && !self.saved)?;
        self.saved = true;
        Some(signal)
    }

    /// When the next signal is due, as far as time alone decides.
    pub(super) fn next(&self) -> Option<Duration> {
        match self.asked {
            Some((since, _)) => (!self.killed).then_some(since + self.grace),
            None if self.saving.is_some() => self.saving.zip(self.first).map(|(since, (_, within))| since.saturating_add(within)),
            None => {
                let save = self.save.filter(|_| !self.saved).map(|(_, at)| at);
                save.into_iter().chain(self.timeout).min()
            }
        }
    }

    /// Why it was asked to end, if it was.
    pub(super) fn why(&self) -> Option<Why> {
        self.asked.map(|(_, why)| why).or_else(|| self.saving.map(|_| Why::Cancelled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(timeout: Option<u64>, save: Option<&str>) -> Stop {
        let mut spec = CommandSpec::new(["x"], "/");
        spec.timeout = timeout.map(Duration::from_secs);
        spec.grace = Some(Duration::from_secs(5));
        spec.save_signal = save.map(|save| save.parse().unwrap());
        Stop::new(&spec)
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_deadline_is_announced_asked_for_and_enforced() {
        let mut stop = stop(Some(60), Some("USR1@20s"));
        let signals: Vec<(u64, Signal)> = (0..80).filter_map(|second| Some((second, stop.due(at(second), false)?))).collect();
        assert_eq!(signals, [(40, Signal::USR1), (60, Signal::TERM), (65, Signal::KILL)]);
        assert_eq!((stop.why(), stop.next()), (Some(Why::Timeout), None));
    }

    #[test]
    fn a_cancelled_program_is_asked_at_once_and_killed_after_its_grace() {
        let mut stop = stop(None, None);
        assert_eq!((stop.due(at(3), false), stop.next()), (None, None));
        assert_eq!(stop.due(at(4), true), Some(Signal::TERM));
        assert_eq!((stop.next(), stop.due(at(8), true)), (Some(at(9)), None));
        assert_eq!((stop.due(at(9), true), stop.due(at(99), true)), (Some(Signal::KILL), None));
        assert_eq!(stop.why(), Some(Why::Cancelled));
    }

    #[test]
    fn one_that_goes_on_later_saves_before_it_is_asked() {
        let mut spec = CommandSpec::new(["x"], "/");
        spec.grace = Some(Duration::from_secs(5));
        spec.save_signal = Some("USR1@20s".parse().unwrap());
        spec.resumable = true;
        let mut stop = Stop::new(&spec);
        let signals: Vec<(u64, Signal)> =
            (0..80).filter_map(|second| Some((second, stop.due(at(second), second >= 3)?))).collect();
        assert_eq!(signals, [(3, Signal::USR1), (23, Signal::TERM), (28, Signal::KILL)]);
        let mut stop = Stop::new(&spec);
        assert_eq!((stop.due(at(3), true), stop.next(), stop.why()), (Some(Signal::USR1), Some(at(23)), Some(Why::Cancelled)));
        assert_eq!(spec.stops_within(), at(25));
    }

    #[test]
    fn the_next_signal_is_known_before_it_is_due() {
        let mut stop = stop(Some(60), Some("SIGTERM@20s"));
        while let Some(next) = stop.next() {
            assert_eq!(stop.due(next - Duration::from_millis(1), false), None);
            assert!(stop.due(next, false).is_some());
        }
    }
}
