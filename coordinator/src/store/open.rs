//! From the address of a store to the store.

use super::{Embedded, Leases, Memory, Store, StoreError, StoreUrl, schema};
use std::{sync::Arc, time::Duration};

/// Opens the store at this address, creating what is not there, and checks that this version can read it.
///
/// # Errors
/// What is wrong with the address, the file or the etcd cluster. [`StoreError::is_retryable`] tells a cluster that is
/// not there yet from one that cannot be used.
pub async fn open(url: &StoreUrl) -> Result<Arc<dyn Store>, StoreError> {
    let store: Arc<dyn Store> = match url {
        StoreUrl::Memory => Arc::new(Memory::new()),
        StoreUrl::Embedded(folder) => Arc::new(Embedded::open(folder).await?),
        StoreUrl::Etcd(endpoints) => etcd(endpoints, url, None).await?,
    };
    schema::check(store.as_ref(), &url.to_string()).await?;
    Ok(store)
}

/// A connection of its own to a store that several coordinators share and that has been opened before, whose servers may
/// take so long for a call.
///
/// # Errors
/// As [`open`]; [`StoreError::Url`] for a store that nobody shares.
pub(crate) async fn open_shared(url: &StoreUrl, deadline: Duration) -> Result<(Arc<dyn Store>, Arc<dyn Leases>), StoreError> {
    let none = || StoreError::Url { text: url.to_string(), reason: "only etcd is shared by several coordinators".into() };
    let StoreUrl::Etcd(endpoints) = url else { return Err(none()) };
    let store = etcd(endpoints, url, Some(deadline)).await?;
    let leases = store.leases().ok_or_else(none)?;
    Ok((store, leases))
}

#[cfg(feature = "etcd")]
async fn etcd(endpoints: &[String], _: &StoreUrl, deadline: Option<Duration>) -> Result<Arc<dyn Store>, StoreError> {
    let usual = super::EtcdOptions::default();
    let options = super::EtcdOptions { deadline: deadline.unwrap_or(usual.deadline), ..usual };
    Ok(Arc::new(super::Etcd::connect(endpoints, options).await?))
}

#[cfg(not(feature = "etcd"))]
async fn etcd(_: &[String], url: &StoreUrl, _: Option<Duration>) -> Result<Arc<dyn Store>, StoreError> {
    Err(StoreError::NoEtcd(url.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Op, Transaction};

    #[tokio::test]
    async fn a_store_of_another_schema_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::Embedded(folder.path().to_owned());
        let store = open(&url).await.unwrap();
        store.commit(Transaction::new(vec![], vec![Op::put(schema::KEY, *b"2")]).unwrap()).await.unwrap();
        drop(store);
        let error = open(&url).await.err().unwrap();
        assert!(matches!(&error, StoreError::Schema { found, .. } if found == "2"), "{error}");
        assert!(error.to_string().contains(&*folder.path().to_string_lossy()), "{error}");
    }

    #[cfg(not(feature = "etcd"))]
    #[tokio::test]
    async fn a_build_without_etcd_says_how_to_get_it() {
        let error = open(&"etcd://127.0.0.1:1".parse().unwrap()).await.err().unwrap();
        assert!(error.to_string().contains("etcd://127.0.0.1:1"));
        assert!(error.hint().unwrap().contains("--features etcd") && error.hint().unwrap().contains("protoc"));
    }
}
