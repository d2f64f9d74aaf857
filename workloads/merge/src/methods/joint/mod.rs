//! Methods that make tensors of the output together, each of whole tensors of the inputs.
//!
//! ```text
//! plan:  same-named tensors, or the modules of adapters ── Joint::arrange ──▶ pieces
//!            a piece is one tensor by itself (tile by tile, as any method), or several with the work that makes them
//! run:   a task takes whole pieces ── Work::run(Room) ──▶ their tensors, and a note about how it went
//! end:   Joint::report(notes) ──▶ a file of the result
//! ```
//!
//! A piece is never split over workers. Its tensors are held in memory whole, which [`Piece`] says beforehand.

mod map;
mod matrix;

pub(crate) use map::{input_first, module_of};
pub(crate) use matrix::Matrices;

use crate::{
    MergeError,
    adapter::Factors,
    methods::TensorParameters,
    plan::{PlannedTensor, Source},
    run::Room,
};
use braid_kernels::Dtype;
use serde_json::{Map, Value};
use std::{fmt, sync::Arc};

/// What a folder of tensors is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    /// A checkpoint, with `config.json` and a tokenizer.
    Checkpoint,
    /// A LoRA adapter in PEFT's layout.
    Adapter,
}

/// The part of a method that plans its pieces; pure.
pub trait Joint: Sync {
    /// What its inputs are.
    fn takes(&self) -> Folder {
        Folder::Checkpoint
    }

    /// What its output is.
    fn makes(&self) -> Folder {
        Folder::Checkpoint
    }

    /// The pieces of the output, in its order.
    ///
    /// # Errors
    /// What the inputs cannot be merged for, as the end of a sentence that begins with the method.
    fn arrange(&self, case: Case<'_>) -> Result<Vec<Piece>, String>;

    /// Files of the result beside its tensors, as names and JSON, from the notes of all pieces in order.
    fn report(&self, case: &Report<'_>) -> Vec<(String, Value)>;
}

/// What a method arranges.
#[derive(Debug)]
pub struct Case<'a> {
    /// The output's tensors as a method without pieces would make them; none where adapters go in.
    pub tensors: Vec<PlannedTensor>,
    /// The modules that the adapters change; none where checkpoints go in.
    pub modules: Vec<AdaptedModule>,
    /// The config of the model that gives the output its own.
    pub config: &'a Map<String, Value>,
}

/// What a method reports on.
#[derive(Debug)]
pub struct Report<'a> {
    /// The config of the model that gives the output its own.
    pub config: &'a Map<String, Value>,
    /// The folder of the base, as the recipe names it.
    pub base: Option<&'a str>,
    /// The output's tensors.
    pub tensors: &'a [PlannedTensor],
    /// The notes of all pieces, in the order of their tensors.
    pub notes: Vec<&'a Value>,
}

/// A module, and the factors by which each input changes it.
#[derive(Debug, Clone)]
pub struct AdaptedModule {
    /// Its name in the base.
    pub name: String,
    /// The factors of each input that has some: the number of the input, the sources of `A` and `B`, and what they are.
    pub inputs: Vec<(usize, [Source; 2], Factors)>,
    /// What the recipe says, for all inputs.
    pub parameters: TensorParameters,
    /// The dtype of the output.
    pub dtype: Dtype,
}

/// Tensors of the output that are made together, or one that is made by itself.
#[derive(Debug)]
pub enum Piece {
    /// Tile by tile, by the tensor's own method.
    Alone(PlannedTensor),
    /// By one piece of work.
    Together {
        /// The tensors that it makes.
        makes: Vec<Made>,
        /// What it reads, whole.
        sources: Vec<Source>,
        /// What the recipe says about it.
        parameters: TensorParameters,
        /// The bytes that it holds at a time.
        memory: u64,
        /// The work.
        work: Arc<dyn Work>,
    },
}

/// A tensor that a piece of work makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// Its type.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<u64>,
}

/// Computing the tensors of a piece.
pub trait Work: Send + Sync + fmt::Debug {
    /// Reads what it needs, writes every tensor, and says how it went.
    ///
    /// # Errors
    /// Whatever reading, computing or writing meets.
    fn run(&self, room: &Room<'_>) -> Result<Value, MergeError>;
}
