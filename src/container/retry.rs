//! Repeats calls that failed for a passing reason.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::{BlobName, Container, ContainerError, ListMarker, ListPage, Operation, PutBody};

/// When to try again, and when to give up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// No new try starts later than this after the first one. Ten minutes: longer than Azure's fail-over of a storage node.
    pub patience: Duration,
    /// The longest wait before the second try; it doubles with each further one. 200 ms.
    pub first_delay: Duration,
    /// The longest wait before any try. 30 s.
    pub max_delay: Duration,
    /// The longest wait that a service's Retry-After is granted. 2 minutes.
    pub max_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(600),
            first_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(30),
            max_retry_after: Duration::from_secs(120),
        }
    }
}

impl RetryPolicy {
    /// Full jitter: anything between nothing and the doubling bound, so that clients that failed together do not come
    /// back together. A service's Retry-After is the least wait.
    fn delay(&self, attempt: u32, error: &ContainerError) -> Duration {
        let doubled = 2u32.saturating_pow(attempt.saturating_sub(1));
        let bound = self.first_delay.saturating_mul(doubled).min(self.max_delay);
        let jittered = bound.mul_f64(fastrand::f64());
        let asked = error.retry_after().unwrap_or_default();
        asked.min(self.max_retry_after).saturating_add(jittered)
    }
}

/// A call failed and will be tried again.
#[derive(Debug)]
#[non_exhaustive]
pub struct RetryEvent<'a> {
    /// The call.
    pub operation: Operation,
    /// The blob concerned; `None` for a listing.
    pub blob: Option<&'a BlobName>,
    /// How many tries have failed so far.
    pub attempt: u32,
    /// The wait before the next try.
    pub delay: Duration,
    /// Why the last try failed.
    pub error: &'a ContainerError,
}

/// Hears of every wait.
pub type RetryObserver = Arc<dyn Fn(&RetryEvent<'_>) + Send + Sync>;

/// A container whose passing failures are waited out.
pub struct Retrying<C> {
    inner: C,
    policy: RetryPolicy,
    observer: Option<RetryObserver>,
}

impl<C: Container> Retrying<C> {
    /// Repeats the calls of `inner`.
    pub fn new(inner: C, policy: RetryPolicy) -> Self {
        Self {
            inner,
            policy,
            observer: None,
        }
    }

    /// Also tells `observer` of every wait.
    pub fn with_observer(mut self, observer: RetryObserver) -> Self {
        self.observer = Some(observer);
        self
    }

    async fn repeat<T, F: Future<Output = Result<T, ContainerError>> + Send>(
        &self,
        operation: Operation,
        blob: Option<&BlobName>,
        call: impl Fn() -> F + Send + Sync,
    ) -> Result<T, ContainerError> {
        let started = Instant::now();
        let mut attempt: u32 = 0;
        loop {
            let error = match call().await {
                Err(error) if error.is_transient() => error,
                settled => return settled,
            };
            attempt = attempt.saturating_add(1);
            let delay = self.policy.delay(attempt, &error);
            if started.elapsed().saturating_add(delay) > self.policy.patience {
                return Err(error);
            }
            if let Some(observer) = &self.observer {
                observer(&RetryEvent {
                    operation,
                    blob,
                    attempt,
                    delay,
                    error: &error,
                });
            }
            tokio::time::sleep(delay).await;
        }
    }
}

impl<C: fmt::Debug> fmt::Debug for Retrying<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retrying")
            .field("inner", &self.inner)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<C: Container> Container for Retrying<C> {
    fn location(&self) -> &str {
        self.inner.location()
    }

    async fn put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        // A clone shares the bytes.
        let put = || self.inner.put(name, content.clone());
        self.repeat(Operation::Put, Some(name), put).await
    }

    async fn get(&self, name: &BlobName) -> Result<Bytes, ContainerError> {
        self.repeat(Operation::Get, Some(name), || self.inner.get(name))
            .await
    }

    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        let list = || self.inner.list(prefix, from.clone(), at_most);
        self.repeat(Operation::List, None, list).await
    }

    async fn delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        self.repeat(Operation::Delete, Some(name), || self.inner.delete(name))
            .await
    }
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
