//! Bounds of what is asked of a container at the same time, and in a second.
//!
//! [`Limited`] stands below [`super::retry::Retrying`]: each try takes its place, and a call that
//! waits for its next try holds none. How many places there are follows what brings throughput
//! (`climb`); how many requests may begin in a second is free until the service throttles (`pace`).
//! The `law` that joins both knows neither clock nor network.

mod climb;
mod counts;
mod figures;
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
pub use figures::LimiterFigures;
pub use limiter::{Concurrency, Limiter, MOST_REQUESTS};

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

    /// A call in its place. `sent` and `received` are the bytes of its content.
    async fn limited<T>(
        &self,
        (operation, blob): (Operation, Option<&BlobName>),
        sent: u64,
        call: impl Future<Output = Result<T, ContainerError>>,
        received: impl FnOnce(&T) -> u64,
    ) -> Result<T, ContainerError> {
        let Ok(place) = self.limiter.place(sent).await else {
            let kind = ContainerErrorKind::Network(NetworkFailure::Other);
            return Err(ContainerError::new(kind, operation, self.inner.location())
                .with_detail("not sent, since another request failed for good")
                .with_optional_blob(blob));
        };
        let outcome = call.await;
        let bytes = sent + outcome.as_ref().map_or(0, received);
        place.settle(operation, &outcome, bytes);
        outcome
    }
}

#[async_trait]
impl<C: Container> Container for Limited<C> {
    fn location(&self) -> &str {
        self.inner.location()
    }

    async fn put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        let bytes = content.bytes.len() as u64;
        let call = self.inner.put(name, content);
        let of = (Operation::Put, Some(name));
        self.limited(of, bytes, call, |()| 0).await
    }

    async fn get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        let of = (Operation::Get, Some(name));
        let received = |content: &Bytes| content.len() as u64;
        self.limited(of, 0, self.inner.get(name, at_most), received)
            .await
    }

    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        let call = self.inner.list(prefix, from, at_most);
        self.limited((Operation::List, None), 0, call, |_| 0).await
    }

    async fn delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        let of = (Operation::Delete, Some(name));
        self.limited(of, 0, self.inner.delete(name), |()| 0).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "limited_tests/mod.rs"]
mod tests;
