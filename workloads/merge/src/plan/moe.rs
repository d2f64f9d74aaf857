//! Plans of mixtures of experts: attention, norms and embeddings from the base, an MLP from each expert, and gates.

use super::{
    MergePlan, PlanError, PlanOptions, PlanProblem, PlannedPiece, PlannedTensor, Source,
    config::{self, float_named},
    header::{ModelHeader, elements},
    names::{self, Anatomy},
    types,
};
use crate::{
    methods::{Folder, Made, Method, Moe, Part, TensorParameters},
    moe::{self, Fill, Filled, Layout, Place},
    recipe::{Expert, GateMode, Mixture, Recipe, Span},
};
use braid_kernels::{Dtype, MaskKey};
use std::{path::PathBuf, sync::Arc};

/// Where the layers of these models are.
const STACK: &str = "model.layers";
/// More tensors than this are a mistake.
const MAX_TENSORS: usize = 1 << 20;

/// Plans a mixture.
pub(super) fn plan(
    recipe: &Recipe,
    mixture: &Mixture,
    folders: Vec<PathBuf>,
    headers: &[ModelHeader],
    options: &PlanOptions,
) -> Result<MergePlan, PlanError> {
    let base = recipe.donor();
    let error = |at, problem: String| PlanError::new(recipe.place(at), joint(problem));
    let header = headers.get(base).ok_or_else(|| error(mixture.at, "there is no base".into()))?;
    let configs = headers.iter().zip(&recipe.models).map(|(header, model)| (model.name().into_owned(), &header.config));
    let layout = Layout::choose(mixture, configs).map_err(|problem| error(mixture.at, problem))?;
    let named = ["dtype", "torch_dtype"].into_iter().find_map(|key| float_named(header.config.get(key)?.as_str()?));
    let dtype = recipe.dtype.or(named);
    let builder = Builder { recipe, mixture, layout, headers, options, base, dtype, tensors: Vec::new(), pieces: Vec::new() };
    let (tensors, pieces) = builder.build(header)?;
    let mut config = moe::config(layout, &header.config, mixture);
    config::set_dtype(&mut config, types::common(&tensors), recipe.dtype.is_some());
    Ok(MergePlan {
        method: recipe.method,
        models: folders,
        donor: base,
        tensors,
        pieces,
        survey: None,
        makes: Folder::Checkpoint,
        config,
        vocabulary: None,
        chat_template: None,
    })
}

fn joint(problem: String) -> PlanProblem {
    PlanProblem::Joint { method: Moe.name(), problem }
}

struct Builder<'a> {
    recipe: &'a Recipe,
    mixture: &'a Mixture,
    layout: Layout,
    headers: &'a [ModelHeader],
    options: &'a PlanOptions,
    base: usize,
    /// The type of the result; each tensor's own where there is none.
    dtype: Option<Dtype>,
    tensors: Vec<PlannedTensor>,
    pieces: Vec<PlannedPiece>,
}

impl Builder<'_> {
    fn build(mut self, header: &ModelHeader) -> Result<(Vec<PlannedTensor>, Vec<PlannedPiece>), PlanError> {
        let names = header.tensors.keys().map(String::as_str).filter(|name| !names::is_frequencies(name));
        let anatomy = Anatomy::of(names);
        let model = self.path(self.base);
        if let Some(other) = anatomy.stacks.keys().find(|stack| **stack != STACK) {
            return Err(self.error(Span::default(), format!("model `{model}` has layers {other:?} beside {STACK:?}")));
        }
        let Some(layers) = anatomy.stacks.get(STACK) else {
            return Err(self.error(Span::default(), format!("model `{model}` has no layers {STACK:?}")));
        };
        let width = self.width(header)?;
        for name in &anatomy.head {
            self.keep(name, name)?;
        }
        for (number, (layer, rests)) in layers.iter().enumerate() {
            if number != *layer as usize {
                return Err(self.error(Span::default(), format!("model `{model}` has no layer {number}")));
            }
            for rest in rests {
                self.keep(&names::join(STACK, *layer, rest), rest)?;
            }
            for bias in self.layout.wanted_biases().iter().filter(|bias| !rests.contains(*bias)) {
                let weight = names::join(STACK, *layer, &bias.replace(".bias", ".weight"));
                let rows = header.tensors.get(&weight).and_then(|tensor| tensor.shape.first().copied());
                let rows =
                    rows.ok_or_else(|| self.error(Span::default(), format!("model `{model}` has no tensor {weight:?}")))?;
                self.fill(names::join(STACK, *layer, bias), vec![rows], |_| Fill::Zeros)?;
            }
            self.mlps(*layer, width)?;
        }
        for name in &anatomy.tail {
            self.keep(name, name)?;
        }
        Ok((self.tensors, self.pieces))
    }

    /// The length of hidden states.
    fn width(&self, header: &ModelHeader) -> Result<u64, PlanError> {
        let embedding = header.tensors.get(moe::EMBEDDING).map(|tensor| tensor.shape.as_slice());
        match embedding {
            Some(&[_, width]) if width > 0 => Ok(width),
            _ => {
                let model = self.path(self.base);
                Err(self.error(Span::default(), format!("model `{model}` has no matrix {:?}", moe::EMBEDDING)))
            }
        }
    }

    /// A tensor of the base, unless experts have it.
    fn keep(&mut self, name: &str, rest: &str) -> Result<(), PlanError> {
        match self.layout.place(rest) {
            Place::Kept => self.copy(name.to_owned(), self.base, name, Part::PLAIN, 0, Span::default()),
            Place::Expert => Ok(()),
            Place::Nowhere => {
                let (layout, model) = (self.layout.name(), self.path(self.base));
                Err(self.error(Span::default(), format!("{layout} has no place for the tensor {name:?} of model `{model}`")))
            }
        }
    }

    /// The gate and the experts of a layer.
    fn mlps(&mut self, layer: u32, width: u64) -> Result<(), PlanError> {
        let (mixture, layout) = (self.mixture, self.layout);
        let (experts, shared) = (mixture.experts.len() as u64, mixture.shared.len() as u64);
        let gates = self.options.gates.clone();
        let rows = gates.as_ref().map(|gates| Arc::clone(&gates.experts));
        self.gate(names::join(STACK, layer, layout.gate()), experts, width, rows)?;
        for (index, expert) in mixture.experts.iter().enumerate() {
            for weight in layout.mlp() {
                self.part(layer, weight, &layout.expert(index, weight), expert, index)?;
            }
        }
        for (index, expert) in mixture.shared.iter().enumerate() {
            for weight in layout.mlp() {
                self.part(layer, weight, &layout.shared(weight), expert, mixture.experts.len() + index)?;
            }
        }
        if let Some(gate) = layout.shared_gate() {
            self.gate(names::join(STACK, layer, gate), shared, width, gates.map(|gates| gates.shared))?;
        }
        Ok(())
    }

    fn gate(&mut self, name: String, rows: u64, width: u64, given: Option<Arc<Vec<Vec<f32>>>>) -> Result<(), PlanError> {
        let (mode, seed) = (self.mixture.gates, self.options.seed);
        self.fill(name, vec![rows, width], |name| {
            let key = MaskKey::new(seed, 0, name);
            match (mode, given) {
                (GateMode::Random, _) => Fill::Normal(key),
                (GateMode::UniformRandom, _) => Fill::Uniform(key, (1.0 / width as f64).sqrt()),
                (GateMode::CheapEmbed, given) => Fill::Rows(given.unwrap_or_default()),
            }
        })
    }

    /// One weight of an expert.
    fn part(&mut self, layer: u32, weight: &str, own: &str, expert: &Expert, number: usize) -> Result<(), PlanError> {
        let source = names::join(STACK, layer, &format!("mlp.{weight}"));
        let residual = weight.starts_with("down_proj");
        let scale = expert.residual.filter(|_| residual).unwrap_or(1.0);
        let part = Part { noise: expert.noise.unwrap_or(0.0), scale };
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.copy(names::join(STACK, layer, own), expert.model, &source, part, number, expert.at)
    }

    fn copy(&mut self, name: String, model: usize, tensor: &str, part: Part, number: u32, at: Span) -> Result<(), PlanError> {
        let of_base = self.headers.get(self.base).and_then(|header| header.tensors.get(tensor));
        let header = self.headers.get(model);
        let Some(found) = header.and_then(|header| header.tensors.get(tensor)) else {
            let model = self.path(model);
            return Err(self.error(at, format!("model `{model}` has no tensor {tensor:?}")));
        };
        if let Some(of_base) = of_base.filter(|of_base| of_base.shape != found.shape) {
            let (base, model) = (self.path(self.base), self.path(model));
            let (wanted, shape) = (&of_base.shape, &found.shape);
            let problem = format!(
                "{tensor:?} of model `{model}` is {shape:?}, that of base `{base}` {wanted:?}: experts have the shape of the base"
            );
            return Err(self.error(at, problem));
        }
        let computed = header.and_then(|header| header.computed.get(tensor)).copied();
        let stored = found.dtype;
        let taken = header.and_then(|header| header.becomes.get(tensor)).copied().unwrap_or(stored);
        if !taken.is_float() {
            let model = self.path(model);
            return Err(self.error(at, format!("{tensor:?} of model `{model}` is {stored}, not floats")));
        }
        let source = Source { model, tensor: tensor.to_owned(), dtype: stored, shape: found.shape.clone(), rows: None, computed };
        let made = Made { name, dtype: self.dtype.unwrap_or(taken), shape: found.shape.clone() };
        let parameters = part.parameters(self.options.seed, number);
        self.push(made, vec![source], parameters, at)
    }

    /// A tensor without sources.
    fn fill(&mut self, name: String, shape: Vec<u64>, fill: impl FnOnce(&str) -> Fill) -> Result<(), PlanError> {
        let embedding = self.headers.get(self.base).and_then(|header| header.tensors.get(moe::EMBEDDING));
        let own = embedding.map(|tensor| tensor.dtype).filter(|dtype| dtype.is_float());
        let dtype = self.dtype.or(own).unwrap_or(Dtype::BF16);
        let fill = fill(&name);
        let count = elements(&shape).unwrap_or(u64::MAX);
        let first = self.tensors.len();
        self.push(Made { name, dtype, shape }, Vec::new(), TensorParameters::default(), Span::default())?;
        // the numbers, and the same as bytes
        let memory = count.saturating_mul(2 * size_of::<f32>() as u64);
        let work = Arc::new(Filled { fill, elements: count });
        self.pieces.push(PlannedPiece { tensors: first..first + 1, memory, work });
        Ok(())
    }

    fn push(&mut self, made: Made, sources: Vec<Source>, parameters: TensorParameters, at: Span) -> Result<(), PlanError> {
        if self.tensors.len() == MAX_TENSORS {
            return Err(PlanError::new(self.recipe.place(at), PlanProblem::TooMany { limit: MAX_TENSORS }));
        }
        let planned = super::pieces::planned(self.recipe, made, &sources, &sources, &parameters);
        self.tensors.push(planned.map_err(|problem| PlanError::new(self.recipe.place(at), problem))?);
        Ok(())
    }

    fn path(&self, model: usize) -> String {
        self.recipe.models.get(model).map_or_else(String::new, |model| model.name().into_owned())
    }

    fn error(&self, at: Span, problem: String) -> PlanError {
        PlanError::new(self.recipe.place(at), joint(problem))
    }
}
