//! The driver of searches for thresholds in one tensor: the passes are here, what they look for is in the kernels.

use crate::{
    MergeError,
    run::{Tile, Tiles},
};
use braid_kernels::{KernelError, Part, Pass, Pieces, Selection, Source, Trim};

/// What the searches for thresholds of one tensor hold together at most, where memory allows it. More would win nothing.
const BYTES: usize = 32 << 20;

/// What each of so many searches may hold.
pub(super) fn limit(tiles: &Tiles<'_>, searches: usize) -> usize {
    usize::try_from(tiles.room()).unwrap_or(usize::MAX).min(BYTES) / searches.max(1)
}

/// The answers of searches side by side: each pass over the tensor serves all that still need one. The first `each` of them look at
/// `source(tile, 0)`, the next as many at `source(tile, 1)`, and so on.
pub(super) fn search<F>(tiles: &Tiles<'_>, mut searches: Vec<Selection>, each: usize, source: F) -> Result<Vec<Trim>, MergeError>
where
    F: for<'t> Fn(&Tile<'t>, usize) -> Source<'t> + Sync,
{
    loop {
        let running: Vec<usize> = (0..searches.len()).filter(|index| searches[*index].pass().is_some()).collect();
        let passes: Vec<&Pass> = running.iter().filter_map(|index| searches[*index].pass()).collect();
        if passes.is_empty() {
            break;
        }
        let measure = |tile: &Tile<'_>| {
            let alike = running.chunk_by(|one, next| one / each == next / each);
            let passes = |group: &[usize]| group.iter().filter_map(|index| searches[*index].pass()).collect();
            let sources: Vec<(Source<'_>, Vec<&Pass>)> =
                alike.map(|group| (source(tile, group[0] / each), passes(group))).collect();
            tiles.arithmetic().measure(&sources, tile.first).map(|parts| parts.into_iter().map(Some).collect())
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
