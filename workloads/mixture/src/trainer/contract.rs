//! What a trainer that is any program reads and writes: one JSON file each way for each call. Knows how to ask and how to read an
//! answer, not how a program is run.
//!
//! ```text
//! PROGRAM … REQUEST ANSWER
//!           │       └─ {"losses": {"prose": 2.31, …}, "tokens": {"prose": 4096, …}}
//!           └─ {"contract": "braid-trainer/1", "call": "train", "from": FOLDER or null, "save": FOLDER, …}
//! ```
//!
//! A call is a run of the program. It keeps nothing but what it writes into `save`; the next call gets that as `from`.

use crate::{Domains, MixtureError, Proportions, data::Part};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The version of this contract, as requests say it.
pub const CONTRACT: &str = "braid-trainer/1";

/// What a program is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Request<'a> {
    /// [`CONTRACT`].
    pub contract: &'static str,
    /// The folder that the call before wrote; null for a model that has learnt nothing.
    pub from: Option<&'a Path>,
    /// Steps done until then.
    pub step: u64,
    /// Decides how a model begins.
    pub seed: u64,
    /// Steps in all, for schedules of the learning rate.
    pub schedule: u64,
    /// Tokens to guess in a sequence.
    pub context: usize,
    /// Names of the domains; whatever has one entry a domain is in this order.
    pub domains: &'a [String],
    /// What to do.
    #[serde(flatten)]
    pub call: Call<'a>,
}

/// The two things that a program is asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "call", rename_all = "lowercase")]
pub enum Call<'a> {
    /// Make steps, and write the model into `save`.
    Train {
        /// A folder that is there and empty.
        save: &'a Path,
        /// Steps to make.
        steps: u64,
        /// What share of the tokens each domain is to have, by name.
        proportions: Map<String, Value>,
        /// Sequences of each step, by domain: exactly these.
        counts: Vec<Vec<u64>>,
        /// The first draw of each domain in this call, for a program that reads the data itself.
        draws: Vec<u64>,
        /// A file of little-endian u32, `context + 1` a sequence: those of the first step, domain by domain, then of the next.
        sequences: &'a Path,
    },
    /// Measure the mean loss of each domain.
    Evaluate {
        /// On which held-out part.
        part: Part,
        /// The domains that are asked for, by number.
        of: &'a [usize],
        /// Sequences of each of these, as many as their losses are to be the mean of.
        counts: Vec<u64>,
        /// As above: those of the first domain that is asked for, then of the next.
        sequences: &'a Path,
    },
}

/// What a program answers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Mean loss in nats a token, by domain. Null where a domain had no tokens.
    pub losses: BTreeMap<String, Option<f64>>,
    /// Tokens consumed, by domain; what was asked for unless given.
    #[serde(default)]
    pub tokens: Option<BTreeMap<String, u64>>,
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// A file that is none, or not as the contract has it.
    pub fn read(path: &Path) -> Result<Self, MixtureError> {
        let file = |problem: String| MixtureError::File { file: path.display().to_string(), problem };
        let text = std::fs::read_to_string(path).map_err(|error| file(format!("the trainer's answer: {error}")))?;
        // A program that prints NaN, as Python does, writes no JSON; what it means is clear.
        let text = text.replace("NaN", "null").replace("-Infinity", "null").replace("Infinity", "null");
        serde_json::from_str(&text).map_err(|error| file(format!("the trainer's answer is not as the contract has it: {error}")))
    }

    /// Losses of these domains, in their order. None where there is none.
    ///
    /// # Errors
    /// Other domains than those asked for.
    pub fn losses(&self, asked: &Domains) -> Result<Vec<Option<f64>>, MixtureError> {
        asked.arrange("the trainer's losses", self.losses.clone())
    }

    /// Tokens of all domains, in their order.
    ///
    /// # Errors
    /// Other domains than there are.
    pub fn tokens(&self, domains: &Domains, asked: Vec<u64>) -> Result<Vec<u64>, MixtureError> {
        match &self.tokens {
            Some(tokens) => domains.arrange("the trainer's tokens", tokens.clone()),
            None => Ok(asked),
        }
    }
}

/// Proportions by name.
pub fn by_name(domains: &Domains, proportions: &Proportions) -> Map<String, Value> {
    domains.label(proportions)
}

/// Where the files of a call lie.
#[derive(Debug, Clone)]
pub struct CallFiles {
    /// What is asked.
    pub request: PathBuf,
    /// What is answered.
    pub answer: PathBuf,
    /// The sequences.
    pub sequences: PathBuf,
    /// The model afterwards.
    pub save: PathBuf,
}

impl CallFiles {
    /// Those of the `number`-th call in a folder.
    pub fn new(folder: &Path, number: u64) -> Self {
        let file = |name: &str| folder.join(format!("call-{number}.{name}"));
        Self { request: file("request.json"), answer: file("answer.json"), sequences: file("sequences"), save: file("model") }
    }
}

/// A request as text.
pub fn encode(request: &Request<'_>) -> Vec<u8> {
    // Names, numbers and paths can always be written, but for paths that are no text.
    serde_json::to_vec_pretty(request).unwrap_or_else(|error| json!({ "error": error.to_string() }).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains() -> Domains {
        Domains::new(["b", "a"]).unwrap()
    }

    fn answer(text: &str) -> Result<Answer, MixtureError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answer.json");
        std::fs::write(&path, text).unwrap();
        Answer::read(&path)
    }

    #[test]
    fn a_request_says_what_to_do() {
        let (names, proportions) = (domains().names().to_vec(), Proportions::new(vec![0.25, 0.75]).unwrap());
        let call = Call::Train {
            save: Path::new("/s"),
            steps: 2,
            proportions: by_name(&domains(), &proportions),
            counts: vec![vec![1, 3], vec![1, 3]],
            draws: vec![4, 5],
            sequences: Path::new("/q"),
        };
        let request =
            Request { contract: CONTRACT, from: None, step: 0, seed: 1, schedule: 9, context: 8, domains: &names, call };
        let written: Value = serde_json::from_slice(&encode(&request)).unwrap();
        assert_eq!(
            (&written["call"], &written["from"], &written["domains"]),
            (&json!("train"), &Value::Null, &json!(["b", "a"]))
        );
        assert_eq!(written["proportions"], json!({"b": 0.25, "a": 0.75}));
    }

    #[test]
    fn answers_are_brought_into_order_or_refused() {
        let read = answer("{\"losses\": {\"a\": 1.5, \"b\": 2.5}}").unwrap();
        assert_eq!(read.losses(&domains()).unwrap(), [Some(2.5), Some(1.5)]);
        assert_eq!(read.tokens(&domains(), vec![7, 8]).unwrap(), [7, 8]);
        let other = answer("{\"losses\": {\"a\": 1.5, \"c\": 2.5}, \"tokens\": {\"a\": 1}}").unwrap();
        let text = other.losses(&domains()).unwrap_err().to_string();
        assert_eq!(text, "the trainer's losses: expected the domains b, a, found a, c");
        assert!(other.tokens(&domains(), vec![]).is_err());
        assert_eq!(answer("{\"losses\": {\"a\": NaN}}").unwrap().losses["a"], None);
        assert!(answer("{\"loss\": 1}").unwrap_err().to_string().contains("not as the contract has it: unknown field `loss`"));
    }
}
