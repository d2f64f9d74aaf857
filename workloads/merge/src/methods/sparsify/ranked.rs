//! What stays of a task vector where chance decides by rank: the bits of each tile, row by row.

use super::super::span::row_parts;
use crate::{
    MergeError,
    run::{Rows, Tile, Tiles},
};
use braid_gpu::Arithmetic;
use braid_kernels::{Chances, KernelError, MaskKey, MaskedPiece, RankCounts, RankTable};

/// The rule for one task vector.
#[derive(Debug, Clone)]
pub(super) struct Ranked {
    key: MaskKey,
    chances: Chances,
    row: u64,
    /// Those of each row, where rows are longer than a tile may see.
    long: Vec<RankTable>,
}

impl Ranked {
    /// Looks at the rows of the difference between two inputs where they are too long to be seen whole.
    pub(super) fn new(tiles: &Tiles<'_>, base: usize, expert: usize, chances: Chances, key: MaskKey) -> Result<Self, MergeError> {
        let long = match tiles.whole_row() {
            Some(_) => Vec::new(),
            None => {
                let counts = tiles.fold(&tiles.runs_of_rows(), RankCounts::default, |counts, piece| {
                    counts.add(&piece.inputs[base], &piece.inputs[expert])
                })?;
                counts.iter().map(|counts| counts.table(&chances)).collect()
            }
        };
        Ok(Self { key, chances, row: tiles.row(), long })
    }

    /// A bit for each element of a tile: whether it stays. `rows` has its rows whole, where a tile may see such.
    pub(super) fn choose(
        &self,
        arithmetic: &Arithmetic,
        (base, expert): (usize, usize),
        tile: &Tile<'_>,
        rows: Option<&Rows<'_>>,
    ) -> Result<Vec<u64>, KernelError> {
        let piece = |start: usize| MaskedPiece { key: self.key, first: tile.first + start as u64 };
        if let Some(rows) = rows {
            let own = rows.before..rows.before + tile.elements;
            let [base, expert] = [base, expert].map(|input| &rows.inputs[input]);
            return arithmetic.ranked(base, expert, self.row as usize, own, &self.chances, piece(0));
        }
        let mut bits = vec![0; tile.elements.div_ceil(64)];
        for (row, own) in row_parts(tile, self.row) {
            let table = self.long.get(row).ok_or(KernelError::Changed)?;
            let [base, expert] = [base, expert].map(|input| tile.inputs[input].part(own.clone()));
            table.choose(&base?, &expert?, piece(own.start), &mut bits, own.start)?;
        }
        Ok(bits)
    }
}
