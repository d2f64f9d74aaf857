//! Token by token, as decoding runs it: `S ← rule(S)`, `o = Sᵀ q`.

use super::{
    super::{Real, heads::axpy},
    Head, Output, Rule, Sheet,
};

/// The outputs of one head, and the state after them.
pub(crate) fn token_by_token<T: Real, R: Rule<T>>(head: &Head<'_, T>, state: &mut [T], out: &mut Output<'_, T>) {
    let (mut token, mut row) = (Sheet::new(head.widths, 1), vec![T::ZERO; head.widths.value]);
    for cut in head.cuts() {
        if cut.fresh {
            state.fill(T::ZERO);
        }
        for place in cut.range.clone() {
            head.load(&(place..place + 1), &mut token);
            decay(&token, state);
            R::step(&token, state);
            row.fill(T::ZERO);
            for (state, &q) in state.chunks(row.len()).zip(&token.q) {
                axpy(&mut row, q, state);
            }
            out.write(&head.route, &(place..place + 1), &mut row);
        }
    }
}

fn decay<T: Real>(token: &Sheet<T>, state: &mut [T]) {
    let value = token.widths.value;
    for (row, state) in state.chunks_mut(value).enumerate() {
        let Some(g) = token.g.get(if token.widths.gate == 1 { 0 } else { row }) else { return };
        let a = g.exp();
        state.iter_mut().for_each(|s| *s *= a);
    }
}
