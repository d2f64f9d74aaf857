//! Where the programs of a gang meet: their members tell each other, over the exchange, on which nodes they are and which port
//! rank 0 has found free. The exchange is let go of before the programs start; a member that fails or is lost later is the
//! coordinator's to notice, which stops the others.

mod port;

use crate::{CommandError, CommandSpec};
use braid_workload::{Exchange, TaskContext};
use port::Port;
use serde::{Deserialize, Serialize};
use std::fs;

/// A program's place in its gang, once all are there.
#[derive(Debug)]
pub(super) struct Gang {
    pub(super) rank: usize,
    pub(super) size: usize,
    /// Address and port of rank 0.
    pub(super) master: (String, u16),
    /// Its number among those on its node.
    pub(super) local_rank: usize,
    pub(super) local_size: usize,
    /// Its node's number, in the order of ranks.
    pub(super) node_rank: usize,
    gpus: Option<Vec<String>>,
    /// Rank 0 keeps the port from other gangs for as long as the program runs.
    _port: Option<Port>,
}

/// What each member tells all.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Hello {
    /// The same on one machine, and nowhere else.
    node: String,
    /// Of rank 0.
    port: u16,
    gpus: Vec<String>,
}

impl Gang {
    /// The GPUs of all members on the node, by local rank, when each has exactly one: `cuda:LOCAL_RANK` is then its own, as
    /// programs for `torchrun` expect. `None`: its own alone.
    pub(super) fn visible_gpus(&self) -> Option<&[String]> {
        self.gpus.as_deref()
    }
}

/// Meets the other members, for a program that is in a gang.
pub(super) fn meet(spec: &CommandSpec, context: &TaskContext) -> Result<Option<Gang>, CommandError> {
    if spec.gang.is_none() {
        return Ok(None);
    }
    let node = node();
    let first = context.membership.as_ref().and_then(|membership| membership.gang.members.first());
    let host = first.map_or(port::LOOPBACK, |address| host(address)).to_owned();
    let gang = context.together(|exchange| -> Result<Gang, CommandError> {
        let (rank, size) = (exchange.rank(), exchange.size());
        let port = if rank == 0 { Some(Port::find()?) } else { None };
        let mine = Hello { node, port: port.as_ref().map_or(0, Port::number), gpus: context.gpus.clone() };
        let all = gather(exchange, &mine)?;
        let place = place(&all, rank);
        let master = (host, all.first().map_or(0, |first| first.port));
        Ok(Gang { rank, size, master, _port: port, ..place })
    })?;
    Ok(Some(gang))
}

fn gather(exchange: &dyn Exchange, mine: &Hello) -> Result<Vec<Hello>, CommandError> {
    let unreadable = |error: serde_json::Error| CommandError::Spec {
        name: "what a member of the gang says".into(),
        problem: error.to_string(),
        hint: None,
    };
    let bytes = serde_json::to_vec(mine).map_err(unreadable)?;
    let mut lengths = vec![0; 4 * exchange.size()];
    exchange.all_gather(&(bytes.len() as u32).to_le_bytes(), &mut lengths)?;
    let lengths: Vec<usize> = lengths.as_chunks::<4>().0.iter().map(|length| u32::from_le_bytes(*length) as usize).collect();
    let mut all = vec![0; lengths.iter().sum()];
    exchange.all_gather_varied(&bytes, &lengths, &mut all)?;
    let mut rest = &all[..];
    let mut hello = |length: usize| {
        let (now, later) = rest.split_at(length.min(rest.len()));
        rest = later;
        serde_json::from_slice(now).map_err(unreadable)
    };
    lengths.iter().map(|length| hello(*length)).collect()
}

/// Where a rank stands among all. Pure.
fn place(all: &[Hello], rank: usize) -> Gang {
    let node = all.get(rank).map(|hello| hello.node.as_str()).unwrap_or_default();
    let local: Vec<usize> = (0..).zip(all).filter(|(_, hello)| hello.node == node).map(|(rank, _)| rank).collect();
    let mut nodes: Vec<&str> = Vec::new();
    for hello in all {
        if !nodes.contains(&hello.node.as_str()) {
            nodes.push(&hello.node);
        }
    }
    let gpus: Vec<String> = local.iter().filter_map(|rank| all.get(*rank)).flat_map(|hello| hello.gpus.clone()).collect();
    let one_each = local.iter().all(|rank| all.get(*rank).is_some_and(|hello| hello.gpus.len() == 1));
    Gang {
        rank,
        size: all.len(),
        master: (String::new(), 0),
        local_rank: local.iter().position(|other| *other == rank).unwrap_or(0),
        local_size: local.len(),
        node_rank: nodes.iter().position(|known| *known == node).unwrap_or(0),
        gpus: one_each.then_some(gpus),
        _port: None,
    }
}

/// The host of an exchange's address; members inside one process meet on loopback.
fn host(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, _)) if !host.is_empty() => host.trim_matches(['[', ']']),
        _ => port::LOOPBACK,
    }
}

fn node() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    format!("{} {}", read("/proc/sys/kernel/hostname"), read("/proc/sys/kernel/random/boot_id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(node: &str, gpus: &[u32]) -> Hello {
        Hello { node: node.into(), port: 0, gpus: gpus.iter().map(u32::to_string).collect() }
    }

    #[test]
    fn ranks_are_counted_on_each_node() {
        let all = [hello("a", &[3]), hello("b", &[]), hello("a", &[1]), hello("b", &[])];
        let seen: Vec<_> = (0..4)
            .map(|rank| {
                let gang = place(&all, rank);
                (gang.local_rank, gang.local_size, gang.node_rank, gang.gpus)
            })
            .collect();
        let both = Some(vec!["3".to_owned(), "1".into()]);
        assert_eq!(seen, [(0, 2, 0, both.clone()), (0, 2, 1, None), (1, 2, 0, both), (1, 2, 1, None)]);
        assert_eq!(place(&[hello("a", &[0, 1]), hello("a", &[2, 3])], 1).gpus, None, "each sees its own two");
    }

    #[test]
    fn the_host_of_an_address() {
        for (address, expected) in
            [("10.0.0.7:4000", "10.0.0.7"), ("[::1]:4000", "::1"), ("node-7.lan:1", "node-7.lan"), ("in process", "127.0.0.1")]
        {
            assert_eq!(host(address), expected);
        }
    }
}
