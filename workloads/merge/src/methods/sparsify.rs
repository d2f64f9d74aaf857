//! Which elements of a task vector stay, from its density: found once for a tensor, then told tile by tile.

use crate::{
    MergeError,
    run::{Tile, Tiles},
};
use braid_kernels::{
    Keep, KernelError, L1, Mask, MaskKey, Part, Pass, Pieces, Selection, Slice, Trim, kept, l1, measure_together,
};

/// What the searches for thresholds of one tensor hold together at most, where memory allows it. More would win nothing.
const SELECTION_BYTES: usize = 32 << 20;

/// What a method drops of a task vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sparsify {
    /// Nothing, whatever the density.
    Nothing,
    /// The elements of the smallest magnitude.
    Smallest,
    /// Elements drawn at random.
    Random,
}

/// One task vector of the tensor at hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vector {
    /// Which input is the expert.
    pub(super) expert: usize,
    /// The share of its elements that stays.
    pub(super) density: f64,
    /// What stands for its model in random masks.
    pub(super) identity: u32,
}

/// What stays of each task vector.
pub(super) struct Sparse {
    base: usize,
    vectors: Vec<(usize, Rule)>,
}

#[derive(Debug, Clone)]
enum Rule {
    All,
    Largest(Trim),
    Random(Mask),
}

impl Sparsify {
    /// Finds what stays of the task vectors, the differences of these experts to input `base`.
    pub(super) fn prepare(self, tiles: &Tiles<'_>, base: usize, vectors: &[Vector], seed: u64) -> Result<Sparse, MergeError> {
        let rules = match self {
            Self::Nothing => vec![Rule::All; vectors.len()],
            Self::Smallest => largest(tiles, base, vectors)?.into_iter().map(Rule::Largest).collect(),
            Self::Random => vectors.iter().map(|vector| random(tiles.name(), vector, seed)).collect(),
        };
        Ok(Sparse { base, vectors: vectors.iter().map(|vector| vector.expert).zip(rules).collect() })
    }
}

impl Sparse {
    /// What stays of one tile of the `index`-th task vector.
    pub(super) fn keep(&self, tile: &Tile<'_>, index: usize) -> Keep {
        match &self.vectors[index].1 {
            Rule::All => Keep::All,
            Rule::Largest(trim) => trim.keep(tile.index),
            Rule::Random(mask) => Keep::Bernoulli { mask: *mask, first: tile.first },
        }
    }

    /// The factors that give what stays of each task vector the L1 norm of the whole. One pass, unless all of them are whole.
    pub(super) fn rescale(&self, tiles: &Tiles<'_>) -> Result<Vec<f32>, MergeError> {
        let whole = |rule: &Rule| matches!(rule, Rule::All | Rule::Largest(Trim::All));
        let thinned: Vec<usize> = (0..self.vectors.len()).filter(|index| !whole(&self.vectors[*index].1)).collect();
        let mut factors = vec![1.0; self.vectors.len()];
        if thinned.is_empty() {
            return Ok(factors);
        }
        let of_tiles = tiles.measure(|tile| {
            let norms =
                |index: &usize| l1(&tile.inputs[self.base], &tile.inputs[self.vectors[*index].0], self.keep(tile, *index));
            thinned.iter().map(norms).collect::<Result<Vec<_>, _>>()
        })?;
        for (place, index) in thinned.into_iter().enumerate() {
            let norm: L1 = of_tiles.iter().flat_map(|tile| tile[place].iter().copied()).sum();
            factors[index] = norm.rescale();
        }
        Ok(factors)
    }
}

fn random(tensor: &str, vector: &Vector, seed: u64) -> Rule {
    if vector.density < 1.0 {
        Rule::Random(Mask::new(MaskKey::new(seed, vector.identity, tensor), vector.density))
    } else {
        Rule::All
    }
}

/// The exact thresholds of all task vectors, searched for side by side: each pass over the tensor serves all that still need one.
fn largest(tiles: &Tiles<'_>, base: usize, vectors: &[Vector]) -> Result<Vec<Trim>, MergeError> {
    let room = usize::try_from(tiles.room()).unwrap_or(usize::MAX).min(SELECTION_BYTES);
    let limit = room / vectors.len().max(1);
    let mut searches: Vec<Selection> =
        vectors.iter().map(|vector| Selection::new(tiles.elements(), kept(vector.density, tiles.elements()), limit)).collect();
    loop {
        let running: Vec<usize> = (0..searches.len()).filter(|index| searches[*index].pass().is_some()).collect();
        let passes: Vec<&Pass> = running.iter().filter_map(|index| searches[*index].pass()).collect();
        if passes.is_empty() {
            break;
        }
        let measure = |tile: &Tile<'_>| {
            let thetas: Vec<Slice<'_>> = running.iter().map(|index| tile.inputs[vectors[*index].expert]).collect();
            measure_together(&passes, &tile.inputs[base], &thetas, tile.first).map(|parts| parts.into_iter().map(Some).collect())
        };
        let mut of_tiles = match sample(&passes) {
            Some(pieces) => tiles.glance(&pieces.iter().collect::<Vec<_>>(), measure)?,
            None => tiles.measure(measure)?,
        };
        for (place, index) in running.into_iter().enumerate() {
            // each part is taken once; there is one for every tile and running search
            let parts: Vec<Part> =
                of_tiles.iter_mut().filter_map(|parts: &mut Vec<Option<Part>>| parts.get_mut(place)?.take()).collect();
            searches[index].absorb(parts).map_err(|error| unfinished(tiles, error))?;
        }
    }
    searches.iter().map(|search| search.trim().cloned().ok_or_else(|| unfinished(tiles, KernelError::Changed))).collect()
}

/// The elements to look at, if all searches are at their sample: that of tensors of one size is the same.
fn sample(passes: &[&Pass]) -> Option<Pieces> {
    let pieces = passes.first()?.pieces()?;
    passes.iter().all(|pass| pass.pieces() == Some(pieces)).then_some(pieces)
}

fn unfinished(tiles: &Tiles<'_>, source: KernelError) -> MergeError {
    MergeError::Kernel { tensor: tiles.name().to_owned(), source }
}
