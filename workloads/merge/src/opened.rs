//! A merge as a worker sees it: recipe, headers and layout brought together once, and used by all of its tasks.

use crate::{
    MergeError,
    adapter::{self, Adapter, Parts, fold},
    checkpoint::{Checkpoint, DataFile, Fold, Sources, Stamp},
    methods::{Folder, Joint},
    moe::{self, Gates},
    open_files::OpenFiles,
    output::{Claim, Layout, OutputFolder, PlanRecord, Staging, TensorShape},
    plan::{MergePlan, ModelHeader, PlanOptions, PlannedTensor, Source, TensorHeader},
    recipe::Recipe,
    reuse::Previous,
    run::{Lens, mean_bytes},
    spec::MergeSpec,
    tokenizer::TokenizerFile,
};
use blake3::Hasher;
use braid_kernels::GRANULE;
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Input files kept open between tasks.
const OPEN: usize = 64;

/// A merge of which everything but the tensors has been read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) spec: MergeSpec,
    pub(crate) recipe: Recipe,
    pub(crate) checkpoints: Vec<Checkpoint>,
    pub(crate) plan: MergePlan,
    pub(crate) layout: Layout,
    pub(crate) folder: OutputFolder,
    /// Identifies the merge.
    pub(crate) record: PlanRecord,
    /// What a person should know about the result.
    pub(crate) warnings: Vec<String>,
    /// Where the inputs lie.
    pub(crate) sources: Sources,
    /// The input files in use.
    pub(crate) files: OpenFiles<DataFile>,
    /// The earlier result that tensors may be taken from.
    pub(crate) previous: Option<Previous>,
    /// What an earlier run had done, as last read from the staging folder.
    pub(crate) kept: Mutex<Kept>,
}

/// Claims of an earlier run, with the stamp of the file that they were read from.
pub(crate) type Kept = Option<(Stamp, Arc<BTreeMap<usize, Claim>>)>;

impl Opened {
    /// Reads the recipe and the headers, and plans.
    pub(crate) fn open(spec: MergeSpec, sources: &Sources) -> Result<Self, MergeError> {
        let folder = spec.output()?;
        let recipe = spec.recipe()?;
        let (checkpoints, parts) = open_all(&spec, &recipe, sources)?;
        let wanted = recipe.tokenizer.is_some();
        let headers = checkpoints.iter().zip(parts).map(|(checkpoint, parts)| {
            let tokenizer = if wanted { TokenizerFile::open(sources, &checkpoint.root)?.map(Arc::new) } else { None };
            Ok((checkpoint.root.clone(), ModelHeader { tokenizer, ..header(checkpoint, parts) }))
        });
        let headers = headers.collect::<Result<Vec<_>, MergeError>>()?;
        let tokenizer =
            spec.locate_tokenizer(&recipe)?.map(|folder| TokenizerFile::open(sources, &folder)).transpose()?.flatten();
        let files = OpenFiles::new(OPEN, {
            let sources = sources.clone();
            move |path: &Path| sources.open(path)
        });
        let gates = moe::gates_of_prompts(&recipe, &checkpoints, &files)?;
        let warnings = recipe.mixture.as_ref().map_or_else(Vec::new, |mixture| moe::warnings(mixture, gates.as_ref()));
        let gates_bytes = gates.as_ref().map(Gates::bytes);
        let plan = MergePlan::new(&recipe, headers, &PlanOptions { seed: spec.seed, gates, tokenizer: tokenizer.map(Arc::new) })?;
        let layout = match plan.makes {
            Folder::Checkpoint => Layout::new(&shapes(&plan), spec.max_shard_size)?,
            // PEFT reads one file
            Folder::Adapter => Layout::new(&shapes(&plan), u64::MAX)?.named(adapter::TENSORS),
        };
        let inputs = checkpoints.iter().map(|checkpoint| checkpoint.stamps.clone()).collect();
        let record = PlanRecord { plan: digest(&spec, &checkpoints, &plan, gates_bytes.as_deref()), inputs };
        let previous = spec.reuse.as_deref().map(|root| Previous::open(root, plan.makes, &checkpoints)).transpose()?;
        let kept = Mutex::default();
        let sources = sources.clone();
        Ok(Self { spec, recipe, checkpoints, plan, layout, folder, record, sources, files, warnings, previous, kept })
    }

    /// What an earlier run had done. The file is long where tensors are many, so it is read once and not by every task.
    pub(crate) fn kept(&self, staging: &Staging, boot: &str) -> Result<Arc<BTreeMap<usize, Claim>>, MergeError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match (staging.kept_stamp(), &*kept) {
            (None, _) => Ok(Arc::default()),
            (Some(stamp), Some((of, claims))) if stamp == *of => Ok(Arc::clone(claims)),
            (Some(stamp), _) => {
                let claims = Arc::new(staging.kept(boot)?);
                *kept = Some((stamp, Arc::clone(&claims)));
                Ok(claims)
            }
        }
    }

    /// The names, types and shapes of the output.
    pub(crate) fn shapes(&self) -> Vec<TensorShape<'_>> {
        shapes(&self.plan)
    }

    /// The least memory for the buffers of one tile, of the largest kind that occurs.
    pub(crate) fn tile_bytes(&self) -> u64 {
        // what a lens makes of a source is f32, beside its bytes as they are read; so are rows that are computed
        let made = |source: &Source| {
            let scaled = self.checkpoints.get(source.model).is_some_and(|model| model.scales.contains_key(&source.tensor));
            let computed = scaled || self.fold(source).is_some() || source.rows.is_some();
            if computed { size_of::<f32>() as u64 } else { 0 }
        };
        let per_element = self.plan.tensors.iter().map(|tensor| {
            let element = tensor.sources.iter().map(|source| source.dtype.size() as u64 + made(source)).sum::<u64>()
                + tensor.dtype.size() as u64
                + tensor.parameters.scaling.map_or(0, |_| size_of::<f32>() as u64);
            // rows reach out of a tile by up to a granule on both sides
            if tensor.method.whole_rows(&tensor.parameters) { 3 * element } else { element }
        });
        per_element.max().unwrap_or(0).saturating_mul(GRANULE as u64).saturating_add(self.factor_bytes())
    }

    /// The most memory that the factors of a tensor's folds take, and the means of its rows.
    fn factor_bytes(&self) -> u64 {
        let of = |tensor: &PlannedTensor| {
            let factors = tensor.sources.iter().filter_map(|source| self.fold(source)).map(|fold| fold.factors.memory());
            let means = tensor.sources.iter().filter(|source| source.bytes_ahead() > 0);
            factors.chain(means.map(|source| mean_bytes(source.row_elements()))).fold(0, u64::saturating_add)
        };
        self.plan.tensors.iter().map(of).max().unwrap_or(0)
    }

    /// The most memory that a piece of work holds.
    pub(crate) fn piece_bytes(&self) -> u64 {
        self.plan.pieces.iter().map(|piece| piece.memory).max().unwrap_or(0)
    }

    /// The tensors of each piece.
    pub(crate) fn pieces(&self) -> Vec<Range<usize>> {
        self.plan.pieces.iter().map(|piece| piece.tensors.clone()).collect()
    }

    /// What an adapter adds to a source.
    pub(crate) fn fold(&self, source: &Source) -> Option<&Fold> {
        self.checkpoints.get(source.model)?.folds.get(&source.tensor)
    }

    /// Requires that the merge is the one with this digest, and that no input has changed since it was opened.
    pub(crate) fn check(&self, plan: &str) -> Result<(), MergeError> {
        if self.record.plan != plan {
            return Err(MergeError::OtherPlan { planned: plan.to_owned(), here: self.record.plan.clone() });
        }
        self.checkpoints.iter().try_for_each(Checkpoint::check_unchanged)
    }
}

/// What a tensor of a checkpoint is read through.
pub(crate) fn lens_of(files: &OpenFiles<DataFile>, checkpoint: &Checkpoint, tensor: &str) -> Result<Option<Lens>, MergeError> {
    let file = |index: usize| files.get(&checkpoint.files[index]);
    Ok(match (checkpoint.folds.get(tensor), checkpoint.scales.get(tensor)) {
        (Some(fold), _) => Some(Lens::Adapted(fold.factors.read(&*file(fold.file)?)?)),
        (None, Some(scales)) => Some(Lens::Scaled(scales.read(&*file(scales.info.file)?)?)),
        (None, None) => None,
    })
}

/// Every model of the recipe, with the adapter that it puts on it.
fn open_all(spec: &MergeSpec, recipe: &Recipe, sources: &Sources) -> Result<(Vec<Checkpoint>, Vec<Parts>), MergeError> {
    let takes = recipe.method.joint().map_or(Folder::Checkpoint, Joint::takes);
    let open = |(root, adapter): (PathBuf, Option<PathBuf>)| match (takes, adapter) {
        (Folder::Checkpoint, None) => Ok((Checkpoint::open_in(sources, &root)?, Parts::default())),
        (Folder::Checkpoint, Some(adapter)) => {
            Ok((fold(Checkpoint::open_in(sources, &root)?, Adapter::open(sources, &adapter)?)?, Parts::default()))
        }
        (Folder::Adapter, None) => Adapter::open(sources, &root).map(|adapter| (adapter.checkpoint, adapter.parts)),
        (Folder::Adapter, Some(_)) => Err(MergeError::Checkpoint {
            path: root,
            problem: format!("{} merges adapters without their base", recipe.method.name()),
            hint: Some("name the folder of the adapter alone".into()),
        }),
    };
    let opened: Result<Vec<_>, _> = spec.locate(recipe)?.into_iter().zip(spec.locate_adapters(recipe)?).map(open).collect();
    Ok(opened?.into_iter().unzip())
}

fn shapes(plan: &MergePlan) -> Vec<TensorShape<'_>> {
    plan.tensors.iter().map(|tensor| TensorShape { name: &tensor.name, dtype: tensor.dtype, shape: &tensor.shape }).collect()
}

fn header(checkpoint: &Checkpoint, parts: Parts) -> ModelHeader {
    let tensor = |(name, info): (&String, &crate::checkpoint::TensorInfo)| {
        (name.clone(), TensorHeader { dtype: info.dtype, shape: info.shape.clone() })
    };
    let (config, becomes) = (checkpoint.config.clone(), checkpoint.becomes());
    let tensors = checkpoint.tensors.iter().map(tensor).collect();
    ModelHeader { config, tensors, becomes, tokenizer: None, parts }
}

/// The digest of all that decides the result but the bytes of the inputs. It is the same on every worker, whatever the
/// folders are mounted as there.
fn digest(spec: &MergeSpec, checkpoints: &[Checkpoint], plan: &MergePlan, gates: Option<&[u8]>) -> String {
    let mut hasher = Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    part(env!("CARGO_PKG_VERSION").as_bytes());
    part(spec.recipe.as_bytes());
    part(&spec.max_shard_size.to_le_bytes());
    part(&spec.seed.to_le_bytes());
    checkpoints.iter().for_each(|checkpoint| part(checkpoint.digest.as_bytes()));
    part(plan.canonical().to_string().as_bytes());
    // what prompts come to hangs on the tokenizer too
    gates.into_iter().for_each(&mut part);
    if let Some(vocabulary) = &plan.vocabulary {
        part(vocabulary.file.digest.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
