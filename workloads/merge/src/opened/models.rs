//! What the models of a recipe are: checkpoints in folders, with the adapters on them, or what earlier recipes of the file make.
//!
//! A stage that is written to a disk is the checkpoint that its layout says, whether it is there yet or not. One that is never written
//! ([composed](super::Opened::composed)) is a checkpoint without files.

use super::Opened;
use crate::{
    MergeError,
    adapter::{Adapter, Parts, fold},
    checkpoint::{Checkpoint, Sources, Stamp, TensorInfo},
    methods::{Folder, Joint},
    plan::{ModelHeader, TensorHeader},
    recipe::{ModelRef, Problem, Recipe, RecipeError, Stage, Stages},
    spec::MergeSpec,
    tokenizer::TokenizerFile,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

/// A model of a recipe.
pub(super) struct Model {
    pub(super) checkpoint: Checkpoint,
    pub(super) parts: Parts,
    /// The recipe that makes it, if one does.
    pub(super) made: Option<Arc<Opened>>,
}

impl Model {
    /// Every model of a recipe, with the adapter that it puts on it; `before` are the stages that it may use.
    pub(super) fn open_all(
        spec: &MergeSpec,
        stages: &Stages,
        stage: &Stage,
        before: &[Arc<Opened>],
        sources: &Sources,
    ) -> Result<Vec<Self>, MergeError> {
        let recipe = &stage.recipe;
        let mut models = Vec::with_capacity(recipe.models.len());
        let places = spec.locate(stages, stage)?.into_iter().zip(spec.locate_adapters(recipe)?);
        for ((model, made), place) in recipe.models.iter().zip(&stage.models).zip(places) {
            models.push(match (made.and_then(|index| before.get(index)), place) {
                (Some(stage), (_, adapter)) => Self::made_by(stage, recipe, model, adapter.as_deref(), sources)?,
                (None, (Some(root), adapter)) => Self::in_folder(recipe, &root, adapter.as_deref(), sources)?,
                (None, (None, _)) => return Err(MergeError::Task(format!("model {:?} has no place", model.path))),
            });
        }
        Ok(models)
    }

    fn in_folder(recipe: &Recipe, root: &Path, adapter: Option<&Path>, sources: &Sources) -> Result<Self, MergeError> {
        if takes(recipe) == Folder::Checkpoint {
            let checkpoint = with(adapter, Checkpoint::open_in(sources, root)?, sources)?;
            return Ok(Self { checkpoint, parts: Parts::default(), made: None });
        }
        if adapter.is_some() {
            let problem = format!("{} merges adapters without their base", recipe.method.name());
            let hint = Some("name the folder of the adapter alone".into());
            return Err(MergeError::Checkpoint { path: root.to_owned(), problem, hint });
        }
        let Adapter { checkpoint, parts, .. } = Adapter::open(sources, root)?;
        Ok(Self { checkpoint, parts, made: None })
    }

    fn made_by(
        stage: &Arc<Opened>,
        recipe: &Recipe,
        model: &ModelRef,
        adapter: Option<&Path>,
        sources: &Sources,
    ) -> Result<Self, MergeError> {
        if takes(recipe) == Folder::Adapter || stage.plan.makes == Folder::Adapter {
            let problem = Problem::NotYet(format!("`{}`, an adapter that a recipe of the same file makes,", model.path));
            let error = RecipeError::new(recipe.place(model.at), problem);
            return Err(error.hint_is("make it first, by a file of its own, and name its folder here").into());
        }
        let checkpoint = with(adapter, stage.as_checkpoint(), sources)?;
        Ok(Self { checkpoint, parts: Parts::default(), made: Some(Arc::clone(stage)) })
    }

    /// What the plan needs to know of it.
    pub(super) fn header(&self, sources: &Sources, with_tokenizer: bool) -> Result<ModelHeader, MergeError> {
        let Self { checkpoint, parts, made } = self;
        let tensor =
            |(name, info): (&String, &TensorInfo)| (name.clone(), TensorHeader { dtype: info.dtype, shape: info.shape.clone() });
        let composed = made.as_ref().filter(|stage| stage.composed);
        let computed: BTreeMap<String, u64> = composed.iter().flat_map(|stage| stage.bytes_of_tensors()).collect();
        Ok(ModelHeader {
            config: checkpoint.config.clone(),
            tensors: checkpoint.tensors.iter().map(tensor).collect(),
            becomes: checkpoint.becomes(),
            computed,
            tokenizer: if with_tokenizer { tokenizer(sources, made.as_deref(), &checkpoint.root)? } else { None },
            parts: parts.clone(),
        })
    }

    /// The files that it goes back to, as they were found. Those of a stage that uses a model in two ways are there once.
    pub(super) fn stamps(&self) -> Vec<Stamp> {
        let made: BTreeSet<Stamp> = self.made.iter().flat_map(|stage| stage.record.inputs.iter().flatten()).copied().collect();
        made.into_iter().chain(self.checkpoint.stamps.iter().copied()).collect()
    }
}

/// What a recipe's models are.
fn takes(recipe: &Recipe) -> Folder {
    recipe.method.joint().map_or(Folder::Checkpoint, Joint::takes)
}

/// A checkpoint with this adapter on it.
fn with(adapter: Option<&Path>, checkpoint: Checkpoint, sources: &Sources) -> Result<Checkpoint, MergeError> {
    match adapter {
        Some(adapter) => fold(checkpoint, Adapter::open(sources, adapter)?),
        None => Ok(checkpoint),
    }
}

/// The tokenizer of a model in the folder `root`, or of what a stage makes.
fn tokenizer(sources: &Sources, made: Option<&Opened>, root: &Path) -> Result<Option<Arc<TokenizerFile>>, MergeError> {
    match made {
        Some(stage) => stage.tokenizer(),
        None => Ok(TokenizerFile::open(sources, root)?.map(Arc::new)),
    }
}

impl Opened {
    /// The tokenizer that the output has, in the folder in which it will be.
    pub(super) fn tokenizer(&self) -> Result<Option<Arc<TokenizerFile>>, MergeError> {
        let root = self.root();
        let donor = self.checkpoints.get(self.plan.donor).map_or(root, |donor| donor.root.as_path());
        let found = match &self.plan.vocabulary {
            Some(vocabulary) if !vocabulary.additions.is_empty() => {
                let text = crate::output::tokenizer_text(&self.sources, vocabulary)?;
                return Ok(Some(Arc::new(TokenizerFile::parse(root, text.as_bytes())?)));
            }
            Some(vocabulary) => Some(Arc::clone(&vocabulary.file)),
            None => tokenizer(&self.sources, self.made.get(self.plan.donor).and_then(Option::as_deref), donor)?,
        };
        Ok(found.map(|file| match file.folder == root {
            true => file,
            false => Arc::new(file.in_folder(root)),
        }))
    }

    /// The folder of what it makes; of what is never written, that of the model that gives it tokenizer and config.
    pub(super) fn root(&self) -> &Path {
        let donor = self.checkpoints.get(self.plan.donor).filter(|_| self.composed);
        donor.map_or_else(|| self.output.out(), |donor| &donor.root)
    }

    /// What it makes, as a later recipe sees it.
    fn as_checkpoint(&self) -> Checkpoint {
        let shard = |name: &String| self.output.out().join(name);
        let files = if self.composed { Vec::new() } else { self.layout.shards.iter().map(|s| shard(&s.name)).collect() };
        let tensors = self.plan.tensors.iter().zip(&self.layout.places).map(|(tensor, place)| {
            let (dtype, shape) = (tensor.dtype, tensor.shape.clone());
            (tensor.name.clone(), TensorInfo { dtype, shape, file: place.shard, offset: place.offset, bytes: place.bytes })
        });
        Checkpoint {
            root: self.root().to_owned(),
            config: self.plan.config.clone(),
            tensors: tensors.collect(),
            folds: BTreeMap::new(),
            scales: BTreeMap::new(),
            files,
            stamps: Vec::new(),
            digest: blake3::hash(self.record.plan.as_bytes()),
        }
    }

    /// The bytes that are read for each tensor.
    fn bytes_of_tensors(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        self.plan.tensors.iter().map(|tensor| (tensor.name.clone(), tensor.bytes_in()))
    }
}
