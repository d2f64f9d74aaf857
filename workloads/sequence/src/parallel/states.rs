//! Memory states on their way over the ranks: each rank sums its tokens up as an affine map, and gets the state that the maps of
//! the ranks before it make of the empty one (LASP-2, arXiv 2502.07563; packed documents by A = 0 where one begins).
//!
//! The maps travel while `work` computes what needs no state. A rank whose documents all end with its tokens has a map that nobody
//! needs and sends none; where no document is cut, or there is one rank, nothing is sent at all.

use std::{ops::Range, thread};

use braid_kernels::attention::{Carry, Direction, Real, StateShape};
use braid_workload::{
    Exchange, ExchangeError,
    exchange::{self, ScanMethod, exclusive_scan_by, wait_values},
};
use bytemuck::{Pod, cast_slice};

use super::{Layout, method};

/// One shape among those of a mixer, and where its map and its state lie among theirs.
struct Piece {
    shape: StateShape,
    map: Range<usize>,
    state: Range<usize>,
}

/// The states of one layer, one way.
pub(super) struct States<'a> {
    exchange: &'a dyn Exchange,
    layout: &'a Layout,
    pieces: Vec<Piece>,
    map_len: usize,
}

impl<'a> States<'a> {
    pub(super) fn new(exchange: &'a dyn Exchange, layout: &'a Layout, shapes: Vec<StateShape>) -> Self {
        let (mut map_len, mut state_len) = (0, 0);
        let piece = |shape: StateShape| {
            let (map, state) = (map_len, state_len);
            (map_len, state_len) = (map + shape.map_len(), state + shape.state_len());
            Piece { shape, map: map..map_len, state: state..state_len }
        };
        let pieces = shapes.into_iter().map(piece).collect();
        Self { exchange, layout, pieces, map_len }
    }

    /// The states of a sequence's beginning.
    pub(super) fn empty<T: Real>(&self) -> Vec<T> {
        self.pieces.iter().flat_map(|piece| piece.shape.empty_state()).collect()
    }

    /// Whether anybody needs the map of a rank.
    fn contributes(&self, rank: usize) -> bool {
        self.pieces.iter().any(|piece| self.layout.hands_on(rank, piece.shape.direction))
    }

    /// Runs `work`, whose `carry` gives the states that come into this rank. `summarize` writes the rank's own maps.
    ///
    /// # Errors
    /// Those of the exchange; `work` has then been given the empty states, and its result is dropped.
    pub(super) fn carried<T: Real + Pod, R>(
        &self,
        forced: Option<ScanMethod>,
        summarize: impl FnOnce(&mut [T]),
        work: impl FnOnce(Carry<'_, T>) -> R,
    ) -> Result<R, ExchangeError> {
        let contributors = (0..self.layout.ranks()).filter(|&rank| self.contributes(rank)).count();
        if contributors == 0 {
            return Ok(work(&mut |_| {}));
        }
        let bytes = |way| self.along(way).map(|piece| piece.map.len() * size_of::<T>()).sum();
        let method = || method::choose(self.layout.ranks(), contributors, [Direction::Forward, Direction::Reverse].map(bytes));
        match forced.unwrap_or_else(method) {
            ScanMethod::Gather => self.gathered(summarize, work),
            ScanMethod::LogStep => self.scanned(summarize, work),
        }
    }

    fn gathered<T: Real + Pod, R>(
        &self,
        summarize: impl FnOnce(&mut [T]),
        work: impl FnOnce(Carry<'_, T>) -> R,
    ) -> Result<R, ExchangeError> {
        let len_of = |rank| if self.contributes(rank) { self.map_len } else { 0 };
        let lens: Vec<usize> = (0..self.layout.ranks()).map(len_of).collect();
        let mut mine = vec![T::ZERO; lens[self.exchange.rank()]];
        if !mine.is_empty() {
            summarize(&mut mine);
        }
        let bytes: Vec<usize> = lens.iter().map(|len| len * size_of::<T>()).collect();
        let pending = self.exchange.start_all_gather_varied(cast_slice(&mine).to_vec(), &bytes)?;
        let wait = || {
            let mut maps = vec![T::ZERO; lens.iter().sum()];
            wait_values(pending, &mut maps)?;
            Ok(maps)
        };
        overlapped(wait, |maps, states| self.apply_gathered(&lens, &maps, states), work)
    }

    /// One map after the other: with one state at hand that is less work than composing them.
    fn apply_gathered<T: Real>(&self, lens: &[usize], maps: &[T], states: &mut [T]) {
        for piece in &self.pieces {
            let state = &mut states[piece.state.clone()];
            for rank in self.layout.passed(self.exchange.rank(), piece.shape.direction) {
                let start = lens[..rank].iter().sum::<usize>();
                state.copy_from_slice(&piece.shape.apply(&maps[start..][piece.map.clone()], state));
            }
        }
    }

    fn scanned<T: Real + Pod, R>(
        &self,
        summarize: impl FnOnce(&mut [T]),
        work: impl FnOnce(Carry<'_, T>) -> R,
    ) -> Result<R, ExchangeError> {
        let mut mine = vec![T::ZERO; self.map_len];
        if self.layout.own(self.exchange.rank()).is_empty() {
            self.pieces.iter().for_each(|piece| mine[piece.map.clone()].copy_from_slice(&piece.shape.identity::<T>()));
        } else {
            summarize(&mut mine);
        }
        let apply = |composed, states: &mut [T]| self.apply_composed(composed, states);
        // The steps block; a thread of their own lets them overlap with the work as the gather does.
        thread::scope(|scope| {
            let steps = || self.scan(&mine);
            match thread::Builder::new().name("state scan".into()).spawn_scoped(scope, steps) {
                Ok(running) => {
                    let wait = || running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                    overlapped(wait, apply, work)
                }
                // No thread to be had: first the one, then the other.
                Err(_) => overlapped(steps, apply, work),
            }
        })
    }

    /// For each way that states travel, the maps of the ranks that they meet before this one, composed. None where there is no rank.
    fn scan<T: Real + Pod>(&self, mine: &[T]) -> Result<Vec<Composed<T>>, ExchangeError> {
        let mut all = vec![];
        for way in [Direction::Forward, Direction::Reverse] {
            let pieces: Vec<&Piece> = self.along(way).collect();
            if pieces.is_empty() {
                continue;
            }
            let packed: Vec<T> = pieces.iter().flat_map(|piece| &mine[piece.map.clone()]).copied().collect();
            let compose = |lower: &mut [T], higher: &[T]| compose_all(&pieces, way, lower, higher);
            let towards = match way {
                Direction::Forward => exchange::Direction::Forward,
                Direction::Reverse => exchange::Direction::Backward,
            };
            let composed = exclusive_scan_by(self.exchange, ScanMethod::LogStep, &packed, towards, compose)?;
            all.extend(composed.map(|maps| (way, maps)));
        }
        Ok(all)
    }

    fn apply_composed<T: Real>(&self, composed: Vec<Composed<T>>, states: &mut [T]) {
        for (way, maps) in composed {
            let mut rest = maps.as_slice();
            for piece in self.along(way) {
                let (map, after) = rest.split_at(piece.map.len());
                let state = &mut states[piece.state.clone()];
                state.copy_from_slice(&piece.shape.apply(map, state));
                rest = after;
            }
        }
    }

    fn along(&self, way: Direction) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(move |piece| piece.shape.direction == way)
    }
}

/// A way, and the maps of the shapes that go it, one after the other.
type Composed<T> = (Direction, Vec<T>);

/// `lower` becomes the maps of the lower and the higher ranks; which of them the state meets first depends on the way.
fn compose_all<T: Real>(pieces: &[&Piece], way: Direction, lower: &mut [T], higher: &[T]) {
    let mut at = 0;
    for piece in pieces {
        let part = at..at + piece.map.len();
        let (a, b) = (&lower[part.clone()], &higher[part.clone()]);
        let composed = match way {
            Direction::Forward => piece.shape.compose(a, b),
            Direction::Reverse => piece.shape.compose(b, a),
        };
        lower[part.clone()].copy_from_slice(&composed);
        at = part.end;
    }
}

/// Runs `work`, which asks for states at most once; waits then, or after it, so that a failure shows in the call that it is of.
fn overlapped<T: Real, M, R>(
    wait: impl FnOnce() -> Result<M, ExchangeError>,
    apply: impl FnOnce(M, &mut [T]),
    work: impl FnOnce(Carry<'_, T>) -> R,
) -> Result<R, ExchangeError> {
    let (mut steps, mut failure) = (Some((wait, apply)), None);
    let result = work(&mut |states| {
        if let Some((wait, apply)) = steps.take() {
            match wait() {
                Ok(maps) => apply(maps, states),
                Err(error) => failure = Some(error),
            }
        }
    });
    if let Some((wait, _)) = steps {
        wait()?;
    }
    failure.map_or(Ok(result), Err)
}
