//! Checkpoints in the layout of Hugging Face's trainer: `checkpoint-N/` with `config.json`, `model.safetensors`,
//! `tokenizer.json`, `tokenizer_config.json`, `optimizer.safetensors` and `trainer_state.json`, where N steps are done; when the
//! training has ended, the model also beside them.
//!
//! A checkpoint appears whole: it is written under another name, flushed, and renamed.

use super::{Corpus, Tokenizer, TrainError, TrainJob, TrainSpec};
use crate::model::{Mixing, Moments, Table, tensors};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// Checkpoints that are kept, the newest.
const KEEP: usize = 2;

/// All that a training goes on from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checkpoint {
    /// Steps done.
    pub step: u64,
    /// Tokens read.
    pub tokens: u64,
    /// The model.
    pub parameters: Vec<f32>,
    /// The optimizer.
    pub moments: Moments,
}

#[derive(Debug, Serialize, Deserialize)]
struct TrainerState {
    global_step: u64,
    max_steps: u64,
    num_input_tokens_seen: u64,
    /// What the training is made of, as far as it decides the numbers; another one must not continue it.
    spec: serde_json::Value,
    /// Of the sequences it learns from.
    corpus: String,
    /// Of the file that makes its tokens.
    tokenizer: String,
}

/// The folder of a training's checkpoints.
pub(super) struct Checkpoints<'a> {
    folder: &'a Path,
    spec: &'a TrainSpec,
    vocabulary: usize,
    table: &'a Table,
    tokenizer: &'a Tokenizer,
    corpus: String,
}

impl<'a> Checkpoints<'a> {
    /// The checkpoints of a training in `folder`, which is made.
    pub(super) fn open(
        job: &'a TrainJob,
        table: &'a Table,
        (tokenizer, corpus): (&'a Tokenizer, &Corpus),
    ) -> Result<Self, TrainError> {
        let TrainJob { spec, out: folder, vocabulary } = job;
        fs::create_dir_all(folder).map_err(TrainError::file("create", folder))?;
        let corpus = blake3::Hash::from_bytes(corpus.digest()).to_string();
        Ok(Self { folder, spec, vocabulary: *vocabulary, table, tokenizer, corpus })
    }

    /// The newest checkpoint, if there is one.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when it belongs to another training or cannot be read.
    pub(super) fn newest(&self) -> Result<Option<Checkpoint>, TrainError> {
        let Some(step) = self.steps()?.pop() else { return Ok(None) };
        let path = self.path(step);
        let problem = |problem: String| TrainError::Checkpoint { path: path.clone(), problem };
        let name = path.join("trainer_state.json");
        let text = fs::read_to_string(&name).map_err(TrainError::file("read", &name))?;
        let state: TrainerState = serde_json::from_str(&text).map_err(|error| problem(format!("trainer_state.json: {error}")))?;
        if state.spec != identity(self.spec) {
            return Err(problem("it was begun with another spec".into()));
        }
        if state.tokenizer != self.tokenizer_digest() {
            return Err(problem("it was begun with another tokenizer".into()));
        }
        if state.corpus != self.corpus {
            return Err(problem("it was begun with other documents".into()));
        }
        let parameters = self.read(&path.join("model.safetensors"), "").map_err(problem)?;
        let mean = self.read(&path.join("optimizer.safetensors"), "mean.").map_err(problem)?;
        let square = self.read(&path.join("optimizer.safetensors"), "square.").map_err(problem)?;
        let moments = Moments { mean, square };
        Ok(Some(Checkpoint { step: state.global_step, tokens: state.num_input_tokens_seen, parameters, moments }))
    }

    /// Writes a checkpoint, and removes those that are older than the newest few.
    pub(super) fn write(&self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        let (path, fresh) = (self.path(checkpoint.step), self.folder.join(".checkpoint-new"));
        if path.exists() {
            return Ok(());
        }
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(TrainError::file("remove", &fresh))?;
        }
        fs::create_dir(&fresh).map_err(TrainError::file("create", &fresh))?;
        let state = TrainerState {
            global_step: checkpoint.step,
            max_steps: self.spec.steps,
            num_input_tokens_seen: checkpoint.tokens,
            spec: identity(self.spec),
            corpus: self.corpus.clone(),
            tokenizer: self.tokenizer_digest(),
        };
        self.write_tensors(&fresh.join("model.safetensors"), &[("", &checkpoint.parameters)])?;
        let moments = [("mean.", &*checkpoint.moments.mean), ("square.", &*checkpoint.moments.square)];
        self.write_tensors(&fresh.join("optimizer.safetensors"), &moments)?;
        self.write_small(&fresh)?;
        write_json(&fresh.join("trainer_state.json"), &json!(state))?;
        sync(&fresh)?;
        fs::rename(&fresh, &path).map_err(TrainError::file("rename", &fresh))?;
        sync(self.folder)?;
        for old in self.steps()?.iter().rev().skip(KEEP) {
            let old = self.path(*old);
            fs::remove_dir_all(&old).map_err(TrainError::file("remove", &old))?;
        }
        Ok(())
    }

    /// Puts the trained model into the folder itself, where loaders look for it.
    pub(super) fn publish(&self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        let fresh = self.folder.join(".model.safetensors.new");
        self.write_tensors(&fresh, &[("", &checkpoint.parameters)])?;
        self.write_small(self.folder)?;
        let path = self.folder.join("model.safetensors");
        fs::rename(&fresh, &path).map_err(TrainError::file("rename", &fresh))?;
        sync(self.folder)
    }

    /// What a loader wants to know beside the tensors.
    fn write_small(&self, folder: &Path) -> Result<(), TrainError> {
        write_json(&folder.join("config.json"), &self.config())?;
        write(&folder.join("tokenizer.json"), self.tokenizer.json())?;
        let about = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": self.spec.context,
            "clean_up_tokenization_spaces": false,
        });
        write_json(&folder.join("tokenizer_config.json"), &about)
    }

    /// The names are those of transformers' configurations, which know two types of layers here; `mixers` holds the words of the
    /// spec.
    fn config(&self) -> serde_json::Value {
        let model = &self.spec.model;
        let kinds = model.layers.iter().map(|mixing| match mixing {
            Mixing::Softmax => "full_attention",
            _ => "linear_attention",
        });
        // As a person writes it: the f64 next to an f32 has digits that nobody meant.
        let epsilon: f64 = model.norm_epsilon.0.to_string().parse().unwrap_or_else(|_| f64::from(model.norm_epsilon.0));
        json!({
            "architectures": ["BraidHybridForCausalLM"],
            "model_type": "braid_hybrid",
            "torch_dtype": "float32",
            "vocab_size": self.vocabulary,
            "hidden_size": model.width,
            "intermediate_size": model.mlp_width,
            "num_hidden_layers": model.layers.len(),
            "num_attention_heads": model.heads,
            "num_key_value_heads": model.heads,
            "head_dim": model.head_dim,
            "layer_types": kinds.collect::<Vec<_>>(),
            "mixers": model.layers,
            "hidden_act": "silu",
            "rms_norm_eps": epsilon,
            "max_position_embeddings": self.spec.context,
            "tie_word_embeddings": false,
        })
    }

    fn tokenizer_digest(&self) -> String {
        blake3::hash(self.tokenizer.json()).to_string()
    }

    fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("checkpoint-{step}"))
    }

    /// The steps that have a checkpoint, ascending.
    fn steps(&self) -> Result<Vec<u64>, TrainError> {
        let names = fs::read_dir(self.folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let names = names.map_err(TrainError::file("read", self.folder))?;
        let number = |name: &std::ffi::OsStr| name.to_str()?.strip_prefix("checkpoint-")?.parse().ok();
        let mut steps: Vec<u64> = names.iter().filter_map(|entry| number(&entry.file_name())).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    fn write_tensors(&self, path: &Path, groups: &[(&str, &[f32])]) -> Result<(), TrainError> {
        tensors::write(path, self.table, groups).map_err(TrainError::file("write", path))
    }

    fn read(&self, path: &Path, prefix: &str) -> Result<Vec<f32>, String> {
        tensors::read(path, self.table, prefix)
    }
}

/// What decides the numbers of a training: all of its spec but how often it is written down, how it is planned for, and how long it is to
/// go on.
fn identity(spec: &TrainSpec) -> serde_json::Value {
    let mut identity = json!(spec);
    if let Some(fields) = identity.as_object_mut() {
        for field in ["documents", "tokens", "checkpoint_every", "profile", "whole_workers"] {
            fields.remove(field);
        }
    }
    identity
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), TrainError> {
    write(path, format!("{value:#}\n").as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    fs::write(path, bytes).map_err(TrainError::file("write", path))?;
    File::open(path).and_then(|file| file.sync_all()).map_err(TrainError::file("flush", path))
}

fn sync(folder: &Path) -> Result<(), TrainError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(TrainError::file("flush", folder))
}
