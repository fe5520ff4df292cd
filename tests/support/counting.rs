//! A wrapper that counts the calls to a container.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::Bytes;

use clfsload::container::wrapper::Wrapper;
use clfsload::container::{BlobName, Container, ContainerError, ListMarker, ListPage, PutBody};

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
}

/// The calls of one operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OperationCount {
    /// Finished calls, including failed ones.
    pub calls: u64,
    /// Failed calls.
    pub failed: u64,
}

/// The counts of a [`Counting`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    fn record<T>(&self, outcome: &Result<T, ContainerError>) {
        self.calls.fetch_add(1, Relaxed);
        self.failed.fetch_add(u64::from(outcome.is_err()), Relaxed);
    }

    fn read(&self) -> OperationCount {
        OperationCount {
            calls: self.calls.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }
}

impl<C: Container> Counting<C> {
    /// Counts the calls to `inner`.
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

    /// Also counts the puts of each name.
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
            Some(names) => names.lock().unwrap().clone(),
            None => HashMap::new(),
        }
    }

    /// Returns the wrapped container.
    pub fn inner(&self) -> &C {
        &self.inner
    }
}

#[async_trait]
impl<C: Container> Wrapper for Counting<C> {
    fn wrapped(&self) -> &dyn Container {
        &self.inner
    }

    async fn on_put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        if let Some(names) = &self.puts_by_name {
            let mut names = names.lock().unwrap();
            *names.entry(name.clone()).or_default() += 1;
        }
        let outcome = self.inner.put(name, content).await;
        self.puts.record(&outcome);
        outcome
    }

    async fn on_get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        let outcome = self.inner.get(name, at_most).await;
        self.gets.record(&outcome);
        outcome
    }

    async fn on_list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        let outcome = self.inner.list(prefix, from, at_most).await;
        self.lists.record(&outcome);
        outcome
    }

    async fn on_delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        let outcome = self.inner.delete(name).await;
        self.deletes.record(&outcome);
        outcome
    }
}
