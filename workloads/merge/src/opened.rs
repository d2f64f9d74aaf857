//! A merge as a worker sees it: recipe, headers and layout brought together once, and used by all of its tasks. Of a file of several
//! recipes, one of these for each.

mod inputs;
mod memory;
mod models;
mod place;

pub(crate) use inputs::lens_of;

use crate::{
    MergeError, adapter,
    checkpoint::{Checkpoint, DataFile, Fold, Sources, Stamp},
    groups::unparted,
    methods::{Folder, Report},
    moe::{self, Gates},
    open_files::OpenFiles,
    output::{Claim, Layout, Output, PlanRecord, StagingFolder, TensorShape},
    plan::{MergePlan, PlanOptions, PlannedTensor, Source},
    recipe::{ModelRef, Recipe, Stage, Stages},
    reuse::{Previous, identities, write_inputs},
    spec::MergeSpec,
    tokenizer::TokenizerFile,
};
use blake3::Hasher;
use models::{Made, Model};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// Input files kept open between tasks.
const OPEN: usize = 64;

/// The most bytes that are read to compute one of a stage that is never written. Stages of stages multiply: beyond this, writing
/// costs less.
const MOST_READ: u64 = 16;
/// The most bytes that an element of such a stage takes in memory while it is computed.
const MOST_HELD: u64 = 128;

/// A recipe of which everything but the tensors has been read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) spec: MergeSpec,
    pub(crate) recipe: Recipe,
    /// What its models are.
    pub(crate) checkpoints: Vec<Checkpoint>,
    /// For each of them the recipes that make it and its adapter, if any do.
    pub(crate) made: Vec<Made>,
    /// All recipes of its file that come before it; of none but the last.
    pub(crate) before: Vec<Arc<Opened>>,
    /// Whether what it makes is for later recipes of its file alone.
    pub(crate) is_stage: bool,
    /// Whether what it makes is never written, but computed by those who read it.
    pub(crate) composed: bool,
    pub(crate) plan: MergePlan,
    /// The number of each tensor of the plan.
    numbers: HashMap<String, usize>,
    pub(crate) layout: Layout,
    /// Where the result goes.
    pub(crate) output: Output,
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
    /// Reads the recipes and the headers, and plans; what is returned is the one that gives the result.
    pub(crate) fn open(spec: &MergeSpec, sources: &Sources) -> Result<Self, MergeError> {
        let stages = spec.stages()?;
        spec.check_out()?;
        let output = spec.output(sources)?;
        let parent = spec.stages_folder(&stages)?.unwrap_or_default();
        let mut before: Vec<Arc<Self>> = Vec::new();
        for (index, stage) in stages.before().iter().enumerate() {
            let spec = MergeSpec { recipe: stage.text.clone(), reuse: None, ..spec.clone() };
            let mut opened = Self::open_one(spec, &stages, stage, &before, sources, output.clone())?;
            opened.is_stage = true;
            opened.composed = opened.can_be_composed() && stages.users(index).all(|(by, model)| takes_tiles(by, model));
            // Named by what it makes: another recipe finds nothing of it.
            let name = opened.record.plan.get(..16).unwrap_or(&opened.record.plan);
            opened.spec.out = parent.join(name);
            opened.output = opened.spec.output(sources)?;
            opened.tell_inputs()?;
            before.push(Arc::new(opened));
        }
        let mut last = Self::open_one(spec.clone(), &stages, stages.result(), &before, sources, output)?;
        last.tell_inputs()?;
        Ok(Self { before, ..last })
    }

    fn open_one(
        spec: MergeSpec,
        stages: &Stages,
        stage: &Stage,
        before: &[Arc<Self>],
        sources: &Sources,
        output: Output,
    ) -> Result<Self, MergeError> {
        let recipe = stage.recipe.clone();
        let models = Model::open_all(&spec, stages, stage, before, sources)?;
        let wanted = recipe.tokenizer.is_some();
        let header = |model: &Model| Ok((model.checkpoint.root.clone(), model.header(sources, wanted)?));
        let headers = models.iter().map(header).collect::<Result<Vec<_>, MergeError>>()?;
        let tokenizer = match stage.tokenizer.and_then(|index| before.get(index)) {
            Some(stage) => stage.tokenizer()?,
            None => spec
                .locate_tokenizer(stage)?
                .map(|folder| TokenizerFile::open(sources, &folder))
                .transpose()?
                .flatten()
                .map(Arc::new),
        };
        let inputs = models.iter().map(Model::stamps).collect();
        let (checkpoints, made): (Vec<_>, Vec<_>) = models.into_iter().map(|model| (model.checkpoint, model.made)).unzip();
        let files = OpenFiles::new(OPEN, {
            let sources = sources.clone();
            move |path: &Path| sources.open(path)
        });
        moe::refuse_prompts_to_stages(&recipe, &stage.models)?;
        let gates = moe::gates_of_prompts(&recipe, &checkpoints, sources, &files)?;
        let warnings = recipe.mixture.as_ref().map_or_else(Vec::new, |mixture| moe::warnings(mixture, gates.as_ref()));
        let gates_bytes = gates.as_ref().map(Gates::bytes);
        let plan = MergePlan::new(&recipe, headers, &PlanOptions { seed: spec.seed, gates, tokenizer })?;
        let layout = match plan.makes {
            Folder::Checkpoint => Layout::new(&shapes(&plan), spec.max_shard_size)?,
            // PEFT reads one file
            Folder::Adapter => Layout::new(&shapes(&plan), u64::MAX)?.named(adapter::TENSORS),
        };
        let record = PlanRecord { plan: digest(&spec, &checkpoints, &plan, gates_bytes.as_deref()), inputs };
        let previous = spec.reuse.as_deref().map(|root| Previous::open(sources, root, plan.makes, &checkpoints)).transpose()?;
        let numbers = plan.tensors.iter().enumerate().map(|(number, tensor)| (tensor.name.clone(), number)).collect();
        Ok(Self {
            spec,
            recipe,
            checkpoints,
            made,
            before: Vec::new(),
            is_stage: false,
            composed: false,
            plan,
            numbers,
            layout,
            output,
            record,
            warnings,
            sources: sources.clone(),
            files,
            previous,
            kept: Mutex::default(),
        })
    }

    /// Lets a place in a store know the result of these inputs from that of others.
    fn tell_inputs(&mut self) -> Result<(), MergeError> {
        if let Output::Prefix(prefix) = &mut self.output {
            prefix.inputs = input_files(&self.checkpoints, &self.made)?;
        }
        Ok(())
    }

    /// Whether every tensor can be made tile by tile, at a price that is worth it, and the rest of what it makes is that of its donor.
    fn can_be_composed(&self) -> bool {
        let plan = &self.plan;
        let as_its_donor = plan.vocabulary.is_none() && plan.chat_template.is_none() && plan.makes == Folder::Checkpoint;
        let cheap = |tensor: &PlannedTensor| {
            let held: u64 = tensor.sources.iter().map(|source| source.dtype.size() as u64 + self.beside(source)).sum();
            held <= MOST_HELD && tensor.bytes_in() <= tensor.bytes_out().saturating_mul(MOST_READ)
        };
        let tiled = |tensor: &PlannedTensor| tensor.is_elementwise() && cheap(tensor);
        as_its_donor && plan.pieces.is_empty() && plan.survey.is_none() && plan.tensors.iter().all(tiled)
    }

    /// All recipes of the file, each after those that it uses; the last is this one.
    pub(crate) fn recipes(&self) -> impl Iterator<Item = &Self> {
        self.before.iter().map(Arc::as_ref).chain([self])
    }

    /// All recipes whose results are written, each after those that it uses; the last is this one.
    pub(crate) fn written(&self) -> impl Iterator<Item = &Self> {
        self.recipes().filter(|recipe| !recipe.composed)
    }

    /// The one of [`written`](Self::written) whose plan has this digest.
    ///
    /// # Errors
    /// There is none: this is another merge than the one that was planned.
    pub(crate) fn with_plan(&self, plan: &str) -> Result<&Self, MergeError> {
        let found = self.written().find(|stage| stage.record.plan == plan);
        found.ok_or_else(|| MergeError::OtherPlan { planned: plan.to_owned(), here: self.record.plan.clone() })
    }

    /// The tensor of this name.
    fn tensor(&self, name: &str) -> Option<&PlannedTensor> {
        self.plan.tensors.get(*self.numbers.get(name)?)
    }

    /// What an earlier run had done. The file is long where tensors are many, so it is read once and not by every task.
    pub(crate) fn kept(&self, staging: &StagingFolder, boot: &str) -> Result<Arc<BTreeMap<usize, Claim>>, MergeError> {
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

    /// The tensors of each piece.
    pub(crate) fn pieces(&self) -> Vec<Range<usize>> {
        self.plan.pieces.iter().map(|piece| piece.tensors.clone()).collect()
    }

    /// The tensors that one task makes all of: those of a piece, and of a shard that is to be one object in a store.
    pub(crate) fn unparted(&self) -> Vec<Range<usize>> {
        match self.output {
            Output::Folder(_) => self.pieces(),
            Output::Prefix(_) => unparted(self.pieces(), self.layout.shards.iter().map(|shard| shard.tensors.as_slice())),
        }
    }

    /// What an adapter adds to a source.
    pub(crate) fn fold(&self, source: &Source) -> Option<&Fold> {
        self.checkpoints.get(source.model)?.folds.get(&source.tensor)
    }

    /// The models of all recipes: their folders, and the adapters on them as they are written.
    pub(crate) fn models(&self) -> BTreeSet<(&Path, Option<&str>)> {
        let mut models = BTreeSet::new();
        for Self { checkpoints, recipe, made, .. } in self.recipes() {
            let own = checkpoints.iter().zip(&recipe.models).zip(made).filter(|(_, made)| made.model.is_none());
            models.extend(own.map(|((checkpoint, model), made)| {
                (checkpoint.root.as_path(), model.adapter.as_deref().filter(|_| made.adapter.is_none()))
            }));
        }
        models
    }

    /// Whether a stage makes model `model`, or the adapter on it.
    pub(crate) fn is_made(&self, model: usize) -> bool {
        self.made.get(model).is_some_and(|made| made.stages().next().is_some())
    }

    /// What is known of all input files, of the recipes before it too, as a result keeps it.
    ///
    /// # Errors
    /// A file that is no longer the one that was opened.
    pub(crate) fn input_files(&self) -> Result<String, MergeError> {
        input_files(&self.checkpoints, &self.made)
    }

    /// What a method that makes tensors together reports on.
    ///
    /// # Errors
    /// A plan without a donor.
    pub(crate) fn report<'a>(&'a self, notes: Vec<&'a Value>) -> Result<Report<'a>, MergeError> {
        let (recipe, plan) = (&self.recipe, &self.plan);
        let donor = self.checkpoints.get(plan.donor);
        let donor = donor.ok_or_else(|| MergeError::Task("the plan names no donor of the config".into()))?;
        let base = recipe.base.and_then(|base| recipe.models.get(base)).map(|model| model.path.as_str());
        Ok(Report { config: &donor.config, base, tensors: &plan.tensors, notes })
    }

    /// Requires that no input of any recipe has changed since it was opened.
    pub(crate) fn check_unchanged(&self) -> Result<(), MergeError> {
        self.recipes().flat_map(|recipe| &recipe.checkpoints).try_for_each(Checkpoint::check_unchanged)
    }
}

/// Whether a recipe can do with the tiles of a model that is never written. A vocabulary picks rows, and an adapter is put on what is in files.
fn takes_tiles(by: &Recipe, model: &ModelRef) -> bool {
    by.tokenizer.is_none() && model.adapter.is_none()
}

/// What is known of the files of these models, and of those that the recipes have gone back to which make some of them.
fn input_files(checkpoints: &[Checkpoint], made: &[Made]) -> Result<String, MergeError> {
    let mut behind: Vec<&Checkpoint> =
        checkpoints.iter().zip(made).filter(|(_, made)| made.stages().next().is_some()).map(|(own, _)| own).collect();
    let (mut seen, mut left) = (BTreeSet::new(), made.iter().flat_map(Made::stages).collect::<Vec<_>>());
    while let Some(stage) = left.pop() {
        if seen.insert(stage.record.plan.as_str()) {
            behind.extend(&stage.checkpoints);
            left.extend(stage.made.iter().flat_map(Made::stages));
        }
    }
    let known = |checkpoint: &Checkpoint| match checkpoint.is_all_found() {
        true => identities(checkpoint),
        // It is not known by the files that were there before all of them were.
        false => Ok(Vec::new()),
    };
    let models = checkpoints.iter().map(known).collect::<Result<_, _>>()?;
    write_inputs(models, behind.into_iter().map(identities).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn shapes(plan: &MergePlan) -> Vec<TensorShape<'_>> {
    plan.tensors.iter().map(|tensor| TensorShape { name: &tensor.name, dtype: tensor.dtype, shape: &tensor.shape }).collect()
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
