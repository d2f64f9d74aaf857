//! Gated sums backward: gradients inside chunks, then a sweep forward for the states and one back for their gradients.

use super::{
    super::{
        Real,
        chunkwise::{Cut, Head, Mask, Sheet, Widths, add_scaled, difference_of_products, gate_gradient},
        matrix::{Matrix, MatrixMut, Update, product},
    },
    Work,
};

impl<T: Real> Work<T> {
    /// The gradient of the state before the loaded chunk, from that after it.
    fn write_back(&mut self, d_out: &[T], d_state: &mut [T]) {
        let (len, Widths { key, value, .. }) = (self.chunk.len, self.chunk.widths);
        let q = self.decay.enter(&self.chunk.q, key, &mut self.rows);
        self.decay.pass(d_state, value);
        let (q, d_out) = (Matrix::dense(q, len, key), Matrix::dense(d_out, len, value));
        product(Update::Add, MatrixMut::dense(d_state, key, value), T::ONE, q.t(), d_out);
    }
}

/// The map of the gradient: `dS = A dS' + dM` with the same diagonal A.
pub(super) fn adjoint<T: Real>(head: &Head<'_, T>, d_out: &[T], map: &mut [T]) {
    let value = head.widths.value;
    let (a, m) = map.split_at_mut(map.len() - head.state_len());
    a.fill(T::ONE);
    m.fill(T::ZERO);
    let mut work = Work::new(head);
    for cut in head.cuts().iter().rev() {
        if cut.fresh {
            a.fill(T::ZERO);
            m.fill(T::ZERO);
            continue;
        }
        work.load(head, cut);
        work.write_back(&d_out[cut.range.start * value..cut.range.end * value], m);
        a.iter_mut().zip(work.decay.total()).for_each(|(a, &total)| *a *= total);
    }
}

/// The gradients that stay inside a chunk.
pub(super) fn intra<T: Real>(head: &Head<'_, T>, cuts: &[Cut], d_out: &[T], d: &mut Sheet<T>) {
    let Widths { key, value, .. } = head.widths;
    let mut work = Work::new(head);
    for cut in cuts {
        let (len, rows) = (cut.range.len(), cut.within(cuts));
        work.load(head, cut);
        let Work { chunk, decay, scores, pairs, .. } = &mut work;
        scores.read(chunk, decay);
        pairs.resize(len * len, T::ZERO);
        let (keys, values) = (rows.start * key..rows.end * key, rows.start * value..rows.end * value);
        let d_out = Matrix::dense(&d_out[values.clone()], len, value);

        scores.forward(decay, &chunk.q, &chunk.k, Mask::Causal, pairs);
        let dv = MatrixMut::dense(&mut d.v[values], len, value);
        product(Update::Set, dv, T::ONE, Matrix::dense(pairs, len, len).t(), d_out);

        let d_pairs = MatrixMut::dense(pairs, len, len);
        product(Update::Set, d_pairs, T::ONE, d_out, Matrix::dense(&chunk.v, len, value).t());
        scores.mask(Mask::Causal, pairs);
        scores.backward(decay, pairs, (&chunk.q, &chunk.k), (&mut d.q[keys.clone()], &mut d.k[keys]));
    }
}

/// The gradients that go through states. Every state after a chunk is kept, since the gates need them on the way back.
pub(super) fn sweep<T: Real>(head: &Head<'_, T>, cuts: &[Cut], state: &[T], d_out: &[T], d_state: &mut [T], d: &mut Sheet<T>) {
    let Widths { key, value, gate, .. } = head.widths;
    let (mut work, mut state, mut after) = (Work::new(head), state.to_vec(), vec![]);
    for cut in cuts {
        let (len, rows) = (cut.range.len(), cut.within(cuts));
        work.load(head, cut);
        if cut.fresh {
            state.fill(T::ZERO);
        } else {
            work.rows.resize(len * key, T::ZERO);
            let d_out = Matrix::dense(&d_out[rows.start * value..rows.end * value], len, value);
            let s = Matrix::dense(&state, key, value);
            product(Update::Set, MatrixMut::dense(&mut work.rows, len, key), T::ONE, d_out, s.t());
            add_scaled(&work.rows, &work.decay.from_start, (gate, key), &mut d.q[rows.start * key..rows.end * key]);
        }
        work.write(false, &mut state);
        if gate > 0 {
            after.extend_from_slice(&state);
        }
    }
    let mut dc = Sheet::new(head.widths, 0);
    for (index, cut) in cuts.iter().enumerate().rev() {
        let (len, rows) = (cut.range.len(), cut.within(cuts));
        work.load(head, cut);
        work.decay.read_to_end();
        dc.take(d, &rows);
        let ds = Matrix::dense(d_state, key, value);
        work.rows.resize(len * key, T::ZERO);
        let v = Matrix::dense(&work.chunk.v, len, value);
        product(Update::Set, MatrixMut::dense(&mut work.rows, len, key), T::ONE, v, ds.t());
        add_scaled(&work.rows, &work.decay.to_end, (gate, key), &mut dc.k);
        let k = work.decay.leave(&work.chunk.k, key, &mut work.rows);
        let k = Matrix::dense(k, len, key);
        product(Update::Add, MatrixMut::dense(&mut dc.v, len, value), T::ONE, k, ds);
        if gate > 0 {
            work.rows.resize(len * key, T::ZERO);
            difference_of_products(&mut work.rows, &work.chunk.q, &dc.q, &work.chunk.k, &dc.k);
            let after = &after[index * key * value..(index + 1) * key * value];
            gate_gradient(&work.rows, (after, d_state), &work.chunk, &mut dc.g);
        }
        if cut.fresh {
            d_state.fill(T::ZERO);
        } else {
            work.write_back(&d_out[rows.start * value..rows.end * value], d_state);
        }
        head.pull_back(&cut.range, &work.chunk, &mut dc);
        dc.give(d, &rows);
    }
}
