//! Bounds of what is asked of a container at the same time, and in a second.
//!
//! [`Limited`] stands below [`super::retry::Retrying`]: each try takes its place, and a call that
//! waits for its next try holds none. How many places there are follows what brings throughput
//! (`climb`); how many requests may begin in a second is free until the service throttles (`pace`).
//! The `law` that joins both knows neither clock nor network.

mod climb;
mod counts;
mod law;
mod limiter;
mod meter;
mod pace;
#[cfg(test)]
mod simulated;
mod telling;

use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

use super::{
    BlobName, Container, ContainerError, ContainerErrorKind, ListMarker, ListPage, NetworkFailure,
    Operation, PutBody,
};

pub(super) use counts::is_throttled;
pub use limiter::{Concurrency, Limiter, LimiterFigures, MOST_REQUESTS};

/// A container with a bound on what is asked of it.
#[derive(Debug)]
pub struct Limited<C> {
    inner: C,
    limiter: Arc<Limiter>,
}

impl<C: Container> Limited<C> {
    /// Puts `limiter` before the calls of `inner`. It is for one container: what it learns of one
    /// says nothing about others.
    ///
    /// # Panics
    /// Outside of a tokio runtime, which drives the limiter.
    pub fn new(inner: C, limiter: Arc<Limiter>) -> Self {
        limiter.start();
        Self { inner, limiter }
    }

    fn closed(&self, operation: Operation, blob: Option<&BlobName>) -> ContainerError {
        let kind = ContainerErrorKind::Network(NetworkFailure::Other);
        let error = ContainerError::new(kind, operation, self.inner.location())
            .with_detail("not sent, since another request failed for good");
        match blob {
            Some(name) => error.with_blob(name.as_str()),
            None => error,
        }
    }
}

#[async_trait]
impl<C: Container> Container for Limited<C> {
    fn location(&self) -> &str {
        self.inner.location()
    }

    async fn put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        let bytes = content.bytes.len() as u64;
        let Ok(place) = self.limiter.place(bytes).await else {
            return Err(self.closed(Operation::Put, Some(name)));
        };
        let outcome = self.inner.put(name, content).await;
        place.settle(Operation::Put, &outcome, bytes);
        outcome
    }

    async fn get(&self, name: &BlobName) -> Result<Bytes, ContainerError> {
        let Ok(place) = self.limiter.place(0).await else {
            return Err(self.closed(Operation::Get, Some(name)));
        };
        let outcome = self.inner.get(name).await;
        let bytes = outcome.as_ref().map_or(0, |content| content.len() as u64);
        place.settle(Operation::Get, &outcome, bytes);
        outcome
    }

    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        let Ok(place) = self.limiter.place(0).await else {
            return Err(self.closed(Operation::List, None));
        };
        let outcome = self.inner.list(prefix, from, at_most).await;
        place.settle(Operation::List, &outcome, 0);
        outcome
    }

    async fn delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        let Ok(place) = self.limiter.place(0).await else {
            return Err(self.closed(Operation::Delete, Some(name)));
        };
        let outcome = self.inner.delete(name).await;
        place.settle(Operation::Delete, &outcome, 0);
        outcome
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "limited_tests/mod.rs"]
mod tests;
