//! The conformance suite over the loopback, and what only a network can do wrong.

use super::{
    GroupId, GroupSpec, Listener, TcpExchange, Token, connect,
    frame::{Head, Kind},
    hello::{ANSWER, Answer, Hello},
};
use braid_workload::{
    AttemptId, Gang, JobId, Join, TaskId,
    exchange::{Call, Exchange, ExchangeError, Lane, Operation, Ticket},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

mod secure;

const FIRST: TaskId = TaskId { job: JobId(7), index: 2 };
/// Well before any deadline but the short ones of these tests.
const SOON: Duration = Duration::from_secs(10);

fn listen() -> Listener {
    Listener::bind("127.0.0.1:0").unwrap()
}

fn spec(rank: usize, members: &[&Listener], epoch: u64) -> GroupSpec {
    GroupSpec {
        id: GroupId { first: FIRST, epoch },
        rank,
        members: members.iter().map(|listener| listener.address().to_string()).collect(),
        token: Token::new(b"secret"),
        deadline: Duration::from_secs(20),
        cancel: CancellationToken::new(),
    }
}

/// All ranks of a group on one listener, as several workers of one machine or one worker with several members.
fn form(listener: &Listener, size: usize, epoch: u64) -> Vec<TcpExchange> {
    let members = vec![listener; size];
    thread::scope(|scope| {
        let ranks: Vec<_> = (0..size).map(|rank| spec(rank, &members, epoch)).collect();
        let threads: Vec<_> = ranks.into_iter().map(|spec| scope.spawn(move || connect(listener, &spec))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
    })
}

fn make(size: usize) -> Vec<Arc<dyn Exchange>> {
    static EPOCH: AtomicU64 = AtomicU64::new(1);
    // The port closes here, the connections stay.
    let group = form(&listen(), size, EPOCH.fetch_add(1, Ordering::Relaxed));
    group.into_iter().map(|member| Arc::new(member) as Arc<dyn Exchange>).collect()
}

braid_workload::exchange_conformance!(make);

/// Says hello as the last of `size` ranks would be dialled by rank 0, and speaks for rank 0 by hand.
fn impostor(listener: &Listener, size: u32, epoch: u64, token: &[u8]) -> (TcpStream, Option<Answer>) {
    let hello = Hello::new(GroupId { first: FIRST, epoch }, 0, size - 1, size, [1; 16], &Token::new(token));
    let mut stream = TcpStream::connect(listener.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(&hello.encode()).unwrap();
    let mut answer = [0; ANSWER];
    let answer = stream.read_exact(&mut answer).ok().and_then(|()| Answer::decode(&answer));
    (stream, answer)
}

/// A group of two whose rank 0 is played by `play`; what rank 1 got from its call.
fn against(play: impl FnOnce(TcpStream) + Send) -> Result<(), ExchangeError> {
    let listener = listen();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (stream, answer) = impostor(&listener, 2, 1, b"secret");
            assert!(matches!(answer, Some(Answer::Welcome(_))));
            play(stream);
        });
        let group = connect(&listener, &spec(1, &[&listener, &listener], 1)).unwrap();
        group.set_timeout(SOON);
        group.all_gather(&[1; 1000], &mut [0; 2000])
    })
}

fn gather_head(len: u64) -> Head {
    let ticket = Ticket { group: 0, lane: Lane::Collective, sequence: 0 };
    Head { kind: Kind::Data(ticket, Call::new(Operation::AllGather, 2000)), len }
}

#[test]
fn a_peer_that_dies_in_the_middle_of_a_message_is_lost() {
    let result = against(|mut stream| {
        stream.write_all(&gather_head(1000).encode()).unwrap();
        stream.write_all(&[0; 10]).unwrap();
    });
    let Err(ExchangeError::Lost { rank: 0, detail }) = result else { panic!("{result:?}") };
    // With data unread on its side the system resets the connection instead.
    assert!(detail.contains("middle of a message") || detail.contains("reset"), "{detail}");
}

#[test]
fn a_peer_that_sends_garbage_ends_the_epoch() {
    for garbage in [vec![0; 200], b"GET / HTTP/1.1\r\nHost: a.member.of.no.exchange\r\nUser-Agent: x\r\n\r\n".to_vec(), {
        let mut bad_operation = gather_head(1000).encode().to_vec();
        bad_operation[3] = 200;
        bad_operation
    }] {
        let result = against(|mut stream| {
            stream.write_all(&garbage).unwrap();
            // Until the other side gives up.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        assert!(matches!(result, Err(ExchangeError::Protocol { rank: 0, .. })), "{result:?}");
    }
}

#[test]
fn a_length_that_is_announced_costs_no_memory_before_it_comes() {
    let result = against(|mut stream| {
        let mut head = gather_head(1 << 47);
        if let Kind::Data(ticket, _) = &mut head.kind {
            // One that nobody waits for yet.
            ticket.sequence = 9;
        }
        stream.write_all(&head.encode()).unwrap();
        stream.write_all(&[0; 100_000]).unwrap();
    });
    assert!(matches!(result, Err(ExchangeError::Lost { rank: 0, .. })), "{result:?}");
}

#[test]
fn a_reason_that_cannot_be_read_is_an_error_too() {
    let result = against(|mut stream| {
        stream.write_all(&Head { kind: Kind::End, len: 3 }.encode()).unwrap();
        stream.write_all(b"{]}").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert!(matches!(result, Err(ExchangeError::Protocol { rank: 0, .. })), "{result:?}");
}

#[test]
fn strangers_get_no_answer_and_one_without_the_token_cannot_take_a_members_place() {
    let listener = listen();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| connect(&listener, &spec(1, &[&listener; 2], 1)).unwrap());
        assert_eq!(impostor(&listener, 2, 1, b"guessed").1, Some(Answer::Token));
        let mut stranger = TcpStream::connect(listener.address()).unwrap();
        stranger.write_all(&[b'x'; 300]).unwrap();
        assert_eq!(stranger.read_to_end(&mut Vec::new()).unwrap_or(0), 0);
        let member = connect(&listener, &spec(0, &[&listener; 2], 1)).unwrap();
        scope.spawn(move || member.send(1, &[7]));
        waiting.join().unwrap().recv(0, &mut [0]).unwrap();
    });
}

#[test]
fn a_member_with_another_token_is_refused() {
    let listener = listen();
    let members = [&listener, &listener];
    let results = thread::scope(|scope| {
        let threads = [b"one", b"two"].into_iter().enumerate().map(|(rank, token)| {
            let deadline = Duration::from_millis(500);
            let spec = GroupSpec { token: Token::new(token), deadline, ..spec(rank, &members, 1) };
            let listener = &listener;
            scope.spawn(move || connect(listener, &spec).err())
        });
        threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap().unwrap()).collect::<Vec<_>>()
    });
    assert!(
        results[0].to_string().ends_with("refused rank 0 of exchange 7.2: it does not know the same token"),
        "{}",
        results[0]
    );
    assert_eq!(results[1].to_string(), "connect did not end within 0.5 s: still waiting for rank 0");
}

#[test]
fn members_that_were_told_of_different_groups_refuse_each_other() {
    let listener = listen();
    thread::scope(|scope| {
        scope.spawn(|| {
            let spec = GroupSpec { deadline: Duration::from_millis(300), ..spec(1, &[&listener; 3], 1) };
            assert!(matches!(connect(&listener, &spec), Err(ExchangeError::Deadline { .. } | ExchangeError::Refused { .. })));
        });
        let spec = GroupSpec { deadline: SOON, ..spec(0, &[&listener; 2], 1) };
        let refused = connect(&listener, &spec).err().unwrap();
        assert!(refused.to_string().contains("it expects other members"), "{refused}");
    });
}

#[test]
fn an_epoch_that_is_over_is_refused_wherever_it_comes_from() {
    let listener = listen();
    thread::scope(|scope| {
        // It waits for the rest of its group, which has gone on to epoch 3.
        let late = scope.spawn(|| connect(&listener, &spec(0, &[&listener; 2], 2)).err().unwrap());
        thread::sleep(Duration::from_millis(30));
        for member in form(&listener, 2, 3) {
            // Each waits a while for the other to leave.
            scope.spawn(|| drop(member));
        }
        let stale = ExchangeError::Stale { group: "7.2".to_owned(), epoch: 2, current: 3 };
        assert_eq!(late.join().unwrap(), stale);
        assert_eq!(stale.to_string(), "epoch 2 of exchange 7.2 is over: epoch 3 has begun");
        // Begun here, and dialled from elsewhere.
        assert_eq!(connect(&listener, &spec(0, &[&listener; 2], 2)).err(), Some(stale));
        assert_eq!(impostor(&listener, 2, 2, b"secret").1, Some(Answer::Stale(3)));
    });
}

#[test]
fn a_member_that_nobody_answers_gives_up_at_the_deadline() {
    let (listener, gone) = (listen(), listen());
    let limit = Duration::from_millis(200);
    let began = Instant::now();
    // Nobody forms the group there.
    let deaf = GroupSpec { deadline: limit, ..spec(0, &[&listener, &gone], 1) };
    let missing = vec![1];
    assert_eq!(connect(&listener, &deaf).err(), Some(ExchangeError::Deadline { operation: Operation::Connect, limit, missing }));
    // Nobody dials.
    let alone = GroupSpec { deadline: limit, ..spec(1, &[&gone, &listener], 2) };
    let missing = vec![0];
    assert_eq!(connect(&listener, &alone).err(), Some(ExchangeError::Deadline { operation: Operation::Connect, limit, missing }));
    // Nobody listens.
    let nowhere = GroupSpec { deadline: limit, ..spec(0, &[&listener, &gone], 3) };
    let address = gone.address();
    drop(gone);
    let error = connect(&listener, &nowhere).err().unwrap().to_string();
    assert!(error.starts_with(&format!("rank 0 cannot reach rank 1 at {address} within 0.2 s: ")), "{error}");
    assert!(began.elapsed() < SOON);
}

#[test]
fn cancelling_ends_a_group_while_it_forms_and_while_it_runs() {
    let listener = listen();
    let cancel = CancellationToken::new();
    let gang = |rank, epoch| Gang {
        rank,
        first: FIRST,
        epoch: AttemptId(epoch),
        members: vec![listener.address().to_string(); 2],
        token: "secret".to_owned(),
    };
    let began = Instant::now();
    thread::scope(|scope| {
        let forming = scope.spawn(|| listener.join(&gang(0, 1), &cancel).err());
        thread::sleep(Duration::from_millis(30));
        cancel.cancel();
        assert!(matches!(forming.join().unwrap(), Some(ExchangeError::Aborted { rank: 0, .. })));
    });
    let (cancel, other) = (CancellationToken::new(), CancellationToken::new());
    thread::scope(|scope| {
        let ranks = [&cancel, &other].into_iter().zip(0..).map(|(cancel, rank)| {
            let (listener, gang) = (&listener, gang(rank, 2));
            scope.spawn(move || {
                let group = listener.join(&gang, cancel).unwrap();
                group.recv(1 - group.rank(), &mut [0])
            })
        });
        let ranks: Vec<_> = ranks.collect();
        thread::sleep(Duration::from_millis(50));
        cancel.cancel();
        for rank in ranks {
            assert!(matches!(rank.join().unwrap(), Err(ExchangeError::Aborted { rank: 0, .. })));
        }
    });
    assert!(began.elapsed() < SOON);
}

#[test]
fn several_groups_form_on_one_listener_at_the_same_time() {
    let listener = listen();
    thread::scope(|scope| {
        for index in 0..4 {
            let listener = &listener;
            for rank in 0..3 {
                scope.spawn(move || {
                    let id = GroupId { first: JobId(1).task(index), epoch: 1 };
                    let group = connect(listener, &GroupSpec { id, ..spec(rank, &[listener; 3], 1) }).unwrap();
                    let mut out = [0; 3];
                    group.all_gather(&[index as u8 * 10 + rank as u8], &mut out).unwrap();
                    assert_eq!(out, [0, 1, 2].map(|rank| index as u8 * 10 + rank));
                });
            }
        }
    });
}
