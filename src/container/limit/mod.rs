//! Limits on concurrent requests, requests per second, and bandwidth for one container.
//!
//! [`Limited`] wraps the container below [`super::retry::Retrying`], so each attempt acquires a permit
//! and a call in backoff holds none. The number of permits follows the measured throughput
//! (`concurrency_controller`). The request rate is unlimited until the service throttles
//! (`rate_controller`). `controller` combines both and uses neither a clock nor the network.

mod concurrency_controller;
mod controller;
mod counters;
mod figures;
mod limiter;
mod rate_controller;
#[cfg(test)]
mod simulated;
mod throttle_notifier;
mod token_bucket;

use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

use super::{
    BlobName, Container, ContainerError, ContainerErrorKind, ListMarker, ListPage, NetworkFailure,
    Operation, PutBody,
};

pub(super) use counters::is_throttled;
pub use figures::{LimiterFigures, Requests};
pub use limiter::{Concurrency, Limiter, MAX_REQUESTS};

/// A container whose requests pass through a [`Limiter`].
#[derive(Debug)]
pub struct Limited<C> {
    inner: C,
    limiter: Arc<Limiter>,
}

impl<C: Container> Limited<C> {
    /// Limits the calls to `inner` with `limiter`. Use one limiter per container, because its limits
    /// are measured on that container.
    ///
    /// # Panics
    /// Panics outside a tokio runtime, which runs the limiter's task.
    pub fn new(inner: C, limiter: Arc<Limiter>) -> Self {
        limiter.start();
        Self { inner, limiter }
    }

    /// Runs `call` under a permit. `sent` and `received` are the content bytes that it transfers.
    async fn limited<T>(
        &self,
        (operation, blob): (Operation, Option<&BlobName>),
        sent: u64,
        call: impl Future<Output = Result<T, ContainerError>>,
        received: impl FnOnce(&T) -> u64,
    ) -> Result<T, ContainerError> {
        let Ok(permit) = self.limiter.acquire(sent).await else {
            let kind = ContainerErrorKind::Network(NetworkFailure::Other);
            return Err(ContainerError::new(kind, operation, self.inner.location())
                .with_detail("not sent, because another request failed permanently")
                .with_optional_blob(blob));
        };
        let outcome = call.await;
        let bytes = sent + outcome.as_ref().map_or(0, received);
        permit.complete(operation, &outcome, bytes);
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
        let target = (Operation::Put, Some(name));
        self.limited(target, bytes, call, |()| 0).await
    }

    async fn get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        let target = (Operation::Get, Some(name));
        let received = |content: &Bytes| content.len() as u64;
        self.limited(target, 0, self.inner.get(name, at_most), received)
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
        let target = (Operation::Delete, Some(name));
        self.limited(target, 0, self.inner.delete(name), |()| 0)
            .await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "limited_tests/mod.rs"]
mod tests;
