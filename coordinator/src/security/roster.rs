//! The records of CA, tokens and nodes at the edge: reads the clock, draws secrets, writes to the store.
//!
//! All of it is in the store, so that three coordinators of one etcd are one fleet: whichever makes the CA first has made
//! it for all. Nothing here needs to be the coordinator that leads: every write demands that the records are as they were
//! read, so a join token is used once even if two coordinators are asked at the same moment.

use super::{
    Authority, CaRecord, Caller, Denied, NodeCertificate, Peer, SecurityError, Serving,
    nodes::{self, Issued, NodeRecord},
    tokens::{self, Grant, TokenError, TokenRecord},
    view::{self, View},
};
use crate::{
    model::Millis,
    store::{Expect, Guard, Op, Store, StoreError, Transaction},
};
use braid_proto::{Purpose, Secret, Token};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Tries of a write that another coordinator gets in the way of.
const TRIES: usize = 5;
/// How long a store may take that is being elected.
const WITHIN: Duration = Duration::from_secs(10);
/// The pause before a watch that broke is made anew.
const REWATCH: Duration = Duration::from_secs(1);

/// Who is who in this fleet.
pub struct Roster {
    store: Arc<dyn Store>,
    ca: Authority,
    view: watch::Sender<View>,
    node_life: Duration,
}

/// A token that was just made.
#[derive(Debug, Clone)]
pub struct Made {
    /// The hash under which it is kept.
    pub hash: String,
    /// What is kept.
    pub record: TokenRecord,
    /// What is handed on.
    pub token: Token,
}

impl Roster {
    /// Reads the CA and all records; makes the CA where there is none. `true`: this has made it.
    ///
    /// # Errors
    /// When the store cannot be read or written, or holds what is not a CA.
    pub async fn open(store: Arc<dyn Store>, node_life: Duration) -> Result<(Self, bool), SecurityError> {
        let (record, is_new) = loop {
            if let Some(found) = store.get(&view::CA.into()).await? {
                let record: CaRecord = serde_json::from_slice(&found.value)
                    .map_err(|_| SecurityError::Certificate("the stored CA cannot be read".into()))?;
                break (record, false);
            }
            let record = CaRecord::make(random()?, now())?;
            let put = Op::put(view::CA, serde_json::to_vec(&record).unwrap_or_default());
            match store.commit(Transaction::new(vec![Guard::absent(view::CA)], vec![put])?).await {
                Ok(_) => break (record, true),
                // Another coordinator made it, or this did: the next reading tells.
                Err(StoreError::Conflict { .. } | StoreError::OutcomeUnknown { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        };
        let ca = Authority::new(&record)?;
        let mut known = View::default();
        known.take(crate::store::WatchEvent::Resync(store.list(view::PREFIX).await?));
        Ok((Self { store, ca, view: watch::channel(known).0, node_life }, is_new))
    }

    /// Follows what other coordinators write, until it is cancelled.
    pub fn follow(self: &Arc<Self>, tasks: &TaskTracker, cancel: CancellationToken) {
        let roster = Arc::clone(self);
        tasks.spawn(async move {
            loop {
                let mut changes = roster.store.watch(view::PREFIX);
                let broken = loop {
                    let event = tokio::select! {
                        event = changes.next() => event,
                        () = cancel.cancelled() => return,
                    };
                    match event {
                        Ok(event) => roster.view.send_modify(|view| view.take(event)),
                        Err(error) => break error,
                    }
                };
                tracing::warn!(error = %broken, "who may do what is not followed at the moment; trying again");
                tokio::select! {
                    () = tokio::time::sleep(REWATCH) => {}
                    () = cancel.cancelled() => return,
                }
            }
        });
    }

    /// Reads all records anew. Whoever begins to lead knows then what the one before acknowledged, however late its watch is.
    ///
    /// # Errors
    /// What listing may return.
    pub(crate) async fn reread(&self) -> Result<(), StoreError> {
        let snapshot = self.store.list(view::PREFIX).await?;
        self.view.send_modify(|view| view.take(crate::store::WatchEvent::Resync(snapshot)));
        Ok(())
    }

    /// The CA.
    pub fn ca(&self) -> &Authority {
        &self.ca
    }

    /// A certificate for this coordinator, with a key that is never written down.
    ///
    /// # Errors
    /// For a name that no certificate can hold.
    pub fn serving(&self, names: &[String]) -> Result<Serving, SecurityError> {
        self.ca.serving(names, random()?, now())
    }

    /// Who shows this secret.
    ///
    /// # Errors
    /// [`Denied::BadToken`].
    pub fn person(&self, secret: &Secret) -> Result<Caller, Denied> {
        self.view.borrow().person(secret, now())
    }

    /// Which node shows this certificate.
    ///
    /// # Errors
    /// When it does not count.
    pub fn peer(&self, certificate: &[u8]) -> Result<Caller, Denied> {
        let peer = Peer::of(certificate).ok_or(Denied::NotANode)?;
        self.view.borrow().peer(&peer, now())
    }

    /// The tokens that are still worth something, and used ones until they expire.
    pub fn tokens(&self) -> Vec<(String, TokenRecord)> {
        let (view, now) = (self.view.borrow(), now());
        view.tokens()
            .filter(|(_, record)| !record.is_expired(now))
            .map(|(hash, record)| (hash.to_owned(), record.clone()))
            .collect()
    }

    /// Makes a token, and forgets those that have expired.
    ///
    /// # Errors
    /// For a life or label out of bounds, and when the store cannot be written.
    pub async fn create(&self, grant: Grant, label: &str, by: String, ttl: Duration) -> Result<Made, SecurityError> {
        self.create_for(Vec::new(), grant, label, by, ttl).await
    }

    /// The same, of a token for the jobs of some projects; of all, if none are named.
    ///
    /// # Errors
    /// As [`Roster::create`], and for a project that cannot be.
    pub async fn create_for(
        &self,
        projects: Vec<String>,
        grant: Grant,
        label: &str,
        by: String,
        ttl: Duration,
    ) -> Result<Made, SecurityError> {
        let secret = Secret::new(random()?);
        let record = TokenRecord::new(grant, label, by, ttl, now())?.for_projects(projects)?;
        let hash = tokens::hash(&secret);
        let expired: Vec<String> = {
            let view = self.view.borrow();
            let old = view.tokens().filter(|(_, record)| record.is_expired(now()));
            old.map(|(hash, _)| view::token_key(hash)).take(32).collect()
        };
        let key = view::token_key(&hash);
        let mut writes = vec![Write::put(&key, &record)];
        writes.extend(expired.into_iter().map(Write::delete));
        self.commit(vec![Guard::absent(key.as_str())], writes).await?;
        let purpose = if grant == Grant::Node { Purpose::Join } else { Purpose::User };
        Ok(Made { hash, record, token: Token { purpose, secret, ca: self.ca.fingerprint() } })
    }

    /// Ends a token, named by the start of its hash.
    ///
    /// # Errors
    /// [`SecurityError::NoSuchToken`], also when the start names several.
    pub async fn revoke(&self, id: &str) -> Result<(String, TokenRecord), SecurityError> {
        let found: Vec<(String, TokenRecord)> = {
            let view = self.view.borrow();
            view.tokens()
                .filter(|(hash, _)| id.len() >= 6 && hash.starts_with(id))
                .map(|(h, r)| (h.to_owned(), r.clone()))
                .collect()
        };
        let [(hash, record)] = &found[..] else { return Err(SecurityError::NoSuchToken(id.chars().take(64).collect())) };
        self.commit(Vec::new(), vec![Write::delete(view::token_key(hash))]).await?;
        Ok((hash.clone(), record.clone()))
    }

    /// Lets a machine join with the secret of a join token.
    ///
    /// # Errors
    /// When token, name or request do not do, or the store cannot be written.
    pub async fn join(&self, secret: &Secret, node: &str, request: &[u8]) -> Result<(NodeCertificate, Issued), SecurityError> {
        nodes::check_name(node)?;
        let (token_key, node_key) = (view::token_key(&tokens::hash(secret)), view::node_key(node));
        for _ in 0..TRIES {
            let now = now();
            self.refresh(&[&token_key, &node_key]).await?;
            let (certificate, issued) = self.issue(node, request, now)?;
            let (guards, writes) = {
                let view = self.view.borrow();
                let (token, token_revision) = view.token(&tokens::hash(secret)).ok_or(TokenError::Unknown)?;
                let used = token.join(node, &certificate.key, now)?;
                let again = token.used.is_some();
                let earlier = view.node(node);
                let record = NodeRecord::join(earlier.map(|(record, _)| record), node, issued.clone(), again, now)?;
                let node_guard = Guard {
                    key: node_key.as_str().into(),
                    expect: earlier.map_or(Expect::Absent, |(_, revision)| Expect::At(revision)),
                };
                let guards = vec![Guard::at(token_key.as_str(), token_revision), node_guard];
                (guards, vec![Write::put(&token_key, &used), Write::put(&node_key, &record)])
            };
            match self.commit(guards, writes).await {
                Err(SecurityError::Store(StoreError::Conflict { .. })) => {}
                done => return done.map(|()| (certificate, issued)),
            }
        }
        Err(SecurityError::Contended)
    }

    /// A further certificate for a node that has joined.
    ///
    /// # Errors
    /// When the request does not do, the node was put out meanwhile, or the store cannot be written.
    pub async fn renew(&self, node: &str, request: &[u8]) -> Result<(NodeCertificate, Issued), SecurityError> {
        self.change(node, |record, now| {
            if record.ends(now).is_none() {
                return Err(SecurityError::NoSuchNode(node.to_owned()));
            }
            let (certificate, issued) = self.issue(node, request, now)?;
            Ok((record.renew(issued.clone(), now), (certificate, issued)))
        })
        .await
    }

    /// Puts a node out: its certificates are worth nothing from now on.
    ///
    /// # Errors
    /// [`SecurityError::NoSuchNode`], or when the store cannot be written.
    pub async fn revoke_node(&self, node: &str) -> Result<Millis, SecurityError> {
        self.change(node, |record, now| {
            let revoked = record.revoke(now);
            let at = revoked.revoked.unwrap_or(now);
            Ok((revoked, at))
        })
        .await
    }

    /// Resolves when no certificate of this node counts any more.
    pub async fn void(&self, node: &str) {
        let mut view = self.view.subscribe();
        loop {
            let ends = view.borrow_and_update().node(node).and_then(|(record, _)| record.ends(now()));
            let Some(ends) = ends else { return };
            let left = Duration::from_millis(ends.0.saturating_sub(now().0) + 1);
            tokio::select! {
                changed = view.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    fn issue(&self, node: &str, request: &[u8], now: Millis) -> Result<(NodeCertificate, Issued), SecurityError> {
        let certificate = self.ca.node(node, request, self.node_life, random()?, now)?;
        let issued = Issued { serial: certificate.serial.clone(), expires: now + self.node_life };
        Ok((certificate, issued))
    }

    async fn change<T>(
        &self,
        node: &str,
        change: impl Fn(&NodeRecord, Millis) -> Result<(NodeRecord, T), SecurityError>,
    ) -> Result<T, SecurityError> {
        let key = view::node_key(node);
        for _ in 0..TRIES {
            self.refresh(&[&key]).await?;
            let (revision, changed, value) = {
                let view = self.view.borrow();
                let (record, revision) =
                    view.node(node).ok_or_else(|| SecurityError::NoSuchNode(node.chars().take(64).collect()))?;
                let (changed, value) = change(record, now())?;
                (revision, changed, value)
            };
            match self.commit(vec![Guard::at(key.as_str(), revision)], vec![Write::put(&key, &changed)]).await {
                Err(SecurityError::Store(StoreError::Conflict { .. })) => {}
                done => return done.map(|()| value),
            }
        }
        Err(SecurityError::Contended)
    }

    /// Reads records anew, so that what is decided is decided on what the store has.
    async fn refresh(&self, keys: &[&str]) -> Result<(), SecurityError> {
        for key in keys {
            let found = within(self.store.get(&(*key).into())).await?;
            if let Some(found) = found {
                self.view.send_modify(|view| view.put(key, Some(&found.value), found.revision));
            }
        }
        Ok(())
    }

    async fn commit(&self, guards: Vec<Guard>, writes: Vec<Write>) -> Result<(), SecurityError> {
        let ops = writes.iter().map(Write::op).collect();
        let revision = within(self.store.commit(Transaction::new(guards, ops)?)).await?;
        self.view.send_modify(|view| {
            for write in &writes {
                view.put(&write.key, write.value.as_deref(), revision);
            }
        });
        Ok(())
    }
}

/// A record to be written or removed, here as in the store.
struct Write {
    key: String,
    value: Option<Vec<u8>>,
}

impl Write {
    fn put(key: &str, record: &impl serde::Serialize) -> Self {
        // Records of strings and numbers always have a JSON form.
        Self { key: key.to_owned(), value: Some(serde_json::to_vec(record).unwrap_or_default()) }
    }

    fn delete(key: String) -> Self {
        Self { key, value: None }
    }

    fn op(&self) -> Op {
        match &self.value {
            Some(value) => Op::put(self.key.as_str(), value.as_slice()),
            None => Op::delete(self.key.as_str()),
        }
    }
}

async fn within<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, SecurityError> {
    Ok(tokio::time::timeout(WITHIN, work).await.map_err(|_| SecurityError::Away)??)
}

fn random<const N: usize>() -> Result<[u8; N], SecurityError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| SecurityError::NoSecret(error.to_string()))?;
    Ok(bytes)
}

/// The wall clock, as certificates know it.
fn now() -> Millis {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(unix.as_millis()).unwrap_or(u64::MAX))
}
