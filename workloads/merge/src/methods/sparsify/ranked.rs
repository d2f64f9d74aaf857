//! What stays of a task vector where chance decides by rank: the bits of each tile, row by row.

use super::super::span::row_parts;
use crate::{
    MergeError,
    run::{Rows, Tile, Tiles},
};
use braid_kernels::{Chances, KernelError, MaskKey, MaskedPiece, RankCounts, RankTable, Slice};
use std::ops::Range;

/// The rule for one task vector.
#[derive(Debug, Clone)]
pub(super) struct Ranked {
    key: MaskKey,
    chances: Chances,
    row: u64,
    /// For each row, where rows are longer than a tile may see.
    long: Option<Vec<RankTable>>,
}

impl Ranked {
    /// Looks at the rows of the difference between two inputs where they are too long to be seen whole.
    pub(super) fn new(tiles: &Tiles<'_>, base: usize, expert: usize, chances: Chances, key: MaskKey) -> Result<Self, MergeError> {
        let long = match tiles.whole_row() {
            Some(_) => None,
            None => {
                let counts = tiles.fold(&tiles.runs_of_rows(), RankCounts::default, |counts, piece| {
                    counts.add(&piece.inputs[base], &piece.inputs[expert])
                })?;
                Some(counts.iter().map(|counts| counts.table(&chances)).collect())
            }
        };
        Ok(Self { key, chances, row: tiles.row(), long })
    }

    /// A bit for each element of a tile: whether it stays. Without long rows, `rows` has them whole.
    pub(super) fn choose(
        &self,
        base: usize,
        expert: usize,
        tile: &Tile<'_>,
        rows: Option<&Rows<'_>>,
    ) -> Result<Vec<u64>, KernelError> {
        let mut bits = vec![0; tile.elements.div_ceil(64)];
        let mut choose = |table: &RankTable, own: Range<usize>| {
            let piece = MaskedPiece { key: self.key, first: tile.first + own.start as u64 };
            let [base, expert] = pair(tile.inputs, base, expert, &own)?;
            table.choose(&base, &expert, piece, &mut bits, own.start)
        };
        if let Some(tables) = &self.long {
            for (row, own) in row_parts(tile, self.row) {
                choose(tables.get(row).ok_or(KernelError::Changed)?, own)?;
            }
        } else if let Some(rows) = rows {
            for row in rows.iter(self.row as usize, tile.elements) {
                let [base, expert] = pair(rows.inputs, base, expert, &row.whole)?;
                choose(&RankTable::of_row(&base, &expert, &self.chances)?, row.own)?;
            }
        }
        Ok(bits)
    }
}

fn pair<'a>(inputs: &[Slice<'a>], base: usize, expert: usize, range: &Range<usize>) -> Result<[Slice<'a>; 2], KernelError> {
    Ok([inputs[base].part(range.clone())?, inputs[expert].part(range.clone())?])
}
