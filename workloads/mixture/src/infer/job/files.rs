//! The files through which tasks of a job hand on what they counted.
//!
//! Each appears whole: it is written under a name of the attempt's own and renamed. Two attempts at one task write the same.

use crate::infer::{
    Answer, InferError,
    counts::{History, Shard, Words},
    spec::InferSpec,
};
use braid_workload::TaskContext;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The name of the answer in its folder.
const ANSWER: &str = "proportions.json";

/// Where the files of a question are.
pub(super) struct Files<'a> {
    out: &'a Path,
    question: &'a str,
    /// No other attempt, on whatever machine, writes under this name.
    attempt: String,
}

/// The answer and what it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answered {
    pub(super) question: String,
    #[serde(flatten)]
    pub(super) answer: Answer,
}

/// Words in order, so that the same counts are the same bytes.
#[derive(Serialize, Deserialize)]
struct WordsFile {
    bytes: u64,
    words: BTreeMap<Box<str>, u64>,
}

impl<'a> Files<'a> {
    pub(super) fn new(out: &'a Path, question: &'a str, context: &TaskContext) -> Self {
        let attempt = format!("{}-{}-{}", context.task.index, context.attempt, std::process::id());
        Self { out, question, attempt }
    }

    fn folder(&self) -> PathBuf {
        self.out.join(".counts").join(self.question)
    }

    pub(super) fn listing(&self) -> PathBuf {
        self.folder().join("shards.json")
    }

    pub(super) fn words(&self, category: usize, shard: usize) -> PathBuf {
        self.folder().join(format!("words-{category}-{shard}.json"))
    }

    pub(super) fn history(&self, category: usize) -> PathBuf {
        self.folder().join(format!("pairs-{category}.json"))
    }

    /// The answer, if it is one to this question.
    pub(super) fn answered(&self) -> Result<Option<Answer>, InferError> {
        let path = self.out.join(ANSWER);
        if !path.exists() {
            return Ok(None);
        }
        let answered: Result<Answered, _> = read(&path);
        // What is no answer is replaced by one.
        Ok(answered.ok().filter(|answered| answered.question == self.question).map(|answered| answered.answer))
    }

    /// Writes the answer; what was counted on the way is of no more use.
    pub(super) fn answer(&self, answer: &Answer) -> Result<(), InferError> {
        let answered = Answered { question: self.question.to_owned(), answer: answer.clone() };
        self.write(&self.out.join(ANSWER), &answered)?;
        // Another attempt may have removed it.
        let _ = fs::remove_dir_all(self.out.join(".counts"));
        Ok(())
    }

    pub(super) fn write_words(&self, path: &Path, words: Words) -> Result<(), InferError> {
        self.write(path, &WordsFile { bytes: words.bytes, words: words.counts.into_iter().collect() })
    }

    pub(super) fn write(&self, path: &Path, value: &impl Serialize) -> Result<(), InferError> {
        let folder = path.parent().unwrap_or(self.out);
        fs::create_dir_all(folder).map_err(InferError::file("create", folder))?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".");
        name.push(&self.attempt);
        let own = path.with_file_name(name);
        let text = serde_json::to_vec(value).map_err(|error| InferError::Task(format!("{}: {error}", path.display())))?;
        let written = fs::write(&own, text).and_then(|()| fs::rename(&own, path));
        written.map_err(InferError::file("write", path))
    }
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, InferError> {
    let text = fs::read(path).map_err(InferError::file("read", path))?;
    serde_json::from_slice(&text).map_err(|error| InferError::Counts { path: path.to_owned(), problem: error.to_string() })
}

pub(super) fn read_words(path: &Path) -> Result<Words, InferError> {
    let WordsFile { bytes, words } = read(path)?;
    Ok(Words { bytes, counts: words.into_iter().collect() })
}

pub(super) fn read_history(path: &Path) -> Result<History, InferError> {
    read(path)
}

/// The digest of all that the answer depends on: the tokenizer's bytes, the merges, and every file with its size and time.
pub(super) fn question(spec: &InferSpec, tokenizer: &[u8], shards: &[Vec<Shard>]) -> Result<String, InferError> {
    let mut digest = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        digest.update(&(bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    add(tokenizer);
    add(&(spec.merges.unwrap_or(usize::MAX) as u64).to_le_bytes());
    for (category, shards) in spec.data.iter().zip(shards) {
        add(category.name.as_bytes());
        for shard in shards {
            let changed = modified(&shard.path).map_err(InferError::file("read", &shard.path))?;
            add(shard.path.as_os_str().as_encoded_bytes());
            for number in [shard.start, shard.end, changed] {
                add(&number.to_le_bytes());
            }
        }
    }
    Ok(digest.finalize().to_hex().chars().take(32).collect())
}

/// Nanoseconds since 1970.
fn modified(path: &Path) -> io::Result<u64> {
    let since = fs::metadata(path)?.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
