//! Exclusive scans over ranks: each rank gets the composition of what the ranks before it hold, or of those after it.
//!
//! The operator is associative and need not commute: composing memory states `(γ₂, M₂) ∘ (γ₁, M₁) = (γ₁γ₂, γ₂⊙M₁ + M₂)` is
//! such a one. Two ways, with the same result up to rounding, as they bracket differently:
//!
//! | [`ScanMethod`] | rounds | bytes a rank receives | order of combination |
//! |---|---|---|---|
//! | `Gather` (as LASP-2) | 1 | (W−1)·S | `((x₀∘x₁)∘x₂)∘…`, one after the other |
//! | `LogStep` (Kogge–Stone) | ⌈log₂ W⌉ | ⌈log₂ W⌉·S | windows of 1, 2, 4, … ranks, nearest window innermost |
//!
//! Both depend on W and the rank alone, never on time. Written with [`Exchange`] only; a rank's operands always are in
//! rank order, in both directions.

use super::{Exchange, ExchangeError, Operation, TypedExchange, collective::ROUND_BYTES};
use bytemuck::Pod;

/// Whose values a rank gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Those of lower ranks: the prefix of a forward pass.
    Forward,
    /// Those of higher ranks: the suffix of a backward pass.
    Backward,
}

/// How the values travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanMethod {
    /// Everyone gets the values it needs at once, and composes them: the half of an all_gather.
    Gather,
    /// Windows of values, twice as wide in every round.
    LogStep,
}

impl ScanMethod {
    /// The faster way for `bytes` per rank over `size` ranks.
    ///
    /// With k = ⌈log₂ W⌉, stepping costs k − 1 more rounds and saves W − 1 − k values, less one for what its windows are
    /// copied and combined: it wins when `S·(W−2−k) > (k−1)·R`, R being the bytes that a link carries in the time of a
    /// round (64 KiB). Never for 5 ranks or fewer; from 128 KiB for 6, 43 KiB for 8, 20 KiB for 16, 6 KiB for 64.
    /// `docs/performance.md` has what was measured.
    pub fn choose(size: usize, bytes: usize) -> Self {
        let steps = u64::from(size.max(1).next_power_of_two().ilog2());
        let saved = (size as u64).saturating_sub(2 + steps).saturating_mul(bytes as u64);
        if saved > steps.saturating_sub(1) * ROUND_BYTES as u64 { Self::LogStep } else { Self::Gather }
    }
}

/// Composes the values of all ranks before this one ([`Direction::Forward`]) or after it ([`Direction::Backward`]), the
/// faster way for their size. `None` on the rank that has none before (after) it.
///
/// `combine(left, right)` writes `left ∘ right` into `left`; `left` is always that of the lower ranks.
///
/// # Errors
/// As any call of the exchange.
pub fn exclusive_scan<T: Pod>(
    exchange: &dyn Exchange,
    mine: &[T],
    direction: Direction,
    combine: impl FnMut(&mut [T], &[T]),
) -> Result<Option<Vec<T>>, ExchangeError> {
    let method = ScanMethod::choose(exchange.size(), size_of_val(mine));
    exclusive_scan_by(exchange, method, mine, direction, combine)
}

/// [`exclusive_scan`] by a given method.
///
/// # Errors
/// As any call of the exchange.
pub fn exclusive_scan_by<T: Pod>(
    exchange: &dyn Exchange,
    method: ScanMethod,
    mine: &[T],
    direction: Direction,
    combine: impl FnMut(&mut [T], &[T]),
) -> Result<Option<Vec<T>>, ExchangeError> {
    match method {
        ScanMethod::Gather => by_gather(exchange, mine, direction, combine),
        ScanMethod::LogStep => by_steps(exchange, mine, direction, combine),
    }
    .map_err(|error| error.during(Operation::Scan))
}

fn by_gather<T: Pod>(
    exchange: &dyn Exchange,
    mine: &[T],
    direction: Direction,
    mut combine: impl FnMut(&mut [T], &[T]),
) -> Result<Option<Vec<T>>, ExchangeError> {
    let (rank, size) = (exchange.rank(), exchange.size());
    let (from, to) = match direction {
        Direction::Forward => (0..rank, rank + 1..size),
        Direction::Backward => (rank + 1..size, 0..rank),
    };
    let mut values: Vec<Vec<T>> = from.clone().map(|_| vec![T::zeroed(); mine.len()]).collect();
    let sends: Vec<_> = to.map(|to| (to, mine)).collect();
    let mut receives: Vec<_> = from.zip(values.iter_mut().map(Vec::as_mut_slice)).collect();
    exchange.transfer_values(&sends, &mut receives)?;
    let mut values = values.into_iter();
    Ok(values.next().map(|mut result| {
        values.for_each(|value| combine(&mut result, &value));
        result
    }))
}

/// Before the step of width w, `window` composes the w ranks that end (begin) with this one, and `result` those of them
/// that are before (after) it. The window of the rank w before (after) this one is adjacent to both.
fn by_steps<T: Pod>(
    exchange: &dyn Exchange,
    mine: &[T],
    direction: Direction,
    mut combine: impl FnMut(&mut [T], &[T]),
) -> Result<Option<Vec<T>>, ExchangeError> {
    let (rank, size) = (exchange.rank(), exchange.size());
    let mut join = |near: &mut Vec<T>, far: Vec<T>| match direction {
        Direction::Forward => {
            let near_by = std::mem::replace(near, far);
            combine(near, &near_by);
        }
        Direction::Backward => combine(near, &far),
    };
    let mut window = mine.to_vec();
    let mut result: Option<Vec<T>> = None;
    let mut width = 1;
    while width < size {
        let (lower, higher) = (rank.checked_sub(width), Some(rank + width).filter(|&rank| rank < size));
        let (from, to) = match direction {
            Direction::Forward => (lower, higher),
            Direction::Backward => (higher, lower),
        };
        let mut came = vec![T::zeroed(); if from.is_some() { mine.len() } else { 0 }];
        let sends: Vec<_> = to.map(|to| (to, window.as_slice())).into_iter().collect();
        let mut receives: Vec<_> = from.map(|from| (from, came.as_mut_slice())).into_iter().collect();
        exchange.transfer_values(&sends, &mut receives)?;
        // The last window goes to nobody.
        let last = width * 2 >= size;
        if from.is_some() {
            let far = if last { std::mem::take(&mut came) } else { came.clone() };
            match &mut result {
                None => result = Some(far),
                Some(result) => join(result, far),
            }
            if !last {
                join(&mut window, came);
            }
        }
        width *= 2;
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_is_chosen_by_the_break_even_of_the_documentation() {
        use ScanMethod::{Gather, LogStep};
        let choose = ScanMethod::choose;
        for size in 0..=5 {
            assert_eq!(choose(size, 1 << 40), Gather, "{size} ranks");
        }
        for (size, bytes) in [(6, 128 << 10), (8, 43 << 10), (16, 20 << 10), (64, 6 << 10)] {
            assert_eq!((choose(size, bytes * 9 / 10), choose(size, bytes * 11 / 10)), (Gather, LogStep), "{size} ranks");
        }
    }
}
