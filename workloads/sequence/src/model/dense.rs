//! The layers that look at one token at a time, forward and backward. Tensors are rows of tokens × channels, row-major.
//!
//! Every backward adds to the gradients that it is given; who calls it has cleared them.

use braid_kernels::attention::{Matrix, MatrixMut, Update, product};
use rayon::prelude::*;

/// Rows that one thread multiplies at a time: enough to amortise packing the weights.
const ROWS: usize = 256;

/// `x · Wᵀ`: `x` is rows × inputs, `weight` outputs × inputs.
pub(super) fn linear(x: &[f32], weight: &[f32], inputs: usize) -> Vec<f32> {
    let (rows, outputs) = (x.len() / inputs, weight.len() / inputs);
    let mut y = vec![0.0; rows * outputs];
    y.par_chunks_mut(ROWS * outputs).zip(x.par_chunks(ROWS * inputs)).for_each(|(y, x)| {
        let rows = x.len() / inputs;
        let weight = Matrix::dense(weight, outputs, inputs).t();
        product(Update::Set, MatrixMut::dense(y, rows, outputs), 1.0, Matrix::dense(x, rows, inputs), weight);
    });
    y
}

/// The gradients of [`linear`]: `d_weight += d_yᵀ · x`; returns `d_y · W`.
pub(super) fn linear_backward(x: &[f32], weight: &[f32], d_y: &[f32], d_weight: &mut [f32], inputs: usize) -> Vec<f32> {
    let (rows, outputs) = (x.len() / inputs, weight.len() / inputs);
    let d_x = || {
        let mut d_x = vec![0.0; x.len()];
        d_x.par_chunks_mut(ROWS * inputs).zip(d_y.par_chunks(ROWS * outputs)).for_each(|(d_x, d_y)| {
            let rows = d_x.len() / inputs;
            let weight = Matrix::dense(weight, outputs, inputs);
            product(Update::Set, MatrixMut::dense(d_x, rows, inputs), 1.0, Matrix::dense(d_y, rows, outputs), weight);
        });
        d_x
    };
    let d_weight = || {
        let (d_y, x) = (Matrix::dense(d_y, rows, outputs).t(), Matrix::dense(x, rows, inputs));
        product(Update::Add, MatrixMut::dense(d_weight, outputs, inputs), 1.0, d_y, x);
    };
    rayon::join(d_x, d_weight).0
}

/// RMSNorm (arXiv 1910.07467): `x / √(mean(x²) + ε) · weight`, row by row.
pub(super) fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    for (y, x) in y.chunks_mut(weight.len()).zip(x.chunks(weight.len())) {
        let scale = inverse_rms(x, epsilon);
        y.iter_mut().zip(x.iter().zip(weight)).for_each(|(y, (x, weight))| *y = x * scale * weight);
    }
    y
}

/// The gradients of [`rms_norm`]; returns that of `x`.
pub(super) fn rms_norm_backward(x: &[f32], weight: &[f32], d_y: &[f32], d_weight: &mut [f32], epsilon: f32) -> Vec<f32> {
    let width = weight.len();
    let mut d_x = vec![0.0; x.len()];
    for ((d_x, x), d_y) in d_x.chunks_mut(width).zip(x.chunks(width)).zip(d_y.chunks(width)) {
        let scale = inverse_rms(x, epsilon);
        let mut dot = 0.0f64;
        for (index, (&x, &d_y)) in x.iter().zip(d_y).enumerate() {
            d_weight[index] += d_y * x * scale;
            dot += f64::from(d_y * weight[index]) * f64::from(x);
        }
        let pull = (dot * f64::from(scale).powi(3) / width as f64) as f32;
        for ((d_x, &x), (&d_y, &weight)) in d_x.iter_mut().zip(x).zip(d_y.iter().zip(weight)) {
            *d_x = d_y * weight * scale - x * pull;
        }
    }
    d_x
}

fn inverse_rms(x: &[f32], epsilon: f32) -> f32 {
    let squares: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (1.0 / (squares / x.len() as f64 + f64::from(epsilon)).sqrt()) as f32
}

/// SiLU of a gate times a value (SwiGLU, arXiv 2002.05202).
pub(super) fn swiglu(gate: &[f32], up: &[f32]) -> Vec<f32> {
    gate.iter().zip(up).map(|(&gate, &up)| silu(gate) * up).collect()
}

/// The gradients of [`swiglu`]: of the gate and of the value.
pub(super) fn swiglu_backward(gate: &[f32], up: &[f32], d_y: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let d_gate = gate.iter().zip(up.iter().zip(d_y)).map(|(&gate, (&up, &d_y))| d_y * up * silu_slope(gate)).collect();
    let d_up = gate.iter().zip(d_y).map(|(&gate, &d_y)| d_y * silu(gate)).collect();
    (d_gate, d_up)
}

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

pub(super) fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

pub(super) fn silu_slope(x: f32) -> f32 {
    let s = sigmoid(x);
    s * (1.0 + x * (1.0 - s))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        (0..count).map(|index| braid_kernels::philox4x32([index as u32, seed, 0, 0], [1, 2])[0] as f32 / 4.0e9 - 0.5).collect()
    }

    /// Compares a gradient with the slope of `loss` along each element.
    fn check(name: &str, x: &[f32], gradient: &[f32], loss: impl Fn(&[f32]) -> f64) {
        let step = 1e-2;
        for index in 0..x.len() {
            let mut moved = x.to_vec();
            moved[index] = x[index] + step;
            let above = loss(&moved);
            moved[index] = x[index] - step;
            let slope = (above - loss(&moved)) / (2.0 * f64::from(step));
            let error = (slope - f64::from(gradient[index])).abs();
            assert!(error < 2e-3 * (1.0 + slope.abs()), "{name}[{index}]: {} against {slope}", gradient[index]);
        }
    }

    fn weigh(y: &[f32], by: &[f32]) -> f64 {
        y.iter().zip(by).map(|(&y, &by)| f64::from(y) * f64::from(by)).sum()
    }

    #[test]
    fn gradients_are_the_slopes_of_the_functions() {
        let (rows, inputs, outputs) = (3, 5, 4);
        let (x, weight, d_y) = (numbers(rows * inputs, 1), numbers(outputs * inputs, 2), numbers(rows * outputs, 3));
        let mut d_weight = vec![0.0; weight.len()];
        let d_x = linear_backward(&x, &weight, &d_y, &mut d_weight, inputs);
        check("linear x", &x, &d_x, |x| weigh(&linear(x, &weight, inputs), &d_y));
        check("linear weight", &weight, &d_weight, |weight| weigh(&linear(&x, weight, inputs), &d_y));

        let (weight, d_y) = (numbers(inputs, 4), numbers(rows * inputs, 5));
        let mut d_weight = vec![0.0; inputs];
        let d_x = rms_norm_backward(&x, &weight, &d_y, &mut d_weight, 1e-3);
        check("norm x", &x, &d_x, |x| weigh(&rms_norm(x, &weight, 1e-3), &d_y));
        check("norm weight", &weight, &d_weight, |weight| weigh(&rms_norm(&x, weight, 1e-3), &d_y));

        let (gate, up) = (numbers(15, 6), numbers(15, 7));
        let (d_gate, d_up) = swiglu_backward(&gate, &up, &d_y);
        check("gate", &gate, &d_gate, |gate| weigh(&swiglu(gate, &up), &d_y));
        check("up", &up, &d_up, |up| weigh(&swiglu(&gate, up), &d_y));
    }
}
