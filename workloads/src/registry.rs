//! The kinds of job that a process knows: one table for the coordinator, one for the worker.

use std::{collections::BTreeMap, sync::Arc};

/// Kinds of job by name. `T` is `dyn Workload` in a coordinator and `dyn Execute` in a worker.
pub struct Registry<T: ?Sized>(BTreeMap<&'static str, Arc<T>>);

impl<T: ?Sized> Registry<T> {
    /// A table of these kinds. A later entry replaces an earlier one of the same name.
    pub fn new(entries: impl IntoIterator<Item = (&'static str, Arc<T>)>) -> Self {
        Self(entries.into_iter().collect())
    }

    /// The kind of this name.
    pub fn get(&self, kind: &str) -> Option<&Arc<T>> {
        self.0.get(kind)
    }

    /// The names, in alphabetical order.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.keys().copied()
    }
}

impl<T: ?Sized> Clone for Registry<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
