//! The signal that a program gets before its deadline, so that it can save: `USR1@60s`.

use super::values;
use rustix::process::Signal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr, time::Duration};

/// A signal that a program can wait for and go on after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGHUP.
    Hup,
    /// SIGINT.
    Int,
    /// SIGTERM.
    Term,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
}

/// A signal and how long before the timeout it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaveSignal {
    /// Which.
    pub signal: StopSignal,
    /// How long before.
    pub before: Duration,
}

impl StopSignal {
    const ALL: [(&str, Self); 5] =
        [("HUP", Self::Hup), ("INT", Self::Int), ("TERM", Self::Term), ("USR1", Self::Usr1), ("USR2", Self::Usr2)];

    pub(crate) fn signal(self) -> Signal {
        match self {
            Self::Hup => Signal::HUP,
            Self::Int => Signal::INT,
            Self::Term => Signal::TERM,
            Self::Usr1 => Signal::USR1,
            Self::Usr2 => Signal::USR2,
        }
    }
}

impl FromStr for SaveSignal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a signal and a time before the timeout, such as USR1@60s");
        let (name, before) = text.split_once('@').ok_or_else(wrong)?;
        let upper = name.trim().to_ascii_uppercase();
        let short = upper.strip_prefix("SIG").unwrap_or(&upper);
        let signal = StopSignal::ALL.into_iter().find(|(known, _)| *known == short).map(|(_, signal)| signal);
        let known = || StopSignal::ALL.map(|(known, _)| known).join(", ");
        let signal = signal.ok_or_else(|| format!("{name:?} is no signal that asks a program to save (known: {})", known()))?;
        Ok(Self { signal, before: values::parse_duration(before.trim()).ok_or_else(wrong)? })
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.into_iter().find(|(_, signal)| signal == self).map_or("?", |(name, _)| name))
    }
}

impl fmt::Display for SaveSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.signal, values::show(self.before))
    }
}

impl Serialize for SaveSignal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SaveSignal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        values::Text::deserialize(deserializer)?.0.parse().map_err(de::Error::custom)
    }
}
