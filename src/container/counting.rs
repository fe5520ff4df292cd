//! A wrapper that counts the calls to a container.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::{BlobName, Container, ContainerError, ListMarker, ListPage, PutBody};

/// A container whose calls are counted.
#[derive(Debug)]
pub struct Counting<C> {
    inner: C,
    puts: Counter,
    gets: Counter,
    lists: Counter,
    deletes: Counter,
    puts_by_name: Option<Mutex<HashMap<BlobName, u64>>>,
}

#[derive(Debug, Default)]
struct Counter {
    calls: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
}

/// The calls of one operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OperationCount {
    /// Finished calls, including failed ones.
    pub calls: u64,
    /// Failed calls.
    pub failed: u64,
    /// Bytes of content transferred by successful calls; 0 for lists and deletes.
    pub bytes: u64,
}

/// The counts of a [`Counting`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Blobs written.
    pub puts: OperationCount,
    /// Blobs read.
    pub gets: OperationCount,
    /// Pages listed.
    pub lists: OperationCount,
    /// Blobs deleted.
    pub deletes: OperationCount,
}

impl Counter {
    fn record<T>(&self, outcome: &Result<T, ContainerError>, bytes: u64) {
        self.calls.fetch_add(1, Relaxed);
        match outcome {
            Ok(_) => self.bytes.fetch_add(bytes, Relaxed),
            Err(_) => self.failed.fetch_add(1, Relaxed),
        };
    }

    fn read(&self) -> OperationCount {
        OperationCount {
            calls: self.calls.load(Relaxed),
            failed: self.failed.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }
}

impl<C: Container> Counting<C> {
    /// Counts the calls to `inner` and their bytes.
    pub fn new(inner: C) -> Self {
        Self {
            inner,
            puts: Counter::default(),
            gets: Counter::default(),
            lists: Counter::default(),
            deletes: Counter::default(),
            puts_by_name: None,
        }
    }

    /// Also counts the puts of each name. For tests, because memory grows with the number of names.
    pub fn with_names(inner: C) -> Self {
        Self {
            puts_by_name: Some(Mutex::default()),
            ..Self::new(inner)
        }
    }

    /// Returns the counts so far.
    pub fn counts(&self) -> Counts {
        Counts {
            puts: self.puts.read(),
            gets: self.gets.read(),
            lists: self.lists.read(),
            deletes: self.deletes.read(),
        }
    }

    /// Returns the number of puts of each name; empty unless created by [`Counting::with_names`].
    pub fn puts_by_name(&self) -> HashMap<BlobName, u64> {
        match &self.puts_by_name {
            Some(names) => names.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            None => HashMap::new(),
        }
    }

    /// Returns the wrapped container.
    pub fn inner(&self) -> &C {
        &self.inner
    }
}

#[async_trait]
impl<C: Container> Container for Counting<C> {
    fn location(&self) -> &str {
        self.inner.location()
    }

    async fn put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        let bytes = content.bytes.len() as u64;
        if let Some(names) = &self.puts_by_name {
            let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
            *names.entry(name.clone()).or_default() += 1;
        }
        let outcome = self.inner.put(name, content).await;
        self.puts.record(&outcome, bytes);
        outcome
    }

    async fn get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        let outcome = self.inner.get(name, at_most).await;
        let bytes = outcome.as_ref().map_or(0, |content| content.len() as u64);
        self.gets.record(&outcome, bytes);
        outcome
    }

    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        let outcome = self.inner.list(prefix, from, at_most).await;
        self.lists.record(&outcome, 0);
        outcome
    }

    async fn delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        let outcome = self.inner.delete(name).await;
        self.deletes.record(&outcome, 0);
        outcome
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::container::MAX_BLOB_BYTES;
    use crate::container::memory::InMemory;

    #[tokio::test]
    async fn calls_failures_and_bytes_are_counted() {
        let container = Counting::with_names(InMemory::new());
        let (one, two) = (BlobName::new("one").unwrap(), BlobName::new("two").unwrap());
        container.put(&one, PutBody::object("12345")).await.unwrap();
        container.put(&one, PutBody::object("123")).await.unwrap();
        container.put(&two, PutBody::object("")).await.unwrap();
        container.get(&one, MAX_BLOB_BYTES).await.unwrap();
        container.list("", None, 1).await.unwrap();
        container.delete(&two).await.unwrap();
        container.get(&two, MAX_BLOB_BYTES).await.unwrap_err();
        let count = |calls, failed, bytes| OperationCount {
            calls,
            failed,
            bytes,
        };
        let expected = Counts {
            puts: count(3, 0, 8),
            gets: count(2, 1, 3),
            lists: count(1, 0, 0),
            deletes: count(1, 0, 0),
        };
        assert_eq!(container.counts(), expected);
        assert_eq!(
            container.puts_by_name(),
            HashMap::from([(one, 2), (two, 1)])
        );
        let nameless = Counting::new(InMemory::new());
        let name = BlobName::new("one").unwrap();
        nameless.put(&name, PutBody::object("1")).await.unwrap();
        assert!(nameless.puts_by_name().is_empty());
    }

    #[tokio::test]
    async fn failed_puts_count_no_bytes() {
        let gone = InMemory::new();
        gone.remove_container();
        let container = Counting::new(gone);
        let name = BlobName::new("one").unwrap();
        container
            .put(&name, PutBody::object("12345"))
            .await
            .unwrap_err();
        let puts = container.counts().puts;
        assert_eq!((puts.calls, puts.failed, puts.bytes), (1, 1, 0));
    }
}
