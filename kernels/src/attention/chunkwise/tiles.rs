//! Secondary chunking (GLA, arXiv 2312.06635, §4.3), by halves: where gates fall far inside a chunk, `e^(−B)` would overflow.
//!
//! A range of tokens over which no channel falls further than [`SAFE`] is one tile, and `e^(B_i − B_j)` the product of a factor of
//! its row and one of its column. Otherwise the lower left quarter is a tile whose factors meet in the middle, so that neither
//! exponent is positive, and each half is cut again. A single token has nothing to fall over: the cutting ends.
//!
//! ```text
//! ╲        ╲ safe as a whole       ■ meets in the middle
//! ■ ╲      one product             a product each
//! ■ ■ ╲
//! ```

use std::ops::Range;

use super::{super::Real, decay::SAFE};

/// Pairs of tokens whose scores are one product.
#[derive(Debug)]
pub(crate) struct Tile {
    pub(crate) rows: Range<usize>,
    pub(crate) cols: Range<usize>,
    /// Where its factors begin: of its rows, then of its columns.
    at: usize,
}

impl Tile {
    /// A factor for each channel of each of its rows.
    pub(crate) fn row_factors<'a, T>(&self, factors: &'a [T], key: usize) -> &'a [T] {
        &factors[self.at..][..self.rows.len() * key]
    }

    /// A factor for each channel of each of its columns.
    pub(crate) fn col_factors<'a, T>(&self, factors: &'a [T], key: usize) -> &'a [T] {
        &factors[self.at + self.rows.len() * key..][..self.cols.len() * key]
    }
}

/// The tiles of a chunk with these log gates (not positive), and the factors of all.
pub(crate) fn tiles<T: Real>(g: &[T], key: usize, range: Range<usize>, tiles: &mut Vec<Tile>, factors: &mut Vec<T>) {
    tiles.clear();
    factors.clear();
    if !range.is_empty() {
        halve(g, key, range, tiles, factors);
    }
    T::exp_all(factors);
}

fn halve<T: Real>(g: &[T], key: usize, range: Range<usize>, tiles: &mut Vec<Tile>, factors: &mut Vec<T>) {
    let at = factors.len();
    factors.resize(at + key, T::ZERO);
    falling(g, key, range.start + 1..range.end, factors);
    let last = &factors[factors.len() - key..];
    if last.iter().all(|sum| sum.abs() <= T::of(SAFE)) {
        let end = factors.len();
        factors.extend_from_within(at..);
        factors[end..].iter_mut().for_each(|sum| *sum = -*sum);
        tiles.push(Tile { rows: range.clone(), cols: range, at });
        return;
    }
    factors.truncate(at);
    let middle = range.start + range.len().div_ceil(2);
    let (cols, rows) = (range.start..middle, middle..range.end);
    // From the middle down: the first row has its own gate already.
    factors.extend_from_slice(&g[middle * key..(middle + 1) * key]);
    falling(g, key, middle + 1..range.end, factors);
    // And from the middle up: the last column meets it with nothing in between.
    let from = factors.len();
    factors.resize(from + cols.len() * key, T::ZERO);
    for token in (range.start..middle - 1).rev() {
        let (row, after) = factors[from + (token - range.start) * key..][..2 * key].split_at_mut(key);
        let g = &g[(token + 1) * key..][..key];
        row.iter_mut().zip(after.iter().zip(g)).for_each(|(sum, (&after, &g))| *sum = after + g);
    }
    tiles.push(Tile { rows: rows.clone(), cols: cols.clone(), at });
    halve(g, key, cols, tiles, factors);
    halve(g, key, rows, tiles, factors);
}

/// Appends, for each token, its log gates added to the last row.
fn falling<T: Real>(g: &[T], key: usize, tokens: Range<usize>, sums: &mut Vec<T>) {
    for token in tokens {
        let before = sums.len() - key;
        sums.extend_from_within(before..);
        let row = &mut sums[before + key..];
        row.iter_mut().zip(&g[token * key..]).for_each(|(sum, &g)| *sum += g);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pair is in one tile, and its two factors are its decay.
    fn check(g: &[f64], key: usize) -> usize {
        let len = g.len() / key;
        let (mut found, mut factors) = (vec![], vec![]);
        tiles(g, key, 0..len, &mut found, &mut factors);
        for i in 0..len {
            for j in 0..=i {
                let mut holding = found.iter().filter(|tile| tile.rows.contains(&i) && tile.cols.contains(&j));
                let tile = holding.next().expect("a tile for each pair");
                assert!(holding.next().is_none(), "pair {i}, {j} is in two tiles");
                for d in 0..key {
                    let row = tile.row_factors(&factors, key)[(i - tile.rows.start) * key + d];
                    let col = tile.col_factors(&factors, key)[(j - tile.cols.start) * key + d];
                    let exact = (j + 1..=i).map(|t| g[t * key + d]).sum::<f64>().exp();
                    assert!((row * col - exact).abs() <= 1e-12 * exact + 1e-300, "{i} {j} {d}: {row:e} {col:e} {exact:e}");
                    assert!(row.is_finite() && col.is_finite());
                }
            }
        }
        found.len()
    }

    #[test]
    fn weak_gates_need_one_tile_and_strong_ones_are_never_inverted() {
        let gates = |scale: f64| (0..37 * 3).map(|i| -scale * (f64::from(i) * 0.7).sin().abs()).collect::<Vec<_>>();
        assert_eq!(check(&gates(0.1), 3), 1);
        assert!(check(&gates(1.0), 3) > 1);
        assert!(check(&gates(300.0), 3) >= 37);
        assert_eq!(check(&[-500.0], 1), 1);
    }
}
