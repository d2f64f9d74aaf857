//! What this coordinator knows of tokens and nodes: the records under `access/`, as the store's watch brings them, and
//! its own writes as soon as they are durable. Asked at every call, so it is in memory. Pure.

use super::{
    Caller, Denied, Peer,
    nodes::NodeRecord,
    tokens::{self, TokenRecord},
};
use crate::model::Millis;
use braid_proto::Secret;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

use crate::store::{Op, Revision, WatchEvent};

/// Under which all records of this kind are.
pub const PREFIX: &str = "access/";
/// The record of the CA.
pub const CA: &str = "access/ca";
const TOKEN: &str = "access/token/";
const NODE: &str = "access/node/";

/// The key of the token with this hash.
pub fn token_key(hash: &str) -> String {
    format!("{TOKEN}{hash}")
}

/// The key of a node.
pub fn node_key(name: &str) -> String {
    format!("{NODE}{name}")
}

/// A record as it was last seen, or that it is gone.
#[derive(Debug, Clone)]
struct Seen<T> {
    revision: Revision,
    record: Option<T>,
}

/// What is known.
#[derive(Debug, Default)]
pub struct View {
    tokens: BTreeMap<String, Seen<TokenRecord>>,
    nodes: BTreeMap<String, Seen<NodeRecord>>,
}

impl View {
    /// Takes in what the store says has happened.
    pub fn take(&mut self, event: WatchEvent) {
        match event {
            WatchEvent::Resync(snapshot) => {
                // What was written here meanwhile is newer.
                self.tokens.retain(|_, seen| seen.revision > snapshot.revision);
                self.nodes.retain(|_, seen| seen.revision > snapshot.revision);
                for (key, found) in snapshot.records {
                    self.put(key.as_str(), Some(&found.value), found.revision);
                }
            }
            WatchEvent::Changed(changes) => {
                for op in changes.ops {
                    match op {
                        Op::Put(key, value) => self.put(key.as_str(), Some(&value), changes.revision),
                        Op::Delete(key) => self.put(key.as_str(), None, changes.revision),
                    }
                }
            }
        }
    }

    /// Takes in one record, unless a newer one is known: a watch may tell late of what was written here.
    pub fn put(&mut self, key: &str, value: Option<&[u8]>, revision: Revision) {
        if let Some(hash) = key.strip_prefix(TOKEN) {
            put(&mut self.tokens, hash, value, revision);
        } else if let Some(name) = key.strip_prefix(NODE) {
            put(&mut self.nodes, name, value, revision);
        }
    }

    /// All tokens by their hashes.
    pub fn tokens(&self) -> impl Iterator<Item = (&str, &TokenRecord)> {
        self.tokens.iter().filter_map(|(hash, seen)| Some((hash.as_str(), seen.record.as_ref()?)))
    }

    /// A token and when it was last written.
    pub fn token(&self, hash: &str) -> Option<(&TokenRecord, Revision)> {
        let seen = self.tokens.get(hash)?;
        Some((seen.record.as_ref()?, seen.revision))
    }

    /// A node and when it was last written.
    pub fn node(&self, name: &str) -> Option<(&NodeRecord, Revision)> {
        let seen = self.nodes.get(name)?;
        Some((seen.record.as_ref()?, seen.revision))
    }

    /// Who shows this secret.
    ///
    /// # Errors
    /// [`Denied::BadToken`].
    pub fn person(&self, secret: &Secret, now: Millis) -> Result<Caller, Denied> {
        let hash = tokens::hash(secret);
        let (record, _) = self.token(&hash).ok_or(Denied::BadToken)?;
        let role = record.role(now).ok_or(Denied::BadToken)?;
        Ok(Caller::Person {
            role,
            token: tokens::id(&hash).to_owned(),
            label: record.label.clone(),
            projects: record.projects.clone(),
        })
    }

    /// Which node shows this certificate.
    ///
    /// # Errors
    /// [`Denied::Certificate`] when it does not count.
    pub fn peer(&self, peer: &Peer, now: Millis) -> Result<Caller, Denied> {
        let denied = |problem| Denied::Certificate { node: peer.node.clone(), problem };
        let (record, _) = self.node(&peer.node).ok_or_else(|| denied("not known to this fleet"))?;
        record.accept(&peer.serial, now).map_err(denied)?;
        Ok(Caller::Node { name: peer.node.clone() })
    }
}

fn put<T: DeserializeOwned>(map: &mut BTreeMap<String, Seen<T>>, key: &str, value: Option<&[u8]>, revision: Revision) {
    if map.get(key).is_some_and(|seen| seen.revision >= revision) {
        return;
    }
    // What cannot be read gives nobody any right.
    let record = value.and_then(|bytes| serde_json::from_slice(bytes).ok());
    map.insert(key.to_owned(), Seen { revision, record });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        security::{Role, nodes::Issued, tokens::Grant},
        store::{Changes, Snapshot, Versioned},
    };
    use std::time::Duration;

    fn token(role: Role) -> Vec<u8> {
        let record = TokenRecord::new(Grant::Role(role), "l", "c".into(), Duration::from_secs(60), Millis(0)).unwrap();
        serde_json::to_vec(&record).unwrap()
    }

    #[test]
    fn an_old_change_does_not_bring_back_what_is_gone() {
        let (mut view, secret) = (View::default(), Secret::new([3; 32]));
        let key = token_key(&tokens::hash(&secret));
        view.put(&key, Some(&token(Role::Admin)), Revision(5));
        assert!(view.person(&secret, Millis(1)).is_ok());
        view.put(&key, None, Revision(7));
        let late = Changes { revision: Revision(5), ops: vec![Op::put(key.clone(), token(Role::Admin))] };
        view.take(WatchEvent::Changed(late));
        assert_eq!(view.person(&secret, Millis(1)), Err(Denied::BadToken));
        assert_eq!(view.tokens().count(), 0);
    }

    #[test]
    fn an_old_snapshot_does_not_bring_back_what_is_gone() {
        let (mut view, secret) = (View::default(), Secret::new([3; 32]));
        let key = token_key(&tokens::hash(&secret));
        let snapshot = |revision, records| WatchEvent::Resync(Snapshot { revision: Revision(revision), records });
        let was = Versioned { value: token(Role::Admin).into(), revision: Revision(5) };
        view.take(snapshot(6, vec![(key.as_str().into(), was.clone())]));
        assert!(view.person(&secret, Millis(1)).is_ok());
        view.put(&key, None, Revision(8));
        view.take(snapshot(7, vec![(key.as_str().into(), was)]));
        assert_eq!(view.person(&secret, Millis(1)), Err(Denied::BadToken), "it was listed before the token was taken away");
        view.put(&key, Some(&token(Role::Admin)), Revision(9));
        view.take(snapshot(10, vec![]));
        assert_eq!(view.tokens().count(), 0, "what a newer one has not is gone");
    }

    #[test]
    fn what_cannot_be_read_gives_no_right() {
        let (mut view, secret) = (View::default(), Secret::new([3; 32]));
        view.put(&token_key(&tokens::hash(&secret)), Some(b"{\"grant\": \"root\"}"), Revision(5));
        assert_eq!(view.person(&secret, Millis(1)), Err(Denied::BadToken));
        assert_eq!(view.person(&Secret::new([4; 32]), Millis(1)), Err(Denied::BadToken));
    }

    #[test]
    fn a_certificate_counts_only_while_its_node_lists_it() {
        let mut view = View::default();
        let peer = Peer { node: "n".into(), serial: "01".into() };
        assert!(view.peer(&peer, Millis(1)).unwrap_err().to_string().contains("not known to this fleet"));
        let issued = Issued { serial: "01".into(), expires: Millis(50) };
        let record = NodeRecord::join(None, "n", issued, false, Millis(0)).unwrap();
        view.put(&node_key("n"), Some(&serde_json::to_vec(&record).unwrap()), Revision(1));
        assert_eq!(view.peer(&peer, Millis(1)), Ok(Caller::Node { name: "n".into() }));
        assert!(view.peer(&peer, Millis(50)).unwrap_err().to_string().contains("expired"));
        let other = Peer { serial: "02".into(), ..peer.clone() };
        assert!(view.peer(&other, Millis(1)).is_err());
        view.put(&node_key("n"), Some(&serde_json::to_vec(&record.revoke(Millis(2))).unwrap()), Revision(2));
        assert_eq!(view.peer(&peer, Millis(3)).unwrap_err().to_string(), "the certificate of node n is revoked");
    }
}
