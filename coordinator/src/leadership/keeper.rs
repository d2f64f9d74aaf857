//! Carries out what [`step`] decides: asks the store, watches the leader record, and tells the runtime.
//!
//! It has a thread and a connection of its own, so that neither a busy coordinator nor a slow answer to it delays a renewal.
//! At most one question to the store is under way, besides looks at the record and ends of leases that nobody waits for.

use super::{
    Instance, Seat, Tenure,
    step::{Ask, Effect, Event, Now, State, Term, step},
};
use crate::{
    error::CoordinatorError,
    store::{self, Guard, Leases, Op, Revision, Snapshot, Store, StoreError, StoreUrl, Transaction, WatchEvent},
};
use std::{
    collections::HashMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, watch},
    task::{self, JoinError, JoinSet},
    time::sleep_until,
};

/// Events from the runtime that may wait.
const EVENTS: usize = 16;
/// How long a coordinator that resigns waits for the end of its lease to be written.
const FAREWELL: Duration = Duration::from_secs(2);
/// Within these, a call to one member of the store takes a quarter of the lease.
const DEADLINES: std::ops::RangeInclusive<Duration> = Duration::from_millis(300)..=Duration::from_secs(5);

/// How often opening is tried again.
const TRIES: u32 = 30;
/// The pause between two such tries.
const AGAIN: Duration = Duration::from_millis(200);

/// What the runtime is to do.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// Nothing is known yet.
    Wait,
    /// End the terms up to this one; `leader` is where another leads.
    Follow { after: Term, leader: Option<String> },
    /// Lead by the record of this revision.
    Lead { term: Term, seat: Revision, tenure: Tenure },
    /// The store cannot be used.
    Broken(String),
}

/// A candidate, as the runtime sees it.
pub(crate) struct Keeper {
    orders: watch::Receiver<Order>,
    events: mpsc::Sender<Event>,
}

/// Who stands for the seat.
pub(crate) struct Candidate {
    pub(crate) instance: Instance,
    /// `HOST:PORT` at which workers and clients find it.
    pub(crate) advertise: String,
    /// How long a leader may be silent.
    pub(crate) lasts: Duration,
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`CoordinatorError::NoThread`] when there can be none.
    pub(crate) fn start(url: StoreUrl, candidate: Candidate) -> Result<Self, CoordinatorError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CoordinatorError::NoThread)?;
        let (publish, orders) = watch::channel(Order::Wait);
        let (events, receive) = mpsc::channel(EVENTS);
        let run = move || {
            let ended = runtime.block_on(async {
                let deadline = (candidate.lasts / 4).clamp(*DEADLINES.start(), *DEADLINES.end());
                let (store, leases) = open(&url, deadline).await?;
                Loop::new(store, leases, candidate, publish.clone(), receive).run().await
            });
            if let Err(error) = ended {
                publish.send_replace(Order::Broken(error.to_string()));
            }
        };
        thread::Builder::new().name("braid-lease".into()).spawn(run).map_err(CoordinatorError::NoThread)?;
        Ok(Self { orders, events })
    }

    /// One whose orders a test gives, and that needs no telling.
    #[cfg(test)]
    pub(crate) fn scripted(orders: watch::Receiver<Order>) -> Self {
        Self { orders, events: mpsc::channel(1).0 }
    }

    /// What to do now, and its changes. The sender is gone when the keeper has ended.
    pub(crate) fn orders(&self) -> watch::Receiver<Order> {
        self.orders.clone()
    }

    /// Tells that nothing of a term is left that could answer.
    pub(crate) async fn term_ended(&self, term: Term) {
        // A keeper that has ended needs no telling.
        let _ = self.events.send(Event::TermEnded(term)).await;
    }

    /// Gives the seat up, or the wish for it.
    pub(crate) async fn resign(&self) {
        let _ = self.events.send(Event::Resign).await;
    }

    /// Until it has ended after [`Keeper::resign`].
    pub(crate) async fn ended(&self) {
        let mut orders = self.orders.clone();
        while orders.changed().await.is_ok() {}
    }
}

/// Opens the store, which has been opened before: that it is away for a while is no reason to give up.
async fn open(url: &StoreUrl, deadline: Duration) -> Result<(Arc<dyn Store>, Arc<dyn Leases>), StoreError> {
    for _ in 0..TRIES {
        match store::open_shared(url, deadline).await {
            Err(error) if error.is_retryable() => tokio::time::sleep(AGAIN).await,
            opened => return opened,
        }
    }
    store::open_shared(url, deadline).await
}

struct Loop {
    store: Arc<dyn Store>,
    leases: Arc<dyn Leases>,
    candidate: Candidate,
    orders: watch::Sender<Order>,
    events: mpsc::Receiver<Event>,
    state: State,
    asks: JoinSet<Option<Event>>,
    /// What each of them asks.
    asked: HashMap<task::Id, Ask>,
    tenure: Option<(Term, Revision, Tenure)>,
    /// Where the leader was when it was last told of.
    told: Option<Option<String>>,
}

impl Loop {
    fn new(
        store: Arc<dyn Store>,
        leases: Arc<dyn Leases>,
        candidate: Candidate,
        orders: watch::Sender<Order>,
        events: mpsc::Receiver<Event>,
    ) -> Self {
        let state = State::new(candidate.instance.name().to_owned(), candidate.lasts, Instant::now());
        Self {
            store,
            leases,
            candidate,
            orders,
            events,
            state,
            asks: JoinSet::new(),
            asked: HashMap::new(),
            tenure: None,
            told: None,
        }
    }

    async fn run(mut self) -> Result<(), StoreError> {
        let mut watch = self.store.watch(Seat::key().as_str());
        while !self.state.is_over() {
            let wake = self.state.wake();
            tokio::select! {
                // A runtime that is gone will never lead.
                event = self.events.recv() => self.take(event.unwrap_or(Event::Resign)),
                Some(answer) = self.asks.join_next_with_id(), if !self.asks.is_empty() => self.answered(answer),
                seen = watch.next() => for event in looks(seen?)? {
                    self.take(event);
                },
                () = at(wake) => self.take(Event::Tick),
            }
        }
        // What else is asked is of no use any more.
        let last = async {
            while self.asked.values().any(|ask| matches!(ask, Ask::Revoke(_)))
                && let Some(answer) = self.asks.join_next_with_id().await
            {
                self.asked.remove(&answer.map_or_else(|error| error.id(), |(id, _)| id));
            }
        };
        if tokio::time::timeout(FAREWELL, last).await.is_err() {
            tracing::warn!("the store did not take the end of this coordinator's lease; it ends by itself");
        }
        Ok(())
    }

    fn answered(&mut self, answer: Result<(task::Id, Option<Event>), JoinError>) {
        let (id, event) = match answer {
            Ok((id, event)) => (id, event),
            // A panic in the client of the store: as good as no answer.
            Err(error) => (error.id(), None),
        };
        let asked = self.asked.remove(&id);
        if let Some(event) = event.or_else(|| asked.map(Event::Failed)) {
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        if !matches!(event, Event::Tick) {
            tracing::debug!("{event:?}");
        }
        let effects = step(&mut self.state, event, Now { at: Instant::now(), chance: fastrand::f64() });
        for effect in effects {
            match effect {
                Effect::Ask(ask) => self.ask(ask),
                Effect::Lead { term, seat, until } => {
                    tracing::info!(term = term.0, advertise = self.candidate.advertise, "this coordinator leads");
                    self.tenure = Some((term, seat, Tenure::until(until)));
                }
                Effect::Extend(until) => {
                    if let Some((_, _, tenure)) = &self.tenure {
                        tenure.extend(until);
                    }
                }
                Effect::StepDown(why) => {
                    tracing::info!(term = self.state.term().0, "this coordinator steps down: {why}");
                    match self.tenure.take() {
                        // What it has begun may still be told while its lease lasts.
                        Some((_, _, tenure)) if !self.state.is_resigning() => tenure.end(),
                        _ => {}
                    }
                }
            }
        }
        self.publish();
    }

    /// Tells the runtime, if it does not know yet.
    fn publish(&mut self) {
        if let (Some(term), Some((_, seat, tenure))) = (self.state.leads(), &self.tenure) {
            let told = matches!(&*self.orders.borrow(), Order::Lead { term: known, .. } if *known == term);
            if !told {
                self.told = None;
                self.orders.send_replace(Order::Lead { term, seat: *seat, tenure: tenure.clone() });
            }
            return;
        }
        if self.state.is_undecided() {
            return;
        }
        let leader = self.state.leader().map(str::to_owned);
        if self.told.as_ref() != Some(&leader) {
            if let Some(leader) = &leader {
                tracing::info!(leader, "another coordinator leads; this one stands by");
            }
            self.told = Some(leader.clone());
            self.orders.send_replace(Order::Follow { after: self.state.term(), leader });
        }
    }

    fn ask(&mut self, ask: Ask) {
        let (store, leases) = (Arc::clone(&self.store), Arc::clone(&self.leases));
        let value = |lease| Seat::write(self.candidate.instance.name(), &self.candidate.advertise, lease);
        let lasts = self.candidate.lasts;
        let value = match ask {
            Ask::Create(lease) => Some(value(lease)),
            _ => None,
        };
        let task = self.asks.spawn(async move {
            let sent = Instant::now();
            let answer = match ask {
                Ask::Look => look(store.as_ref()).await.map(Some),
                Ask::Grant => leases.grant(lasts).await.map(|(lease, lasts)| Some(Event::Granted { lease, sent, lasts })),
                Ask::Create(lease) => match leases.create(lease, &Seat::key(), value.unwrap_or_default()).await {
                    Ok(revision) => Ok(Some(Event::Created { lease, revision })),
                    Err(error) if error.is_retryable() => Err(error),
                    // Somebody was faster, or the answer was lost: the record tells.
                    Err(_) => holder(store.as_ref()).await.map(|seat| match seat {
                        Some(seat) if seat.lease == lease => Some(Event::Created { lease, revision: seat.revision }),
                        Some(by) => Some(Event::Taken { lease, by }),
                        None => None,
                    }),
                },
                Ask::Renew(lease) => leases.renew(lease).await.map(|lasts| match lasts {
                    Some(lasts) => Some(Event::Renewed { lease, sent, lasts }),
                    None => Some(Event::Expired { lease }),
                }),
                Ask::Remove(revision) => remove(store.as_ref(), revision).await.map(|at| Some(Event::Removed { at })),
                Ask::Revoke(lease) => {
                    if let Err(error) = leases.revoke(lease).await {
                        tracing::debug!("a lease is left to end by itself: {}", error.line());
                    }
                    return None;
                }
            };
            answer.unwrap_or_else(|error| {
                tracing::debug!(?ask, "the store did not answer as wished: {}", error.line());
                None
            })
        });
        self.asked.insert(task.id(), ask);
    }
}

async fn look(store: &dyn Store) -> Result<Event, StoreError> {
    let snapshot = store.list(Seat::key().as_str()).await?;
    Ok(Event::Found { at: snapshot.revision, seat: seat_in(&snapshot)? })
}

fn seat_in(snapshot: &Snapshot) -> Result<Option<Seat>, StoreError> {
    let found = snapshot.records.iter().find(|(key, _)| *key == Seat::key());
    found.map(|(_, found)| Seat::of(found)).transpose()
}

async fn holder(store: &dyn Store) -> Result<Option<Seat>, StoreError> {
    store.get(&Seat::key()).await?.map(|found| Seat::of(&found)).transpose()
}

async fn remove(store: &dyn Store, revision: Revision) -> Result<Revision, StoreError> {
    let guard = Guard::at(Seat::key(), revision);
    store.commit(Transaction::new(vec![guard], vec![Op::delete(Seat::key())])?).await
}

/// What a watch of the record shows.
fn looks(event: WatchEvent) -> Result<Vec<Event>, StoreError> {
    match event {
        WatchEvent::Resync(snapshot) => Ok(vec![Event::Seen { at: snapshot.revision, seat: seat_in(&snapshot)? }]),
        WatchEvent::Changed(changes) => {
            let at = changes.revision;
            let of_seat = changes.ops.iter().filter(|op| *op.key() == Seat::key());
            of_seat
                .map(|op| match op {
                    Op::Put(_, value) => Ok(Event::Seen { at, seat: Some(Seat::read(value, at)?) }),
                    Op::Delete(_) => Ok(Event::Seen { at, seat: None }),
                })
                .collect()
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
