//! Numbers of the standard normal distribution that belong to a place, as masks do: no stream, no state.

use crate::philox4x32;
use std::f64::consts::TAU;

/// The number at a place under a key, by Box and Muller.
pub fn normal(key: [u32; 2], place: [u64; 2]) -> f32 {
    let [a, b, ..] = philox4x32([place[0] as u32, (place[0] >> 32) as u32, place[1] as u32, (place[1] >> 32) as u32], key);
    ((-2.0 * libm::log(uniform(a))).sqrt() * libm::cos(TAU * uniform(b))) as f32
}

/// A word as a number between 0 and 1, neither of which it is.
pub fn uniform(word: u32) -> f64 {
    (f64::from(word) + 0.5) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_normal() {
        let drawn: Vec<f64> = (0..20_000).map(|i| f64::from(normal([3, 4], [i, 5]))).collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        assert!(uniform(0) > 0.0 && uniform(u32::MAX) < 1.0);
    }
}
