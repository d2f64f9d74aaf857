//! What a trainer that is any program reads and writes: one JSON file each way for each call. Knows how to ask and how to read an
//! answer, not how a program is run.
//!
//! ```text
//! PROGRAM … REQUEST ANSWER
//!           │       └─ {"losses": {"prose": 2.31, …}, "tokens": {"prose": 4096, …}, "excess": {"prose": 0.2, …}}
//!           └─ {"contract": "braid-trainer/1", "call": "train", "from": FOLDER or null, "save": FOLDER, …}
//! ```
//!
//! A call is a run of the program. It keeps nothing but what it writes into `save`; the next call gets that as `from`.

use crate::{Domains, MixtureError, Proportions, data::Part, online::Gradients};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
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

/// What a program is asked for.
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
        /// What share each domain's mean loss has in the objective, by name; null: the mean over the batch.
        objective: Option<Map<String, Value>>,
        /// The folder of the model that excess losses refer to; null unless they are asked for.
        reference: Option<&'a Path>,
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
    /// Compute gradients of the domains' losses, and train nothing.
    Gradients {
        /// Training sequences of each domain, which are the first in the file.
        training: Vec<u64>,
        /// Held-out sequences of each domain, which follow; none where no inner products are asked for.
        held_out: Vec<u64>,
        /// As above.
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
    /// Mean of `max(loss - reference loss, 0)`, by domain, where it was asked for.
    #[serde(default)]
    pub excess: Option<BTreeMap<String, Option<f64>>>,
}

/// What a program answers that was asked for gradients.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slopes {
    squared_norms: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    variances: BTreeMap<String, Option<f64>>,
    /// Of each domain's validation gradient with each domain's training gradient.
    #[serde(default)]
    products: BTreeMap<String, BTreeMap<String, Option<f64>>>,
    #[serde(default)]
    learning_rate: f64,
}

impl Slopes {
    /// These, in the order of the domains. What is no number comes as one that is none.
    ///
    /// # Errors
    /// Other domains than those asked for.
    pub fn arrange(self, domains: &Domains) -> Result<Gradients, MixtureError> {
        let row = |what: &str, by: BTreeMap<String, Option<f64>>| -> Result<Vec<f64>, MixtureError> {
            Ok(domains.arrange(what, by)?.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
        };
        let mut products = vec![];
        if !self.products.is_empty() {
            let rows = domains.arrange("the rows of the trainer's inner products", self.products)?;
            products = rows.into_iter().map(|by| row("a row of the trainer's inner products", by)).collect::<Result<_, _>>()?;
        }
        let variances = match self.variances.is_empty() {
            true => vec![],
            false => row("the trainer's variances of gradients", self.variances)?,
        };
        let squared_norms = row("the trainer's norms of gradients", self.squared_norms)?;
        Ok(Gradients { squared_norms, variances, products, learning_rate: self.learning_rate })
    }
}

/// An answer: [`Answer`] or [`Slopes`].
pub trait Read: DeserializeOwned {
    /// Reads an answer.
    ///
    /// # Errors
    /// A file that is none, or not as the contract has it.
    fn read(path: &Path) -> Result<Self, MixtureError> {
        let file = |problem: String| MixtureError::File { file: path.display().to_string(), problem };
        let text = std::fs::read_to_string(path).map_err(|error| file(format!("the trainer's answer: {error}")))?;
        // A program that prints NaN, as Python does, writes no JSON; what it means is clear.
        let text = text.replace("NaN", "null").replace("-Infinity", "null").replace("Infinity", "null");
        serde_json::from_str(&text).map_err(|error| file(format!("the trainer's answer is not as the contract has it: {error}")))
    }
}

impl Read for Answer {}

impl Read for Slopes {}

impl Answer {
    /// Losses of these domains, in their order. None where there is none.
    ///
    /// # Errors
    /// Other domains than those asked for.
    pub fn losses(&self, asked: &Domains) -> Result<Vec<Option<f64>>, MixtureError> {
        asked.arrange("the trainer's losses", self.losses.clone())
    }

    /// Excess losses of all domains, in their order; none where the program has told none.
    ///
    /// # Errors
    /// Other domains than there are.
    pub fn excess(&self, domains: &Domains) -> Result<Vec<Option<f64>>, MixtureError> {
        match &self.excess {
            Some(excess) => domains.arrange("the trainer's excess losses", excess.clone()),
            None => Ok(vec![]),
        }
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
            objective: None,
            reference: Some(Path::new("/r")),
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
        assert_eq!((&written["objective"], &written["reference"]), (&Value::Null, &json!("/r")));
    }

    #[test]
    fn gradients_are_brought_into_order_or_refused() {
        let read = |text: &str| serde_json::from_str::<Slopes>(text).unwrap().arrange(&domains());
        let whole = r#"{"squared_norms": {"a": 1, "b": 2}, "variances": {"a": 3, "b": null},
            "products": {"a": {"a": 5, "b": 6}, "b": {"a": 7, "b": 8}}, "learning_rate": 0.5}"#;
        let found = read(whole).unwrap();
        assert_eq!((found.squared_norms, found.products), (vec![2.0, 1.0], vec![vec![8.0, 7.0], vec![6.0, 5.0]]));
        assert!(found.variances[0].is_nan() && found.variances[1] == 3.0 && found.learning_rate == 0.5);
        let text = read(r#"{"squared_norms": {"a": 1}}"#).unwrap_err().to_string();
        assert_eq!(text, "the trainer's norms of gradients: expected the domains b, a, found a");
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
