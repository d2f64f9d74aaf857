//! The gathers of one group, one after the other in the order in which the program calls them, whichever threads carry them out.
//!
//! ```text
//!   ticket ──▶ turn ──┬─ not formed ──(all come together on the side group)──▶ formed, or absent where one member cannot
//!                     ├─ formed ────▶ fabric
//!                     ├─ absent ────▶ side group
//!                     └─ ended ─────▶ error, from the first failure on
//! ```
//!
//! The side group has the members of the control group and belongs to whoever has the turn, so that what is said there beside the program
//! never meets a call that the program makes meanwhile.

use super::{Fabric, FabricError, Form};
use braid_workload::exchange::{Deadline, Exchange, ExchangeError, Operation};
use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

/// How long the side group may take where the program does not wait yet: the end of the epoch comes first, which ends its calls too.
const UNTIL_THE_END: Duration = Duration::from_secs(24 * 3600);
/// Between two looks at a failure while another gather has the turn.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The order of a group's gathers, and what carries them.
pub(super) struct Lane {
    side: Arc<dyn Exchange>,
    form: Arc<dyn Form>,
    state: Mutex<State>,
    turns: Mutex<Turns>,
    turned: Condvar,
}

#[derive(Default)]
struct Turns {
    issued: u64,
    now: u64,
}

enum State {
    Unformed,
    Formed(Box<dyn Fabric>),
    /// A member has none.
    Absent,
    Ended,
}

/// A place in the order. Whoever has it takes its turn, or gives it back by dropping it.
pub(super) struct Ticket {
    lane: Arc<Lane>,
    number: u64,
}

/// How long a gather may take.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit {
    /// The program waits for it: so long.
    Waited(Duration),
    /// The program does not wait yet: until the epoch ends.
    Started,
}

impl Lane {
    pub(super) fn new(side: Arc<dyn Exchange>, form: Arc<dyn Form>) -> Arc<Self> {
        let (state, turns) = (Mutex::new(State::Unformed), Mutex::default());
        Arc::new(Self { side, form, state, turns, turned: Condvar::new() })
    }

    /// The next place in the order.
    pub(super) fn ticket(self: &Arc<Self>) -> Ticket {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.issued += 1;
        Ticket { lane: Arc::clone(self), number: turns.issued - 1 }
    }

    fn carry(
        &self,
        state: &mut State,
        mine: &[u8],
        lens: &[usize],
        out: &mut [u8],
        limit: Duration,
        go_on: &mut dyn FnMut() -> Result<(), ExchangeError>,
    ) -> Result<(), FabricError> {
        if matches!(state, State::Unformed) {
            *state = self.form.form(&*self.side, limit)?.map_or(State::Absent, State::Formed);
        }
        match state {
            State::Formed(fabric) if lens.iter().all(|len| *len == mine.len()) => fabric.all_gather(mine, out, go_on),
            State::Formed(fabric) => filled_up(&mut **fabric, mine, lens, out, go_on),
            State::Absent => Ok(self.side.all_gather_varied(mine, lens, out)?),
            State::Unformed | State::Ended => Err(FabricError::Failed("the group of GPUs has ended".into())),
        }
    }
}

/// A gather of parts of different length: each is filled up to the longest.
fn filled_up(
    fabric: &mut dyn Fabric,
    mine: &[u8],
    lens: &[usize],
    out: &mut [u8],
    go_on: &mut dyn FnMut() -> Result<(), ExchangeError>,
) -> Result<(), FabricError> {
    let largest = lens.iter().max().copied().unwrap_or(0);
    let mut filled = mine.to_vec();
    filled.resize(largest, 0);
    let mut all = vec![0; largest * lens.len()];
    fabric.all_gather(&filled, &mut all, go_on)?;
    let mut rest = out;
    for (part, len) in all.chunks(largest.max(1)).zip(lens) {
        let (own, next) = std::mem::take(&mut rest).split_at_mut(*len);
        own.copy_from_slice(&part[..*len]);
        rest = next;
    }
    Ok(())
}

impl Ticket {
    /// Gathers when its turn has come. `control` is asked for the end of the epoch, and `limit` says how long it may take from now.
    pub(super) fn gather(
        self,
        control: &dyn Exchange,
        mine: &[u8],
        lens: &[usize],
        out: &mut [u8],
        limit: Limit,
    ) -> Result<(), FabricError> {
        let (lane, rank) = (&self.lane, control.rank());
        let deadline = Deadline::after(match limit {
            Limit::Waited(limit) => limit,
            Limit::Started => UNTIL_THE_END,
        });
        let mut go_on = || {
            if let Some(failure) = control.failure() {
                return Err(failure);
            }
            if deadline.left().is_zero() {
                let missing = (0..control.size()).filter(|other| *other != rank).collect();
                return Err(ExchangeError::Deadline { operation: Operation::AllGather, limit: deadline.limit(), missing });
            }
            Ok(())
        };
        let mut turns = lane.turns.lock().unwrap_or_else(PoisonError::into_inner);
        while turns.now != self.number {
            go_on()?;
            turns = lane.turned.wait_timeout(turns, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(turns);
        lane.side.set_timeout(deadline.limit());
        let mut state = lane.state.lock().unwrap_or_else(PoisonError::into_inner);
        let done = lane.carry(&mut state, mine, lens, out, control.timeout(), &mut go_on);
        if done.is_err() {
            *state = State::Ended;
        }
        done
    }
}

impl Drop for Ticket {
    /// The turn goes to the next; one that was never taken is waited for, so that the order stays.
    fn drop(&mut self) {
        let mut turns = self.lane.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.now == self.number {
            turns.now += 1;
        } else {
            // It gave up before its turn, which it only does where the epoch has ended: nobody's turn is to come any more.
            turns.now = turns.now.max(self.number + 1);
        }
        drop(turns);
        self.lane.turned.notify_all();
    }
}
