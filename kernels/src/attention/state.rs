//! The state that linear-time attention carries from token to token, as an affine map: `S_out = A · S_in + M` over any span.
//!
//! Nothing here knows a family. A family says what its state looks like ([`StateShape`]) and sums a span up as `(A, M)`; whoever
//! holds the maps of neighbouring spans composes them, in order, and applies them. That is all of sequence parallelism: one gather
//! of maps forward (prefix), one backward (suffix), where the map of the gradient is `dS_in = Aᵀ · dS_out + dM`.
//!
//! | [`Transition`] | A | families |
//! |---|---|---|
//! | `Scalar` | one number a head (0 where a document began inside) | linear attention, constant decay, scalar gates, VQ |
//! | `Diagonal` | one number a row | GLA, Liger, GSA (rows are slots) |
//! | `Dense` | rows × rows | delta rule, GDN, KDA, MoM |
//! | `LogSum` | e^(z − z'), from log-sums z | LightNet |

use super::{
    Real,
    matrix::{Matrix, MatrixMut, Update, product},
};

/// What kind of map takes a state over a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// `A = a · I`: one number a head.
    Scalar,
    /// `A = Diag(a)`: one number a row.
    Diagonal,
    /// Any matrix, rows × rows. The order of composition matters.
    Dense,
    /// A weighted mean held with the logarithm `z` of its weight: the state is `(z, S)`, and
    /// `z' = logaddexp(z1, z2)`, `S' = e^(z1−z') S1 + e^(z2−z') S2`. A first number is 0 where a document began inside, else 1.
    LogSum,
}

/// Which way a state travels along the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the first token to the last.
    Forward,
    /// From the last to the first.
    Reverse,
}

/// The shape of a state and of the maps that act on it. Each head has a matrix of `rows` × `cols`.
///
/// A state is, for each head: `z` (rows; `LogSum` only), then the matrix. A map is, for each head: the transition (1, rows,
/// rows × rows, or 1 + rows for `LogSum`), then M.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateShape {
    /// Matrices side by side, independent of each other.
    pub heads: usize,
    /// Rows: where the transition acts (key channels, slots).
    pub rows: usize,
    /// Columns (value channels, and what is summed beside them).
    pub cols: usize,
    /// What acts on it.
    pub transition: Transition,
    /// Which way it travels.
    pub direction: Direction,
}

impl StateShape {
    /// Elements of the transition of one head.
    pub fn transition_len(&self) -> usize {
        match self.transition {
            Transition::Scalar => 1,
            Transition::Diagonal => self.rows,
            Transition::Dense => self.rows * self.rows,
            Transition::LogSum => 1 + self.rows,
        }
    }

    fn head_state_len(&self) -> usize {
        self.rows * self.cols + if self.transition == Transition::LogSum { self.rows } else { 0 }
    }

    fn head_map_len(&self) -> usize {
        self.transition_len() + self.rows * self.cols
    }

    /// Elements of a state.
    pub fn state_len(&self) -> usize {
        self.heads * self.head_state_len()
    }

    /// Elements of a map, transition included: what a rank sends.
    pub fn map_len(&self) -> usize {
        self.heads * self.head_map_len()
    }

    /// The state before the first token.
    pub fn empty_state<T: Real>(&self) -> Vec<T> {
        let mut state = vec![T::ZERO; self.state_len()];
        if self.transition == Transition::LogSum {
            for head in state.chunks_mut(self.head_state_len()) {
                head[..self.rows].fill(T::NEG_INFINITY);
            }
        }
        state
    }

    /// The map of no tokens.
    pub fn identity<T: Real>(&self) -> Vec<T> {
        let mut map = vec![T::ZERO; self.map_len()];
        for head in map.chunks_mut(self.head_map_len()) {
            match self.transition {
                Transition::Scalar => head[0] = T::ONE,
                Transition::Diagonal => head[..self.rows].fill(T::ONE),
                Transition::Dense => (0..self.rows).for_each(|row| head[row * self.rows + row] = T::ONE),
                Transition::LogSum => {
                    head[0] = T::ONE;
                    head[1..=self.rows].fill(T::NEG_INFINITY);
                }
            }
        }
        map
    }

    /// The map of two spans, the one that the state meets first named first. Associative; not commutative.
    ///
    /// # Panics
    /// When a slice is not of [`StateShape::map_len`]: a mistake of the caller.
    pub fn compose<T: Real>(&self, first: &[T], second: &[T]) -> Vec<T> {
        assert_eq!((first.len(), second.len()), (self.map_len(), self.map_len()), "lengths of maps");
        let mut out = vec![T::ZERO; self.map_len()];
        let len = self.head_map_len();
        for ((out, first), second) in out.chunks_mut(len).zip(first.chunks(len)).zip(second.chunks(len)) {
            self.compose_head(first, second, out);
        }
        out
    }

    fn compose_head<T: Real>(&self, first: &[T], second: &[T], out: &mut [T]) {
        let (rows, at) = (self.rows, self.transition_len());
        let ((a1, m1), (a2, m2)) = (first.split_at(at), second.split_at(at));
        let (a, m) = out.split_at_mut(at);
        match self.transition {
            Transition::Scalar | Transition::Diagonal => {
                a.iter_mut().zip(a1.iter().zip(a2)).for_each(|(a, (&a1, &a2))| *a = a1 * a2);
                m.copy_from_slice(m2);
                self.add_scaled(a2, m1, m);
            }
            Transition::Dense => {
                product(
                    Update::Set,
                    MatrixMut::dense(a, rows, rows),
                    T::ONE,
                    Matrix::dense(a2, rows, rows),
                    Matrix::dense(a1, rows, rows),
                );
                m.copy_from_slice(m2);
                self.add_scaled(a2, m1, m);
            }
            Transition::LogSum => {
                a[0] = a1[0] * a2[0];
                let (keep, z1, z2) = (a2[0], &a1[1..], &a2[1..]);
                log_sum(keep, (z1, m1), (z2, m2), (&mut a[1..], m));
            }
        }
    }

    /// The state after a span: `A · S + M`.
    ///
    /// # Panics
    /// When a slice has not the length of its shape: a mistake of the caller.
    pub fn apply<T: Real>(&self, map: &[T], state: &[T]) -> Vec<T> {
        assert_eq!((map.len(), state.len()), (self.map_len(), self.state_len()), "lengths of a map and a state");
        let mut out = vec![T::ZERO; self.state_len()];
        let (at, map_len, state_len) = (self.transition_len(), self.head_map_len(), self.head_state_len());
        for ((out, map), state) in out.chunks_mut(state_len).zip(map.chunks(map_len)).zip(state.chunks(state_len)) {
            let (a, m) = map.split_at(at);
            if self.transition == Transition::LogSum {
                let ((z1, s1), (z, s)) = (state.split_at(self.rows), out.split_at_mut(self.rows));
                log_sum(a[0], (z1, s1), (&a[1..], m), (z, s));
            } else {
                out.copy_from_slice(m);
                self.add_scaled(a, state, out);
            }
        }
        out
    }

    /// `out += A · m`, for one head.
    fn add_scaled<T: Real>(&self, a: &[T], m: &[T], out: &mut [T]) {
        let (rows, cols) = (self.rows, self.cols);
        if self.transition == Transition::Dense {
            return product(
                Update::Add,
                MatrixMut::dense(out, rows, cols),
                T::ONE,
                Matrix::dense(a, rows, rows),
                Matrix::dense(m, rows, cols),
            );
        }
        for (row, (out, m)) in out.chunks_mut(cols.max(1)).zip(m.chunks(cols.max(1))).enumerate() {
            let a = a[if a.len() == 1 { 0 } else { row }];
            // A state that a document start cuts off may hold anything, infinities too.
            if a != T::ZERO {
                out.iter_mut().zip(m).for_each(|(out, &m)| *out += a * m);
            }
        }
    }
}

/// The weighted mean of two weighted means whose weights are given by their logarithms; `keep` = 0 leaves the first out.
fn log_sum<T: Real>(keep: T, (z1, s1): (&[T], &[T]), (z2, s2): (&[T], &[T]), (z, s): (&mut [T], &mut [T])) {
    let cols = s.len() / z.len().max(1);
    for row in 0..z.len() {
        let z1 = if keep == T::ZERO { T::NEG_INFINITY } else { z1[row] };
        let top = z1.max(z2[row]);
        if top == T::NEG_INFINITY {
            z[row] = top;
            continue;
        }
        let (w1, w2) = ((z1 - top).exp(), (z2[row] - top).exp());
        z[row] = top + (w1 + w2).ln();
        let total = w1 + w2;
        let range = row * cols..(row + 1) * cols;
        for (s, (&s1, &s2)) in s[range.clone()].iter_mut().zip(s1[range.clone()].iter().zip(&s2[range])) {
            *s = if w1 == T::ZERO { s2 } else { (w1 * s1 + w2 * s2) / total };
        }
    }
}
