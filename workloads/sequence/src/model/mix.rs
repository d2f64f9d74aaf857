//! A layer's family over the ranks of a group: the one place where a model talks to others.

use super::{Family, ModelError};
use crate::parallel::{KeptContributions, KeptStates, SequenceGroup, Shard};

/// What a family made of a layer's inputs.
pub(super) struct Mixed {
    pub(super) out: Vec<f32>,
    kept: Kept,
}

enum Kept {
    States(KeptStates<f32>),
    Contributions(KeptContributions<f32>),
}

pub(super) fn forward(family: &Family, group: &SequenceGroup<'_>, inputs: &[Vec<f32>]) -> Result<Mixed, ModelError> {
    match family {
        Family::State { mixer, params } => {
            let mixed = group.forward(&**mixer, &shard(inputs, params))?;
            Ok(Mixed { out: mixed.out, kept: Kept::States(mixed.kept) })
        }
        Family::Gathered(gathered) => {
            let attended = group.forward_gathered(&**gathered, &shard(inputs, &[]))?;
            Ok(Mixed { out: attended.out, kept: Kept::Contributions(attended.kept) })
        }
    }
}

/// The gradients of the inputs.
pub(super) fn backward(
    family: &Family,
    group: &SequenceGroup<'_>,
    inputs: &[Vec<f32>],
    mixed: &Mixed,
    d_out: &[f32],
) -> Result<Vec<Vec<f32>>, ModelError> {
    let gradients = match (family, &mixed.kept) {
        (Family::State { mixer, params }, Kept::States(kept)) => group.backward(&**mixer, &shard(inputs, params), kept, d_out)?,
        (Family::Gathered(gathered), Kept::Contributions(kept)) => {
            group.backward_gathered(&**gathered, &shard(inputs, &[]), kept, d_out)?
        }
        _ => unreachable!("a layer keeps what its own family made"),
    };
    Ok(gradients.inputs)
}

fn shard<'a>(inputs: &'a [Vec<f32>], params: &'a [Vec<f32>]) -> Shard<'a, f32> {
    Shard { inputs: inputs.iter().map(Vec::as_slice).collect(), params: params.iter().map(Vec::as_slice).collect() }
}
