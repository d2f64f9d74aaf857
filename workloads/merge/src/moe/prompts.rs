//! From prompts to gates: the tokens of the base's tokenizer, and the sum of their rows in the base's embedding.
//!
//! As mergekit does it: before each prompt stands the token that begins texts, where the tokenizer has one; nothing else is added. Only the rows
//! that occur are read.

use super::gates::{Gates, direction};
use crate::{
    MergeError,
    checkpoint::{Checkpoint, DataFile, Sources},
    open_files::OpenFiles,
    opened::lens_of,
    recipe::{Expert, GateMode, Problem, Recipe, RecipeError},
    run::Lens,
};
use braid_kernels::{Dtype, Slice, SliceMut, convert};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// The tensor that has a row for each token.
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";

/// The gates that a recipe's prompts give; none where it has no experts, or draws their gates.
pub(crate) fn gates_of_prompts(
    recipe: &Recipe,
    checkpoints: &[Checkpoint],
    sources: &Sources,
    files: &OpenFiles<DataFile>,
) -> Result<Option<Gates>, MergeError> {
    let Some(mixture) = recipe.mixture.as_ref().filter(|mixture| mixture.gates == GateMode::CheapEmbed) else { return Ok(None) };
    let Some(base) = recipe.base.and_then(|base| checkpoints.get(base)) else { return Ok(None) };
    let tokens = tokens::Tokens::open(sources, &base.root)?;
    let embedding = Embedding::open(base, files)?;
    let gate = |(index, expert): (usize, &Expert)| {
        let refuse = |problem: &str| MergeError::Checkpoint {
            path: base.root.clone(),
            problem: format!("the prompts of expert {index} ({}) {problem}", recipe.place(expert.at)),
            hint: Some("give prompts that say what the expert is for".into()),
        };
        let positive = embedding.sum(&tokens, &expert.positive)?;
        let negative = match expert.negative.is_empty() {
            true => None,
            false => Some(embedding.sum(&tokens, &expert.negative)?),
        };
        direction(&positive, negative.as_deref()).map_err(refuse)
    };
    let experts = mixture.experts.iter().enumerate().map(gate).collect::<Result<_, _>>()?;
    let prompted = mixture.shared.iter().enumerate().filter(|(_, expert)| !expert.positive.is_empty());
    let shared = prompted.map(gate).collect::<Result<_, _>>()?;
    Ok(Some(Gates { experts: Arc::new(experts), shared: Arc::new(shared) }))
}

/// Refuses prompts whose base an earlier recipe makes: they are looked up before anything is merged.
pub(crate) fn refuse_prompts_to_stages(recipe: &Recipe, made: &[Option<usize>]) -> Result<(), MergeError> {
    let prompted = recipe.mixture.as_ref().is_some_and(|mixture| mixture.gates == GateMode::CheapEmbed);
    let base = recipe.base.filter(|base| prompted && made.get(*base).is_some_and(Option::is_some));
    let Some(base) = base.and_then(|base| recipe.models.get(base)) else { return Ok(()) };
    let problem =
        Problem::NotYet(format!("`gate_mode: cheap_embed` with a base (`{}`) that a recipe of the same file makes", base.path));
    let error = RecipeError::new(recipe.place(base.at), problem);
    Err(error.hint_is("merge the base first, by a file of its own, and name its folder here").into())
}

/// The embedding of a model.
struct Embedding {
    file: Arc<DataFile>,
    offset: u64,
    dtype: Dtype,
    rows: u64,
    width: u64,
    lens: Option<Lens>,
    root: std::path::PathBuf,
}

impl Embedding {
    fn open(base: &Checkpoint, files: &OpenFiles<DataFile>) -> Result<Self, MergeError> {
        let refuse = |problem: String| MergeError::Checkpoint { path: base.root.clone(), problem, hint: None };
        let info = base
            .tensors
            .get(EMBEDDING)
            .ok_or_else(|| refuse(format!("has no {EMBEDDING:?}, which `cheap_embed` makes gates of")))?;
        let &[rows, width] = info.shape.as_slice() else {
            return Err(refuse(format!("{EMBEDDING:?} of shape {:?} is no matrix", info.shape)));
        };
        let file = files.get(&base.files[info.file])?;
        let (offset, dtype, root) = (info.offset, info.dtype, base.root.clone());
        Ok(Self { file, offset, dtype, rows, width, lens: lens_of(files, base, EMBEDDING)?, root })
    }

    /// The sum of the rows of all tokens of these texts, in f64 in the order of the vocabulary.
    fn sum(&self, tokens: &tokens::Tokens, texts: &[String]) -> Result<Vec<f64>, MergeError> {
        let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
        for text in texts {
            for token in tokens.of(text)? {
                *counts.entry(token).or_default() += 1;
            }
        }
        let mut sum = vec![0.0; usize::try_from(self.width).unwrap_or(0)];
        for (token, count) in counts {
            for (sum, value) in sum.iter_mut().zip(self.row(token)?) {
                *sum += f64::from(value) * count as f64;
            }
        }
        Ok(sum)
    }

    fn row(&self, token: u32) -> Result<Vec<f32>, MergeError> {
        let token = u64::from(token);
        let refuse = |problem: String| MergeError::Checkpoint { path: self.root.clone(), problem, hint: None };
        if token >= self.rows {
            return Err(refuse(format!("its tokenizer has token {token}, but {EMBEDDING:?} has only {} rows", self.rows)));
        }
        // the header has checked that the whole tensor fits the file
        let (size, first) = (self.dtype.size() as u64, token * self.width);
        let mut raw = vec![0; (self.width * size) as usize];
        self.file.read_exact_at(&mut raw, self.offset + first * size)?;
        let mut row = vec![0; self.width as usize * size_of::<f32>()];
        let made = Slice::new(self.dtype, &raw).and_then(|raw| {
            let mut out = SliceMut::new(Dtype::F32, &mut row)?;
            match &self.lens {
                Some(lens) => lens.apply(&raw, first, &mut out),
                None => convert(&raw, &mut out),
            }
        });
        made.map_err(|source| MergeError::Kernel { tensor: EMBEDDING.into(), source })?;
        Ok(row.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect())
    }
}

/// The tokenizer of a checkpoint.
#[cfg(feature = "bpe")]
mod tokens {
    use super::{MergeError, Path, Sources};
    use crate::tokenizer::FILE;
    use serde_json::{Map, Value};
    use std::path::PathBuf;
    use tokenizers::Tokenizer;

    pub(super) struct Tokens {
        tokenizer: Tokenizer,
        /// The token that begins texts, as text.
        begin: String,
        path: PathBuf,
    }

    impl Tokens {
        pub(super) fn open(sources: &Sources, root: &Path) -> Result<Self, MergeError> {
            let path = root.join(FILE);
            let refuse = |problem: String, hint: Option<&str>| MergeError::Checkpoint {
                path: root.to_owned(),
                problem,
                hint: hint.map(str::to_owned),
            };
            let text = sources.read_if_there(&path)?.ok_or_else(|| {
                let help = "load the tokenizer with transformers and save it with save_pretrained, which writes one";
                refuse(format!("has no {FILE}, which `cheap_embed` reads prompts with"), Some(help))
            })?;
            let odd = |error: &dyn std::fmt::Display| refuse(format!("{FILE}: {error}"), None);
            let mut tokenizer = Tokenizer::from_bytes(text).map_err(|error| odd(&error))?;
            tokenizer.with_padding(None).with_truncation(None).map_err(|error| odd(&error))?;
            Ok(Self { tokenizer, begin: begin(sources, root)?, path })
        }

        /// The tokens of a text.
        pub(super) fn of(&self, text: &str) -> Result<Vec<u32>, MergeError> {
            let text = format!("{}{text}", self.begin);
            let refuse = |error: tokenizers::Error| MergeError::Checkpoint {
                path: self.path.clone(),
                problem: format!("cannot read the prompt {text:?}: {error}"),
                hint: None,
            };
            Ok(self.tokenizer.encode_fast(text.as_str(), false).map_err(refuse)?.get_ids().to_vec())
        }
    }

    /// The token that begins texts, from the files in which transformers keeps it; empty where there is none.
    fn begin(sources: &Sources, root: &Path) -> Result<String, MergeError> {
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            let Some(text) = sources.read_if_there(&root.join(name))? else { continue };
            let Ok(object) = serde_json::from_slice::<Map<String, Value>>(&text) else { continue };
            match object.get("bos_token") {
                Some(Value::String(token)) => return Ok(token.clone()),
                Some(Value::Object(token)) => {
                    if let Some(content) = token.get("content").and_then(Value::as_str) {
                        return Ok(content.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(String::new())
    }
}

#[cfg(not(feature = "bpe"))]
mod tokens {
    use super::{MergeError, Path, Sources};

    pub(super) enum Tokens {}

    impl Tokens {
        pub(super) fn open(_: &Sources, root: &Path) -> Result<Self, MergeError> {
            let problem = "this build of Braid reads no tokenizers: it lacks the feature `bpe`".into();
            let hint = Some("use `gate_mode: random`, or a build with the feature".into());
            Err(MergeError::Checkpoint { path: root.to_owned(), problem, hint })
        }

        pub(super) fn of(&self, _: &str) -> Result<Vec<u32>, MergeError> {
            match *self {}
        }
    }
}
