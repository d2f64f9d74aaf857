//! What the models of a recipe are: checkpoints in folders, with the adapters on them, or what earlier recipes of the file make.
//!
//! A stage that is written to a disk is the checkpoint that its layout says, whether it is there yet or not. One that is never written
//! ([composed](super::Opened::composed)) is a checkpoint without files.

use super::{Opened, place::Place};
use crate::{
    MergeError,
    adapter::{self, Adapter, Parts},
    checkpoint::{Checkpoint, Sources, Stamp, TensorInfo},
    methods::{Folder, Joint},
    plan::{ModelHeader, TensorHeader},
    recipe::{Recipe, Stage, Stages},
    spec::MergeSpec,
    tokenizer::TokenizerFile,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A model of a recipe.
pub(super) struct Model {
    pub(super) checkpoint: Checkpoint,
    pub(super) parts: Parts,
    /// The recipes that make it and the adapter on it, if any do.
    pub(super) made: Made,
}

/// The recipes of the same file that make a model: itself, and the adapter on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made {
    /// The recipe that makes what the adapter is put on, or all of it.
    pub(crate) model: Option<Arc<Opened>>,
    /// The recipe that makes the adapter.
    pub(crate) adapter: Option<Arc<Opened>>,
}

impl Made {
    /// Both.
    pub(crate) fn stages(&self) -> impl Iterator<Item = &Opened> {
        [&self.model, &self.adapter].into_iter().filter_map(Option::as_deref)
    }
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
        let (roots, adapters) = (spec.locate(stages, stage)?, spec.locate_adapters(stages, stage)?);
        let made = |index: &Option<usize>| index.and_then(|index| before.get(index)).cloned();
        let mut models = Vec::with_capacity(recipe.models.len());
        for (index, ((model, root), adapter)) in recipe.models.iter().zip(roots).zip(adapters).enumerate() {
            let (of_model, of_adapter) = (stage.models.get(index), stage.adapters.get(index));
            let made = Made { model: of_model.and_then(made), adapter: of_adapter.and_then(made) };
            let place = Place { recipe, model, root, adapter, sources };
            models.push(match takes(recipe) {
                Folder::Checkpoint => place.checkpoint(made)?,
                Folder::Adapter => place.adapter_alone(made)?,
            });
        }
        Ok(models)
    }

    /// What the plan needs to know of it.
    pub(super) fn header(&self, sources: &Sources, with_tokenizer: bool) -> Result<ModelHeader, MergeError> {
        let Self { checkpoint, parts, made } = self;
        let tensor =
            |(name, info): (&String, &TensorInfo)| (name.clone(), TensorHeader { dtype: info.dtype, shape: info.shape.clone() });
        let composed = made.model.as_ref().filter(|stage| stage.composed);
        let computed: BTreeMap<String, u64> = composed.iter().flat_map(|stage| stage.bytes_of_tensors()).collect();
        Ok(ModelHeader {
            config: checkpoint.config.clone(),
            tensors: checkpoint.tensors.iter().map(tensor).collect(),
            becomes: checkpoint.becomes(),
            computed,
            tokenizer: if with_tokenizer { tokenizer(sources, made.model.as_deref(), &checkpoint.root)? } else { None },
            parts: parts.clone(),
        })
    }

    /// The files that it goes back to, as they were found. Those of a stage that uses a model in two ways are there once.
    pub(super) fn stamps(&self) -> Vec<Stamp> {
        let made: BTreeSet<Stamp> = self.made.stages().flat_map(|stage| stage.record.inputs.iter().flatten()).copied().collect();
        made.into_iter().chain(self.checkpoint.found().map(|(_, stamp)| *stamp)).collect()
    }
}

/// What a recipe's models are.
fn takes(recipe: &Recipe) -> Folder {
    recipe.method.joint().map_or(Folder::Checkpoint, Joint::takes)
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
            None => tokenizer(&self.sources, self.made.get(self.plan.donor).and_then(|made| made.model.as_deref()), donor)?,
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
    pub(super) fn as_checkpoint(&self) -> Checkpoint {
        let shard = |name: &String| self.output.out().join(name);
        let files: Vec<PathBuf> =
            if self.composed { Vec::new() } else { self.layout.shards.iter().map(|s| shard(&s.name)).collect() };
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
            stamps: vec![None; files.len()],
            files,
            digest: blake3::hash(self.record.plan.as_bytes()),
        }
    }

    /// The adapter that it makes, as a later recipe sees it; `None` where it makes a checkpoint.
    pub(super) fn as_adapter(&self) -> Result<Option<Adapter>, MergeError> {
        let (Folder::Adapter, Some(joint)) = (self.plan.makes, self.plan.method.joint()) else { return Ok(None) };
        // what the work will say of itself is in other files
        let files = joint.report(&self.report(Vec::new())?);
        let config = files.into_iter().find_map(|(name, config)| match config {
            Value::Object(config) if name == adapter::CONFIG => Some(config),
            _ => None,
        });
        let config =
            config.ok_or_else(|| MergeError::Task(format!("{} makes no {}", self.plan.method.name(), adapter::CONFIG)))?;
        Adapter::of(Checkpoint { config, ..self.as_checkpoint() }).map(Some)
    }

    /// The bytes that are read for each tensor.
    fn bytes_of_tensors(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        self.plan.tensors.iter().map(|tensor| (tensor.name.clone(), tensor.bytes_in()))
    }
}
