//! How values are written in a job file, and what is said of those that cannot be read.

use crate::CommandError;
use bytesize::ByteSize;
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use std::{collections::BTreeMap, fmt, time::Duration};

/// The keys of a job file.
const KEYS: [&str; 14] = [
    "command",
    "name",
    "dir",
    "env",
    "gang",
    "array",
    "gpus",
    "cpus",
    "memory",
    "disk",
    "timeout",
    "grace",
    "save_signal",
    "retries",
];

/// A text, a number or a truth value, as the text that it was written as.
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyText;
        impl Visitor<'_> for AnyText {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Text, E> {
                Ok(Text(truth.to_string()))
            }
        }
        deserializer.deserialize_any(AnyText)
    }
}

pub(super) fn command<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Command;
    impl<'de> Visitor<'de> for Command {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of a program and its arguments, or a line for the shell")
        }

        fn visit_str<E: de::Error>(self, line: &str) -> Result<Vec<String>, E> {
            Ok(vec!["/bin/sh".into(), "-c".into(), line.into()])
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut words: A) -> Result<Vec<String>, A::Error> {
            let mut command = Vec::new();
            while let Some(Text(word)) = words.next_element()? {
                command.push(word);
            }
            Ok(command)
        }
    }
    deserializer.deserialize_any(Command)
}

pub(super) fn variables<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(BTreeMap::<String, Text>::deserialize(deserializer)?.into_iter().map(|(name, Text(value))| (name, value)).collect())
}

/// Bytes: a number, or a text such as `2GiB`.
pub(super) mod size {
    use super::*;
    use serde::Serializer;

    pub(crate) fn serialize<S: Serializer>(bytes: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_some(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        match text.parse::<ByteSize>() {
            Ok(ByteSize(bytes)) if bytes > 0 && bytes < u64::MAX => Ok(Some(bytes)),
            _ => Err(de::Error::custom(format!("{text:?} is not a size such as 256MiB or 5GB"))),
        }
    }
}

/// A time: a number of seconds, or a text such as `90s` or `1h 30m`.
pub(super) mod duration {
    use super::*;
    use serde::Serializer;

    pub(crate) fn serialize<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_some(&time.map(show))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        let time = parse_duration(&text);
        time.map(Some).ok_or_else(|| de::Error::custom(format!("{text:?} is not a time such as 500ms, 30s or 5m")))
    }
}

/// Reads a number of seconds or a text such as `1h 30m`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    text.parse::<u64>().map(Duration::from_secs).ok().or_else(|| humantime::parse_duration(text).ok())
}

/// A time as it is read.
pub(crate) fn show(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

pub(super) fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
pub(super) fn is_one(number: &u32) -> bool {
    *number == 1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
pub(super) fn is_false(value: &bool) -> bool {
    !*value
}

pub(super) fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Whether a program's environment can hold it, and Braid has no say in it.
pub(super) fn check_variable(name: &str, value: &str) -> Result<(), CommandError> {
    let wrong = |problem: &str| Err(CommandError::Variable { name: name.into(), problem: problem.into() });
    if name.is_empty() {
        return wrong("a variable needs a name");
    }
    if name.contains('=') || name.contains('\0') {
        return wrong("a name holds neither `=` nor a NUL byte");
    }
    if value.contains('\0') {
        return wrong("its value holds a NUL byte, which no variable can");
    }
    if name.starts_with("BRAID_") {
        return wrong("names that begin with BRAID_ are set by Braid");
    }
    Ok(())
}

/// The key that was meant, of a message about one that is not known.
pub(super) fn meant(problem: &str) -> Option<String> {
    let (_, rest) = problem.split_once("unknown field `")?;
    let (key, _) = rest.split_once('`')?;
    if key == "args" {
        return Some("arguments follow the program: command: [python, train.py, --steps, 100]".into());
    }
    let near = |known: &&str| strsim::jaro_winkler(known, &key.replace('-', "_"));
    let best = KEYS.iter().max_by(|a, b| near(a).total_cmp(&near(b))).filter(|known| near(known) > 0.75)?;
    Some(format!("did you mean `{best}`?"))
}

/// A word as a shell would take it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=:,@%+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
