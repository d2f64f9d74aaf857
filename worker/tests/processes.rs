//! The exchange between real processes: one is killed or stopped inside a collective, or brings another shape; what the others get.
//!
//! The ranks are this test binary, started again to run `member` alone. A rank prints where it listens, is told where the
//! others do, and then prints a line when it enters its call and one when the call has ended.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test")]

use braid_worker::exchange::tcp::{GroupId, GroupSpec, Listener, Token, connect};
use braid_workload::{
    JobId,
    exchange::{Exchange, ExchangeError},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

const RANKS: usize = 4;
/// The one that something happens to.
const ODD: usize = 2;
/// The limit of a call, unless it is to be reached.
const LIMIT: Duration = Duration::from_secs(30);
/// Well before it.
const SOON: Duration = Duration::from_secs(10);

/// What the ranks do.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Play {
    /// One call, to which the last rank comes late: the others are inside it until then.
    Wait,
    /// Long calls one after the other, until one fails.
    Stream,
    /// The same with a limit that is to be reached.
    Stall,
    /// A gather to which one rank brings more.
    Gather,
    /// A sum of which one rank has other numbers of elements.
    Reduce,
}

const PLAYS: [Play; 5] = [Play::Wait, Play::Stream, Play::Stall, Play::Gather, Play::Reduce];
/// How late the last rank comes to [`Play::Wait`].
const LATE: Duration = Duration::from_millis(1500);
/// The limit of calls in [`Play::Stall`].
const SHORT: Duration = Duration::from_millis(1500);

/// A rank of a group of processes; by itself, no test.
#[test]
fn member() {
    let Ok(role) = env::var("BRAID_TEST_MEMBER") else { return };
    let (rank, play) = role.split_once(' ').unwrap();
    let rank = rank.parse().unwrap();
    let play = PLAYS[play.parse::<usize>().unwrap()];
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    println!("\nat {}", listener.address());
    let members: Vec<String> = io::stdin().lock().lines().next().unwrap().unwrap().split(' ').map(str::to_owned).collect();
    let id = GroupId { first: JobId(1).task(0), epoch: 1 };
    let (token, cancel) = (Token::new(b"test"), CancellationToken::new());
    let group = connect(&listener, &GroupSpec { id, rank, members, token, deadline: LIMIT, cancel }).unwrap();
    group.set_timeout(if play == Play::Stall { SHORT } else { LIMIT });
    // One that is quick with its call may have ended the epoch while this one was still on its way here.
    let met = group.barrier();
    println!("in");
    let end = met.and_then(|()| act(play, &group)).unwrap_err();
    println!("end {end}");
}

fn act(play: Play, group: &dyn Exchange) -> Result<(), ExchangeError> {
    let rank = group.rank();
    match play {
        Play::Wait => {
            if rank == RANKS - 1 {
                thread::sleep(LATE);
            }
            group.all_reduce_f32(&mut vec![1.0; 1 << 20])
        }
        Play::Stream | Play::Stall => {
            let mut values = vec![1.0; 1 << 20];
            loop {
                group.all_reduce_f32(&mut values)?;
            }
        }
        Play::Gather => {
            let len = if rank == ODD { 1000 } else { 900 };
            group.all_gather(&vec![1; len], &mut vec![0; len * RANKS])
        }
        Play::Reduce => group.all_reduce_f32(&mut vec![1.0; if rank == ODD { 250_000 } else { 240_000 }]),
    }
}

struct Member {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Member {
    /// What follows `word` in the next line that begins with it.
    fn line(&mut self, word: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "a rank ended before it said `{word}`");
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A group of processes, all of which have entered their call.
fn group(play: Play) -> Vec<Member> {
    let play = PLAYS.iter().position(|other| *other == play).unwrap();
    let start = |rank: usize| {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "member", "--nocapture"])
            .env("BRAID_TEST_MEMBER", format!("{rank} {play}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Member { child, output }
    };
    let mut members: Vec<Member> = (0..RANKS).map(start).collect();
    let addresses: Vec<String> = members.iter_mut().map(|member| member.line("at ")).collect();
    for member in &mut members {
        writeln!(member.child.stdin.take().unwrap(), "{}", addresses.join(" ")).unwrap();
    }
    members.iter_mut().for_each(|member| drop(member.line("in")));
    members
}

/// What the others than [`ODD`] say, by rank.
fn others(members: &mut [Member]) -> Vec<(usize, String)> {
    let others = members.iter_mut().enumerate().filter(|(rank, _)| *rank != ODD);
    others.map(|(rank, member)| (rank, member.line("end "))).collect()
}

#[test]
fn a_rank_that_is_killed_while_it_waits_in_a_collective_is_named_at_once_by_all_that_wait_in_it() {
    let mut members = group(Play::Wait);
    // The last rank has not called yet, so no other one can have left the call.
    thread::sleep(Duration::from_millis(100));
    let killed = Instant::now();
    members[ODD].signal(Signal::KILL);
    for (rank, said) in others(&mut members) {
        // The last one was in no call: it comes when the others, too, have ended, and may find them gone first.
        let named = said.starts_with("rank 2 of the exchange is lost: ");
        let gone = rank == RANKS - 1 && said.starts_with("rank ") && said.contains(" of the exchange is lost: ");
        assert!(named || gone, "rank {rank}: {said}");
    }
    assert!(killed.elapsed() < SOON, "they waited for the deadline");
}

#[test]
fn a_rank_that_is_killed_in_the_middle_of_the_data_is_named_by_all_others_at_once() {
    for pause in [3, 20, 61] {
        let mut members = group(Play::Stream);
        thread::sleep(Duration::from_millis(pause));
        let killed = Instant::now();
        members[ODD].signal(Signal::KILL);
        for (rank, said) in others(&mut members) {
            assert!(said.starts_with("rank 2 of the exchange is lost: "), "rank {rank}, after {pause} ms: {said}");
        }
        assert!(killed.elapsed() < SOON, "they waited for the deadline");
    }
}

#[test]
fn a_rank_that_stops_without_dying_is_named_by_all_others_at_the_deadline() {
    let mut members = group(Play::Stall);
    members[ODD].signal(Signal::STOP);
    let stopped = Instant::now();
    for (rank, said) in others(&mut members) {
        // One that got its last bytes waits for those who did not, too.
        let missing = said.strip_prefix("all_reduce did not end within 1.5 s: still waiting for rank ");
        assert!(missing.is_some_and(|missing| missing.contains('2')), "rank {rank}: {said}");
    }
    assert!(stopped.elapsed() < SHORT + SOON);
}

#[test]
fn shapes_that_differ_between_ranks_are_named_with_their_sizes_on_every_rank() {
    let plays = [(Play::Gather, "all_gather", "4000", "3600"), (Play::Reduce, "all_reduce", "1000000", "960000")];
    for (play, call, odd, common) in plays {
        let mut members = group(play);
        for (rank, member) in members.iter_mut().enumerate() {
            let said = member.line("end ");
            let brings = format!("{call}: rank 2 brings {odd} bytes where rank ");
            let expects = format!("rank 2 expects {odd}");
            let odd_sends = said.starts_with(&brings) && said.ends_with(&format!(" expects {common}"));
            let odd_receives = said.contains(&format!(" brings {common} bytes where ")) && said.ends_with(&expects);
            assert!(odd_sends || odd_receives, "rank {rank}: {said}");
        }
    }
}
