//! `weight_matching`: a model whose hidden units are put into the order of the base's (Ainsworth et al., "Git Re-Basin", ICLR 2023,
//! arXiv 2209.04836, weight matching).
//!
//! A layer computes the same whatever the order of its hidden units. For each group of tensors that share units, the order π is found
//! that maximises `Σ ⟨W_base, π(W)⟩` over the group's tensors, as a linear assignment, and the output is the model in that order: the
//! same function as the model, nearer to the base, to be merged with it by any other method.
//!
//! ```text
//! hidden units of an MLP      rows of gate and up, columns of down        one assignment of n units
//! heads of an attention       rows of q, columns of o; rows of k and v    query heads move within and with their key's group
//! all else                    the residual stream                          stays as it is: one order would tie every layer
//! ```
//!
//! With the residual stream fixed the groups do not depend on each other, so that one assignment each is the optimum and not, as in
//! the authors' loop over coupled groups, one of many local ones that depend on the order of visits. Within a head nothing moves, since rotary
//! positions give each pair of coordinates its own frequency. Ties go to the lowest index. The report has, for each group, the
//! correlation of matched units before and after, and how many units of the base have the same unit as their nearest one
//! (semi-matching; Li et al., "Convergent learning", arXiv 1511.07543, of weights in place of activations).
//!
//! Class: coupled groups, each made by one worker. Cost: reads both models and writes one; 2 n² k operations for each tensor of n
//! units of k weights, and O(n³) at worst for the assignment. Memory: the group of both models and n² numbers.

mod find;
#[cfg(test)]
mod tests;
mod units;
mod work;

use super::{
    BaseRule, Case, Class, Contract, Joint, Made, Method, Parameter, Piece, Report, TensorParameters, joint::input_first,
};
use crate::{MergeError, plan::PlannedTensor, run::Tiles};
use find::{Group, Heads};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use work::Match;

pub(super) struct WeightMatching;

impl Method for WeightMatching {
    fn name(&self) -> &'static str {
        "weight_matching"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Required, min: 1, max: Some(1) }
    }

    fn class(&self) -> Class {
        Class::Group
    }

    fn adds_to_base(&self) -> bool {
        false
    }

    fn joint(&self) -> Option<&'static dyn Joint> {
        Some(&Self)
    }

    fn run(&self, _: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        Err(MergeError::Task(format!("{:?} belongs to a group, and is not made by itself", tiles.name())))
    }
}

impl Joint for WeightMatching {
    fn arrange(&self, case: Case<'_>) -> Result<Vec<Piece>, String> {
        let shapes: BTreeMap<&str, &[u64]> = case
            .tensors
            .iter()
            .filter(|tensor| tensor.method.name() == self.name())
            .map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice()))
            .collect();
        let groups = find::groups(&shapes, Heads::of(case.config), input_first(case.config));
        if groups.is_empty() {
            return Err("no group of tensors with hidden units is known by its names and shapes".into());
        }
        let mut tensors: BTreeMap<String, PlannedTensor> =
            case.tensors.iter().map(|tensor| (tensor.name.clone(), tensor.clone())).collect();
        let mut first: BTreeMap<String, Group> =
            groups.into_iter().map(|group| (group.members[0].tensor.clone(), group)).collect();
        let mut pieces = Vec::new();
        for tensor in &case.tensors {
            if let Some(group) = first.remove(&tensor.name) {
                let members = group.members.iter().filter_map(|member| tensors.remove(&member.tensor)).collect();
                pieces.push(piece(group, members));
            }
        }
        for tensor in case.tensors {
            if tensors.contains_key(&tensor.name) {
                let model = usize::from(tensor.parameters.base == Some(0));
                // buffers are compared, and what is not matched is the model's
                let copied = tensor.method.name() == self.name();
                pieces.push(Piece::Alone(if copied {
                    let name = tensor.name.clone();
                    tensor.copy_of(model, name)
                } else {
                    tensor
                }));
            }
        }
        Ok(pieces)
    }

    fn report(&self, case: &Report<'_>) -> Vec<(String, Value)> {
        let moved: u64 = case.notes.iter().filter_map(|note| note["moved"].as_u64()).sum();
        vec![("weight_matching.json".into(), json!({ "moved": moved, "groups": case.notes }))]
    }
}

fn piece(group: Group, members: Vec<PlannedTensor>) -> Piece {
    let elements: u64 = members.iter().map(PlannedTensor::elements).sum();
    let units = group.members.iter().map(|member| member.units as u64).max().unwrap_or(0);
    // both models, their units side by side, the products of all pairs, and the result
    let memory = elements.saturating_mul(5 * 4).saturating_add(units.saturating_mul(units).saturating_mul(2 * 4));
    let parameters = members.first().map(|tensor| tensor.parameters.clone()).unwrap_or_default();
    let base = parameters.base.unwrap_or(0);
    let mut makes = Vec::new();
    let mut sources = Vec::new();
    for tensor in members {
        let (mut of_base, mut of_model) = (None, None);
        for (input, source) in tensor.sources.into_iter().enumerate() {
            if input == base { of_base = Some(source) } else { of_model = Some(source) }
        }
        sources.extend(of_base.into_iter().chain(of_model));
        makes.push(Made { name: tensor.name, dtype: tensor.dtype, shape: tensor.shape });
    }
    Piece::Together { makes, sources, parameters, memory, work: Arc::new(Match { group }) }
}
