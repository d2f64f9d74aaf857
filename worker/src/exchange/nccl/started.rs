//! A gather that goes on beside the program, on a thread of its own: it ends with the gather, or with the epoch.

use super::{
    agree, end,
    lane::{Limit, Ticket},
};
use braid_workload::exchange::{Exchange, ExchangeError, Operation, Pending};
use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
};

/// One that was started.
pub(super) struct Started {
    control: Arc<dyn Exchange>,
    /// How much this member brings.
    own: usize,
    /// How much all bring.
    lens: Vec<usize>,
    /// Who has come, and with how much.
    arrival: Box<dyn Pending>,
    result: Receiver<Result<Vec<u8>, ExchangeError>>,
}

impl Started {
    /// Starts to gather `mine` when the turn of `ticket` comes.
    pub(super) fn new(
        control: Arc<dyn Exchange>,
        ticket: Ticket,
        mine: Vec<u8>,
        lens: Vec<usize>,
        arrival: Box<dyn Pending>,
    ) -> Result<Self, ExchangeError> {
        let (own, bytes) = (mine.len(), lens.iter().sum());
        let (sender, result) = mpsc::sync_channel(1);
        let gather = {
            let (control, lens) = (Arc::clone(&control), lens.clone());
            move || {
                let mut out = vec![0; bytes];
                let done = ticket.gather(&*control, &mine, &lens, &mut out, Limit::Started).map(|()| out);
                // Where nobody waits for it any more, the others have this member's bytes all the same.
                drop(sender.send(done.map_err(|error| end(&*control, error))));
            }
        };
        let spawned = thread::Builder::new().name("gather".into()).spawn(gather);
        spawned.map_err(|error| {
            let (rank, attempt) = (control.rank(), "start a gather".into());
            end(&*control, ExchangeError::System { rank, attempt, detail: error.to_string() }.into())
        })?;
        Ok(Self { control, own, lens, arrival, result })
    }
}

impl Pending for Started {
    fn bytes(&self) -> usize {
        self.lens.iter().sum()
    }

    fn wait_into(self: Box<Self>, out: &mut [u8]) -> Result<(), ExchangeError> {
        let (rank, limit, bytes) = (self.control.rank(), self.control.timeout(), self.bytes());
        if out.len() != bytes {
            let detail = format!("a gather of {bytes} bytes into {}", out.len());
            return Err(end(&*self.control, ExchangeError::Misuse { rank, operation: Operation::AllGather, detail }.into()));
        }
        let all = self.arrival.wait()?;
        agree(&*self.control, self.own, &self.lens, &all)?;
        match self.result.recv_timeout(limit) {
            Ok(done) => {
                out.copy_from_slice(&done?);
                Ok(())
            }
            Err(RecvTimeoutError::Timeout) => {
                let missing = (0..self.control.size()).filter(|other| *other != rank).collect();
                Err(end(&*self.control, ExchangeError::Deadline { operation: Operation::AllGather, limit, missing }.into()))
            }
            Err(RecvTimeoutError::Disconnected) => {
                let (attempt, detail) = ("gather beside the program".into(), "its thread has ended".into());
                Err(end(&*self.control, ExchangeError::System { rank, attempt, detail }.into()))
            }
        }
    }
}
