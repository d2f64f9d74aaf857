//! The driver of searches for thresholds in one tensor: the passes are here, what they look for is in the kernels.

use crate::{
    MergeError,
    run::{Tile, Tiles},
};
use braid_gpu::Inputs;
use braid_kernels::{KernelError, Part, Pass, Pieces, Selection, Source, Trim};

/// What the searches for thresholds of one tensor hold together at most, where memory allows it. More would win nothing.
const BYTES: usize = 32 << 20;

/// What each of so many searches may hold.
pub(super) fn limit(tiles: &Tiles<'_>, searches: usize) -> usize {
    usize::try_from(tiles.room()).unwrap_or(usize::MAX).min(BYTES) / searches.max(1)
}

/// The answers of searches side by side: each pass over the tensor serves all that still need one. The first `each` of them look at
/// `source(tile, 0)`, the next as many at `source(tile, 1)`, and so on.
pub(super) fn search<F>(tiles: &Tiles<'_>, searches: Vec<Selection>, each: usize, source: F) -> Result<Vec<Trim>, MergeError>
where
    F: for<'t> Fn(&Tile<'t>, usize) -> Source<'t> + Sync,
{
    answers(tiles, searches, |searches, running| {
        let measure = |tile: &Tile<'_>| {
            let sources: Vec<(Source<'_>, Vec<&Pass>)> =
                groups(searches, running, each).map(|(group, passes)| (source(tile, group), passes)).collect();
            tiles.arithmetic().measure(&sources, tile.first).map(whole)
        };
        match sample(searches, running) {
            Some(pieces) => tiles.glance(&pieces.iter().collect::<Vec<_>>(), measure),
            None => tiles.measure(measure),
        }
    })
}

/// The same of task vectors: the first `each` searches look at the difference of the first of `experts` to input `base`, and so on.
pub(super) fn search_differences(
    tiles: &Tiles<'_>,
    searches: Vec<Selection>,
    each: usize,
    (base, experts): (usize, &[usize]),
) -> Result<Vec<Trim>, MergeError> {
    answers(tiles, searches, |searches, running| {
        let measure = |inputs: &Inputs<'_>, first: u64| {
            let vector = |(group, passes): (usize, _)| {
                let expert = experts.get(group).copied().ok_or(KernelError::Changed)?;
                Ok(((base, expert), passes))
            };
            let vectors = groups(searches, running, each).map(vector).collect::<Result<Vec<_>, KernelError>>()?;
            inputs.measure(&vectors, first).map(whole)
        };
        match sample(searches, running) {
            Some(pieces) => tiles.glance(&pieces.iter().collect::<Vec<_>>(), |tile| {
                measure(&Inputs::here(tiles.arithmetic(), tile.inputs), tile.first)
            }),
            None => tiles.measure_anywhere(|extent, inputs| measure(inputs, extent.first)),
        }
    })
}

/// Has `look` go over the tensor for the searches that are not done, by their numbers, until all are. It returns what it found in each tile
/// for each of them.
fn answers(
    tiles: &Tiles<'_>,
    mut searches: Vec<Selection>,
    look: impl Fn(&[Selection], &[usize]) -> Result<Vec<Vec<Option<Part>>>, MergeError>,
) -> Result<Vec<Trim>, MergeError> {
    loop {
        let running: Vec<usize> = (0..searches.len()).filter(|index| searches[*index].pass().is_some()).collect();
        if running.is_empty() {
            break;
        }
        let mut of_tiles = look(&searches, &running)?;
        for (place, index) in running.into_iter().enumerate() {
            // each part is taken once; there is one for every tile and running search
            let parts: Vec<Part> = of_tiles.iter_mut().filter_map(|parts| parts.get_mut(place)?.take()).collect();
            searches[index].absorb(parts).map_err(|error| unfinished(tiles, error))?;
        }
    }
    searches.iter().map(|search| search.trim().cloned().ok_or_else(|| unfinished(tiles, KernelError::Changed))).collect()
}

/// The passes of the searches that look at the same, `each` of them after the other, with the number of what that is.
fn groups<'s>(searches: &'s [Selection], running: &'s [usize], each: usize) -> impl Iterator<Item = (usize, Vec<&'s Pass>)> {
    let alike = running.chunk_by(move |one, next| one / each == next / each);
    alike.map(move |group| (group[0] / each, group.iter().filter_map(|index| searches[*index].pass()).collect()))
}

fn whole(parts: Vec<Part>) -> Vec<Option<Part>> {
    parts.into_iter().map(Some).collect()
}

/// The elements to look at, if all searches are at their sample: that of tensors of one size is the same.
fn sample(searches: &[Selection], running: &[usize]) -> Option<Pieces> {
    let mut pieces = running.iter().map(|index| searches[*index].pass().and_then(Pass::pieces));
    let first = pieces.next()??;
    pieces.all(|pieces| pieces == Some(first)).then_some(first)
}

fn unfinished(tiles: &Tiles<'_>, source: KernelError) -> MergeError {
    MergeError::Kernel { tensor: tiles.name().to_owned(), source }
}
