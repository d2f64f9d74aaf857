//! The methods of merging, one file or family each, and the table of them.
//!
//! A method is handed one output tensor at a time: its resolved parameters and passes over its tiles. It decides how many
//! passes it takes; the arithmetic is in the kernels. To add a method: one file here, one line in [`METHODS`].

mod arcee_fusion;
mod buffer;
mod elementwise;
mod error;
mod fisher;
mod joint;
mod karcher;
mod linear;
mod lora;
mod matching;
mod model_stock;
mod moe;
mod monna;
mod multislerp;
mod nearswap;
mod nuslerp;
mod opcm;
mod parameter;
mod passthrough;
mod pcb;
mod ram;
mod reads;
mod sce;
mod search;
mod slerp;
mod span;
mod sparsify;
mod task_arithmetic;
#[cfg(test)]
mod tests;
mod ties_published;
mod tsvm;
mod varm;
mod whole;
mod widen;

pub(crate) use buffer::Buffer;
pub use elementwise::{Elementwise, MadeOf};
pub use error::MethodError;
pub use joint::{AdaptedModule, Case, Folder, Joint, Made, Piece, Report, Work};
pub(crate) use moe::{Moe, Part};
pub use parameter::{Absent, Kind, Parameter, Scalar, Scope, TensorParameters, Values};
pub(crate) use passthrough::{Passthrough, factor};
pub use reads::Reads;

use crate::{MergeError, plan::PlannedTensor, run::Tiles, survey::Survey};
use std::fmt;

/// Every method that Braid has, in the order in which errors list them.
pub static METHODS: &[&dyn Method] = &[
    &linear::Linear,
    &task_arithmetic::TASK_ARITHMETIC,
    &task_arithmetic::TIES,
    &task_arithmetic::DARE_LINEAR,
    &task_arithmetic::DARE_TIES,
    &task_arithmetic::BREADCRUMBS,
    &task_arithmetic::BREADCRUMBS_TIES,
    &task_arithmetic::DELLA,
    &task_arithmetic::DELLA_LINEAR,
    &sce::SCE,
    &model_stock::ModelStock,
    &ram::RAM,
    &ram::RAM_PLUS_TL,
    &nearswap::NearSwap,
    &arcee_fusion::ArceeFusion,
    &slerp::Slerp,
    &nuslerp::NuSlerp,
    &multislerp::MultiSlerp,
    &karcher::Karcher,
    &passthrough::Passthrough,
    &task_arithmetic::DARE_PUBLISHED,
    &sce::SCE_PUBLISHED,
    &varm::VaRm,
    &widen::Widen,
    &ties_published::TiesPublished,
    &pcb::Pcb,
    &fisher::Fisher,
    &monna::Monna,
    &opcm::Opcm,
    &tsvm::TSVM,
    &tsvm::TSVM_REWEIGHTED,
    &matching::WeightMatching,
    &lora::LoraMerge,
    &lora::LoraLego,
    &lora::LoraExtract,
];

/// A way to make one tensor of several.
pub trait Method: Sync {
    /// Its name in recipes.
    fn name(&self) -> &'static str;

    /// What a recipe may set for it.
    fn parameters(&self) -> &'static [Parameter];

    /// How many inputs it takes, and what a base is to it.
    fn contract(&self) -> Contract;

    /// What one element of the output depends on.
    fn class(&self) -> Class;

    /// What it reads to make a tensor by itself.
    fn reads(&self, tensor: &PlannedTensor) -> Reads {
        let _ = tensor;
        Reads::of_class(self)
    }

    /// Whether tiles must see whole rows, which takes more memory; with [`Tiles::write_rows`] or [`Tiles::measure_rows`].
    fn whole_rows(&self, parameters: &TensorParameters) -> bool {
        let _ = parameters;
        false
    }

    /// Whether what it makes is the base and something added to it, so that a part of that can be added.
    fn adds_to_base(&self) -> bool {
        matches!(self.contract().base, BaseRule::Required | BaseRule::Optional)
    }

    /// Whether these values make sense together; pure, called before anything is read.
    ///
    /// # Errors
    /// What is wrong with them.
    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        let _ = parameters;
        Ok(())
    }

    /// How it plans tensors that it makes together, if it does.
    fn joint(&self) -> Option<&'static dyn Joint> {
        None
    }

    /// The key under which every model names a second checkpoint, with one number for each of its elements, if it needs one. The second
    /// checkpoints are inputs too, after all models and in their order.
    fn companion(&self) -> Option<&'static str> {
        None
    }

    /// What it asks about whole models before any tensor is merged, if it does.
    fn survey(&self) -> Option<&'static dyn Survey> {
        None
    }

    /// How it makes a tile by itself, where a tile of the output depends on that tile of the inputs alone.
    fn elementwise(&self) -> Option<&dyn Elementwise> {
        None
    }

    /// Computes one output tensor by itself.
    ///
    /// # Errors
    /// Whatever reading, computing or writing meets.
    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError>;
}

/// A value that a method cannot work with.
#[derive(Debug, Clone, PartialEq)]
pub struct BadValue {
    /// The parameter.
    pub parameter: &'static str,
    /// The input that has it; none where it belongs to all of them.
    pub input: Option<usize>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How many inputs a method takes, and what a base is to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contract {
    /// The base.
    pub base: BaseRule,
    /// The fewest inputs, not counting a base that the others are compared with.
    pub min: usize,
    /// The most inputs, counted alike; none for any number.
    pub max: Option<usize>,
}

/// What a base is to a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseRule {
    /// The others are compared with it.
    Required,
    /// If there is one, the others are compared with it.
    Optional,
    /// One more input like the others.
    Input,
    /// Nothing: it only gives the output its config and tokenizer.
    Unused,
}

/// What one element of the output depends on: decides the number of passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The same element of every input: one pass.
    Elementwise,
    /// The row it is in.
    Row,
    /// The whole tensor, through some statistic: a measuring pass, then a writing one.
    Tensor,
    /// All tensors of a model.
    Global,
    /// Tensors that share hidden units: one worker has all of them.
    Group,
}

/// The method of this name.
pub fn find(name: &str) -> Option<&'static dyn Method> {
    METHODS.iter().copied().find(|method| method.name() == name)
}

impl fmt::Debug for dyn Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for dyn Method {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}
