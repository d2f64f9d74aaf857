//! Which elements of a task vector stay, from its density: found once for a tensor, then told tile by tile.

mod ranked;
mod trim;

use crate::{
    MergeError,
    run::{Extent, Rows, Tile, Tiles},
};
use braid_gpu::Inputs;
use braid_kernels::{Chances, Keep, KernelError, L1, Mask, MaskKey, SliceMut, TileTrim, Trim};
use ranked::Ranked;

/// What a method drops of a task vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sparsify {
    /// Nothing, whatever the density.
    Nothing,
    /// The elements of the smallest magnitude.
    Smallest,
    /// These, and a few of the largest.
    SmallestAndOutliers,
    /// Elements drawn at random.
    Random,
    /// Elements drawn at random, the smaller ones of a row more often.
    RandomByRank,
}

/// One task vector of the tensor at hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vector {
    /// Which input is the expert.
    pub(super) expert: usize,
    /// The share of its elements that stays.
    pub(super) density: f64,
    /// The share of its largest elements that goes, for [`Sparsify::SmallestAndOutliers`].
    pub(super) gamma: f64,
    /// How far the chances at both ends of a row are from the density, for [`Sparsify::RandomByRank`].
    pub(super) epsilon: f64,
    /// What stands for its model in random masks.
    pub(super) identity: u32,
}

/// What stays of each task vector.
pub(super) struct Sparse {
    /// Which input is the base.
    pub(super) base: usize,
    vectors: Vec<(usize, Rule)>,
    /// What was chosen in each tile, where there was room to keep it.
    remembered: Vec<Chosen>,
}

/// The bits of one tile for each task vector whose rule needs them.
#[derive(Debug, Default)]
pub(super) struct Chosen(Vec<Vec<u64>>);

/// What must be seen of a tile to choose what stays of it.
enum Sight {
    /// Nothing: the rules know.
    None,
    Tiles,
    Rows,
}

#[derive(Debug, Clone)]
enum Rule {
    All,
    Largest(Trim),
    Band { outliers: Trim, kept: Trim },
    Random(Mask),
    Ranked(Ranked),
}

impl Sparsify {
    /// Finds what stays of the task vectors, the differences of these experts to input `base`.
    pub(super) fn prepare(self, tiles: &Tiles<'_>, base: usize, vectors: &[Vector], seed: u64) -> Result<Sparse, MergeError> {
        let rules = match self {
            Self::Nothing | Self::Random => return Ok(self.unseen(tiles.name(), base, vectors, seed)),
            Self::Smallest => trim::largest(tiles, base, vectors)?.into_iter().map(Rule::Largest).collect(),
            Self::SmallestAndOutliers => trim::bands(tiles, base, vectors)?,
            Self::RandomByRank => {
                vectors.iter().map(|vector| by_rank(tiles, base, vector, seed)).collect::<Result<Vec<_>, _>>()?
            }
        };
        let vectors = vectors.iter().map(|vector| vector.expert).zip(rules).collect();
        Ok(Sparse { base, vectors, remembered: Vec::new() })
    }

    /// The same for [`Sparsify::Nothing`] and [`Sparsify::Random`], of a tensor of this name that nobody has to look at for that.
    pub(super) fn unseen(self, tensor: &str, base: usize, vectors: &[Vector], seed: u64) -> Sparse {
        let rule = |vector: &Vector| if self == Self::Nothing { Rule::All } else { random(tensor, vector, seed) };
        Sparse { base, vectors: vectors.iter().map(|vector| (vector.expert, rule(vector))).collect(), remembered: Vec::new() }
    }
}

impl Sparse {
    /// What stays of one tile of the `index`-th task vector; `chosen` is that of the tile.
    pub(super) fn keep<'a>(&'a self, tile: &Extent, index: usize, chosen: &'a Chosen) -> Keep<'a> {
        match &self.vectors[index].1 {
            Rule::All => Keep::All,
            Rule::Largest(trim) => trim.keep(tile.index),
            Rule::Band { outliers, kept } => match (outliers.keep(tile.index), kept.keep(tile.index)) {
                (Keep::Trim(outliers), Keep::Trim(kept)) => Keep::Band { outliers, kept },
                (Keep::Trim(outliers), _) => Keep::Band { outliers, kept: TileTrim::EVERYTHING },
                (_, kept) => kept,
            },
            Rule::Random(mask) => Keep::Bernoulli { mask: *mask, first: tile.first },
            Rule::Ranked(_) => Keep::Chosen { bits: chosen.0.get(index).map_or(&[], Vec::as_slice), first: 0 },
        }
    }

    /// The factors that give what stays of each task vector the L1 norm of the whole. One pass, unless all of them are whole.
    pub(super) fn rescale(&mut self, tiles: &Tiles<'_>) -> Result<Vec<f32>, MergeError> {
        let whole = |rule: &Rule| matches!(rule, Rule::All | Rule::Largest(Trim::All));
        let thinned: Vec<usize> = (0..self.vectors.len()).filter(|index| !whole(&self.vectors[*index].1)).collect();
        let mut factors = vec![1.0; self.vectors.len()];
        if thinned.is_empty() {
            return Ok(factors);
        }
        let remember = self.ranked() > 0 && tiles.elements() / 8 * self.ranked() as u64 <= tiles.room() / 4;
        let of_tiles = self.measure(tiles, |extent, inputs, chosen| {
            let norms = |index: &usize| inputs.l1(self.base, self.vectors[*index].0, self.keep(extent, *index, &chosen));
            let norms = thinned.iter().map(norms).collect::<Result<Vec<_>, _>>()?;
            Ok((norms, remember.then_some(chosen)))
        })?;
        let (norms, chosen): (Vec<_>, Vec<_>) = of_tiles.into_iter().unzip();
        self.remembered = chosen.into_iter().flatten().collect();
        for (place, index) in thinned.into_iter().enumerate() {
            let norm: L1 = norms.iter().flat_map(|tile: &Vec<Vec<L1>>| tile[place].iter().copied()).sum();
            factors[index] = norm.rescale();
        }
        Ok(factors)
    }

    /// The last pass, with what was chosen in each tile.
    pub(super) fn write(
        &self,
        tiles: &Tiles<'_>,
        f: impl Fn(&Extent, &Inputs<'_>, &Chosen, SliceMut<'_>) -> Result<(), KernelError> + Sync,
    ) -> Result<(), MergeError> {
        let chosen = |tile: &Tile<'_>, rows: Option<&Rows<'_>>, out: SliceMut<'_>| {
            let chosen = self.choose(tiles, tile, rows)?;
            f(&tile.extent(), &Inputs::here(tiles.arithmetic(), tile.inputs), &chosen, out)
        };
        if !self.remembered.is_empty() {
            let remembered = |extent: &Extent| self.remembered.get(extent.index).ok_or(KernelError::Changed);
            return tiles.write_anywhere(|extent, inputs, out| f(extent, inputs, remembered(extent)?, out));
        }
        match self.sight(tiles) {
            Sight::None => tiles.write_anywhere(|extent, inputs, out| f(extent, inputs, &Chosen::default(), out)),
            Sight::Tiles => tiles.write(|tile, out| chosen(tile, None, out)),
            Sight::Rows => tiles.write_rows(|tile, rows, out| chosen(tile, Some(rows), out)),
        }
    }

    fn measure<R: Send>(
        &self,
        tiles: &Tiles<'_>,
        f: impl Fn(&Extent, &Inputs<'_>, Chosen) -> Result<R, KernelError> + Sync,
    ) -> Result<Vec<R>, MergeError> {
        let chosen = |tile: &Tile<'_>, rows: Option<&Rows<'_>>| {
            let chosen = self.choose(tiles, tile, rows)?;
            f(&tile.extent(), &Inputs::here(tiles.arithmetic(), tile.inputs), chosen)
        };
        match self.sight(tiles) {
            Sight::None => tiles.measure_anywhere(|extent, inputs| f(extent, inputs, Chosen::default())),
            Sight::Tiles => tiles.measure(|tile| chosen(tile, None)),
            Sight::Rows => tiles.measure_rows(|tile, rows| chosen(tile, Some(rows))),
        }
    }

    fn choose(&self, tiles: &Tiles<'_>, tile: &Tile<'_>, rows: Option<&Rows<'_>>) -> Result<Chosen, KernelError> {
        let bits = |(expert, rule): &(usize, Rule)| match rule {
            Rule::Ranked(ranked) => ranked.choose(tiles.arithmetic(), (self.base, *expert), tile, rows),
            _ => Ok(Vec::new()),
        };
        Ok(Chosen(self.vectors.iter().map(bits).collect::<Result<_, _>>()?))
    }

    fn sight(&self, tiles: &Tiles<'_>) -> Sight {
        match (self.ranked(), tiles.whole_row()) {
            (0, _) => Sight::None,
            (_, None) => Sight::Tiles,
            (_, Some(_)) => Sight::Rows,
        }
    }

    fn ranked(&self) -> usize {
        self.vectors.iter().filter(|(_, rule)| matches!(rule, Rule::Ranked(_))).count()
    }
}

fn random(tensor: &str, vector: &Vector, seed: u64) -> Rule {
    if vector.density < 1.0 {
        Rule::Random(Mask::new(MaskKey::new(seed, vector.identity, tensor), vector.density))
    } else {
        Rule::All
    }
}

fn by_rank(tiles: &Tiles<'_>, base: usize, vector: &Vector, seed: u64) -> Result<Rule, MergeError> {
    if vector.density <= 0.0 || vector.density >= 1.0 {
        return Ok(random(tiles.name(), vector, seed));
    }
    let chances = Chances { low: vector.density - vector.epsilon, high: vector.density + vector.epsilon };
    let key = MaskKey::new(seed, vector.identity, tiles.name());
    Ok(Rule::Ranked(Ranked::new(tiles, base, vector.expert, chances, key)?))
}
