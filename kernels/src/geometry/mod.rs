//! The small problems at the heart of methods that look at angles: from the inner products of the inputs to the coefficient of
//! each. Pure f64 on a few numbers; summing the products and applying the coefficients are passes over tensors, and not here.
//!
//! Every point that such a method can reach is a sum Σ cᵢ·xᵢ of its inputs, so that whatever it does to vectors of a billion
//! elements can be done to the few cᵢ, and lengths and angles come from the [`Gram`](crate::Gram) matrix. Sines and the like
//! are `libm`'s and not the system's, whose last digit differs from one machine to the next.

mod karcher;
mod model_stock;
mod multislerp;
mod nuslerp;
mod widen;

pub use karcher::karcher;
pub use model_stock::model_stock;
pub use multislerp::multislerp;
pub use nuslerp::nuslerp;
pub use widen::{Calibration, widen_columns, widen_elements};

#[cfg(test)]
mod testing {
    use crate::{Dtype, Gram, Slice, gram};

    /// The products of vectors in f64. (The kernel takes them in f32.)
    pub(super) fn gram_of(vectors: &[&[f64]]) -> Gram {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        Gram::of(vectors.len(), |i, j| dot(vectors[i], vectors[j]))
    }

    /// Σ cᵢ · vectorᵢ.
    pub(super) fn combine(vectors: &[&[f64]], coefficients: &[f64]) -> Vec<f64> {
        (0..vectors[0].len()).map(|j| vectors.iter().zip(coefficients).map(|(v, c)| v[j] * c).sum()).collect()
    }

    #[test]
    fn the_kernel_and_the_helper_agree() {
        let vectors: [&[f64]; 2] = [&[1.0, 0.25, -3.0], &[0.5, 2.0, 1.0]];
        let bytes = vectors.map(|v| v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
        let slices = [0, 1].map(|i| Slice::new(Dtype::F64, &bytes[i]).unwrap());
        assert_eq!(gram(None, &slices).unwrap(), [gram_of(&vectors)]);
    }
}
