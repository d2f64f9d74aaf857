//! Inner products of several tensors, or of their differences to a base: all that methods which look at angles need to know.

use super::{GRANULE, LANES, Lanes, granule_blocks};
use crate::block::{BLOCK, Block, dispatched};
use crate::merge::difference;
use crate::slice::{Floats, same_length};
use crate::{KernelError, Slice};

/// The inner products of some vectors with each other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gram {
    /// The upper triangle, row by row: ⟨0, 0⟩, ⟨0, 1⟩, …, ⟨1, 1⟩, ….
    products: Vec<f64>,
    vectors: usize,
}

impl Gram {
    /// That of zero vectors.
    pub fn zero(vectors: usize) -> Self {
        Self::of(vectors, |_, _| 0.0)
    }

    /// That of vectors with these products; `dot` is asked for i ≤ j.
    pub fn of(vectors: usize, dot: impl Fn(usize, usize) -> f64) -> Self {
        let dot = &dot;
        Self { products: (0..vectors).flat_map(|i| (i..vectors).map(move |j| dot(i, j))).collect(), vectors }
    }

    /// How many vectors there are.
    pub fn vectors(&self) -> usize {
        self.vectors
    }

    /// ⟨i, j⟩; zero for a vector that is not there.
    pub fn dot(&self, i: usize, j: usize) -> f64 {
        let (low, high) = (i.min(j), i.max(j));
        // what the rows before this one hold, counted from a full square
        let place = (low * (2 * self.vectors + 1)).checked_sub(low * low).map(|twice| twice / 2 + high - low);
        place.filter(|_| high < self.vectors).and_then(|place| self.products.get(place)).copied().unwrap_or_default()
    }

    /// ‖i‖.
    pub fn norm(&self, i: usize) -> f64 {
        self.dot(i, i).sqrt()
    }

    /// ‖Σ cᵢ · vectorᵢ‖. Rounding may make a square of nothing negative; that is nothing too.
    pub fn norm_of(&self, coefficients: &[f64]) -> f64 {
        let row = |i: usize, a: f64| coefficients.iter().enumerate().map(|(j, b)| a * b * self.dot(i, j)).sum::<f64>();
        let square: f64 = coefficients.iter().enumerate().map(|(i, a)| row(i, *a)).sum();
        if square < 0.0 { 0.0 } else { square.sqrt() }
    }

    /// Adds the products of further elements of the same vectors.
    pub fn add(&mut self, other: &Self) {
        self.products.iter_mut().zip(&other.products).for_each(|(sum, product)| *sum += product);
    }

    /// The sum of the parts of `vectors` vectors, in order.
    pub fn sum<'a>(vectors: usize, parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::zero(vectors);
        parts.into_iter().for_each(|part| sum.add(part));
        sum
    }
}

/// The products of each granule of a tile, in order: of the inputs, or of their differences to `base`, which are taken in f32.
/// The tile starts at a multiple of [`GRANULE`].
pub fn gram(base: Option<&Slice<'_>>, inputs: &[Slice<'_>]) -> Result<Vec<Gram>, KernelError> {
    const NAME: &str = "gram";
    let Some(length) = inputs.first().map(Slice::len) else {
        return Err(KernelError::CountMismatch { operation: NAME, what: "inputs", expected: 1, found: 0 });
    };
    let mut vectors = Vec::with_capacity(inputs.len());
    for input in base.into_iter().chain(inputs) {
        same_length(NAME, length, input.len())?;
        vectors.push(input.floats(NAME)?);
    }
    let mut grams = vec![Gram::zero(inputs.len()); length.div_ceil(GRANULE)];
    let (base, inputs) = vectors.split_at(usize::from(base.is_some()));
    dispatch(base.first().copied(), inputs, &mut grams);
    Ok(grams)
}

dispatched! {
    fn dispatch / dispatch_avx2(base: Option<Floats<'_>>, inputs: &[Floats<'_>], out: &mut [Gram]) = body;
}

#[inline(always)]
fn body(base: Option<Floats<'_>>, inputs: &[Floats<'_>], out: &mut [Gram]) {
    let length = inputs.first().map_or(0, Floats::len);
    let (mut theta0, mut value): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
    let mut wide = vec![[0.0f64; BLOCK]; inputs.len()];
    for (granule, out) in out.iter_mut().enumerate() {
        let mut sums = vec![Lanes::ZERO; out.products.len()];
        for range in granule_blocks(granule, length) {
            let n = range.len();
            if let Some(base) = base {
                base.decode(&range, &mut theta0[..n]);
            }
            for (input, wide) in inputs.iter().zip(&mut wide) {
                let value = &mut value[..n];
                input.decode(&range, value);
                if base.is_some() {
                    difference(value, &theta0[..n]);
                }
                for (wide, value) in wide.iter_mut().zip(&*value) {
                    *wide = f64::from(*value);
                }
            }
            let mut sums = sums.iter_mut();
            for (first, a) in wide.iter().enumerate() {
                for (b, sum) in wide[first..].iter().zip(&mut sums) {
                    add_products(sum, &a[..n], &b[..n]);
                }
            }
        }
        out.products.iter_mut().zip(sums).for_each(|(product, sum)| *product = sum.fold());
    }
}

#[inline(always)]
fn add_products(sum: &mut Lanes, a: &[f64], b: &[f64]) {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = sum.0;
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    for (lane, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[lane] += a * b;
    }
    sum.0 = lanes;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, tensor};

    #[test]
    fn products_are_found_where_they_are() {
        let gram = Gram { products: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], vectors: 3 };
        let rows: Vec<Vec<f64>> = (0..4).map(|i| (0..4).map(|j| gram.dot(i, j)).collect()).collect();
        assert_eq!(rows, [[1.0, 2.0, 3.0, 0.0], [2.0, 4.0, 5.0, 0.0], [3.0, 5.0, 6.0, 0.0], [0.0; 4]]);
        assert_eq!(Gram::zero(0).dot(0, 0), 0.0);
        assert_eq!((gram.norm(1), gram.norm_of(&[0.0, 1.0, 0.0]), gram.norm_of(&[1.0, 0.0, -1.0])), (2.0, 2.0, 1.0));
        assert_eq!(Gram::sum(3, [&gram, &gram]).dot(1, 2), 10.0);
    }

    #[test]
    fn every_processor_gives_the_same_bits() {
        for (kind, numel) in KINDS.into_iter().flat_map(|kind| LENGTHS.map(|numel| (kind, numel))) {
            let [a, b, c] = [1, 2, 3].map(|seed| tensor(kind, numel, seed));
            let inputs = [floats(kind, &b), floats(kind, &c)];
            for base in [None, Some(floats(kind, &a))] {
                type Version = fn(Option<Floats<'_>>, &[Floats<'_>], &mut [Gram]);
                let versions: [Version; 3] = [body, dispatch_avx2, dispatch];
                let grams = versions.map(|version| {
                    let mut grams = vec![Gram::zero(2); numel.div_ceil(GRANULE)];
                    version(base, &inputs, &mut grams);
                    // Bits, since infinities among the values make NaN of some sums.
                    grams.iter().flat_map(|gram| gram.products.iter().map(|p| p.to_bits())).collect::<Vec<_>>()
                });
                assert_same(grams, (kind, numel, base.is_some()));
            }
        }
    }
}
