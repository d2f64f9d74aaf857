//! The bounded queue from compute threads to the session.
//!
//! Not a channel of tokio's: those refuse to block on a thread that drives a runtime, and a task may well write a log
//! line from a runtime of its own.

use super::assignment::Report;
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, PoisonError},
};
use tokio::sync::Notify;

/// A queue with room for so many reports.
pub(super) struct Reports {
    state: Mutex<State>,
    room: Condvar,
    arrived: Notify,
    capacity: usize,
}

struct State {
    waiting: VecDeque<Report>,
    closed: bool,
}

impl Reports {
    pub(super) fn new(capacity: usize) -> Self {
        let state = State { waiting: VecDeque::new(), closed: false };
        Self { state: Mutex::new(state), room: Condvar::new(), arrived: Notify::new(), capacity }
    }

    /// Adds a report, waiting for room. Once closed, reports have nobody to go to and are dropped.
    pub(super) fn push(&self, report: Report) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.waiting.len() >= self.capacity && !state.closed {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return;
        }
        state.waiting.push_back(report);
        drop(state);
        self.arrived.notify_one();
    }

    /// All that wait, at least one. May be dropped and called again without loss; for one caller at a time.
    pub(super) async fn next(&self) -> VecDeque<Report> {
        loop {
            let taken = std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).waiting);
            if !taken.is_empty() {
                self.room.notify_all();
                return taken;
            }
            self.arrived.notified().await;
        }
    }

    /// Lets every thread go that waits for room.
    pub(super) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.room.notify_all();
    }
}
