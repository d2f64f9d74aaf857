//! What stays of a task vector by magnitude: borders found by selection, for all experts side by side.

use super::super::search::{limit, search_differences};
use super::{Rule, Vector};
use crate::{MergeError, run::Tiles};
use braid_kernels::{Selection, Trim, kept};

/// The exact thresholds of all task vectors.
pub(super) fn largest(tiles: &Tiles<'_>, base: usize, vectors: &[Vector]) -> Result<Vec<Trim>, MergeError> {
    let (numel, limit) = (tiles.elements(), limit(tiles, vectors.len()));
    let searches = vectors.iter().map(|vector| Selection::new(numel, kept(vector.density, numel), limit)).collect();
    search_differences(tiles, searches, 1, (base, &experts(vectors)))
}

/// The thresholds of all task vectors between which elements stay.
pub(super) fn bands(tiles: &Tiles<'_>, base: usize, vectors: &[Vector]) -> Result<Vec<Rule>, MergeError> {
    let numel = tiles.elements();
    let cuts: Vec<Cut> = vectors.iter().map(|vector| Cut::new(numel, vector.density, vector.gamma)).collect();
    // searches in pairs: for what is too large, and for all that is not too small
    let limit = limit(tiles, 2 * vectors.len());
    let searches = cuts.iter().flat_map(|cut| [cut.outliers, cut.outliers + cut.kept]);
    let searches = searches.map(|rank| Selection::new(numel, rank, limit)).collect();
    let trims = search_differences(tiles, searches, 2, (base, &experts(vectors)))?;
    let rule = |(trims, cut): (&[Trim; 2], &Cut)| match (cut.kept, cut.outliers) {
        (0, _) => Rule::Largest(Trim::Nothing),
        (_, 0) => Rule::Largest(trims[1].clone()),
        _ => Rule::Band { outliers: trims[0].clone(), kept: trims[1].clone() },
    };
    Ok(trims.as_chunks::<2>().0.iter().zip(&cuts).map(rule).collect())
}

fn experts(vectors: &[Vector]) -> Vec<usize> {
    vectors.iter().map(|vector| vector.expert).collect()
}

/// How many elements go because they are too large, and how many stay of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    outliers: u64,
    kept: u64,
}

impl Cut {
    /// The density decides how many stay; where the share `gamma` of the largest would leave too few, fewer of these go. A
    /// density of 1 keeps all.
    fn new(numel: u64, density: f64, gamma: f64) -> Self {
        if density >= 1.0 {
            return Self { outliers: 0, kept: numel };
        }
        let share = |share: f64| ((share * numel as f64) as u64).min(numel);
        let kept = share(density);
        Self { outliers: share(gamma).min(numel - kept), kept }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_give_way_to_the_density() {
        for (numel, density, gamma, outliers, kept) in [
            (1000, 0.5, 0.05, 50, 500),
            (1000, 0.9, 0.3, 100, 900),
            (1000, 1.0, 0.3, 0, 1000),
            (99, 0.5, 0.01, 0, 49),
            (1000, 0.0, 0.3, 300, 0),
            (1, 0.5, 0.5, 0, 0),
            (0, 0.5, 0.5, 0, 0),
        ] {
            assert_eq!(Cut::new(numel, density, gamma), Cut { outliers, kept }, "{density} of {numel} without {gamma}");
        }
    }
}
