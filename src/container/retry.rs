//! Repeats calls that failed for a passing reason.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::limit::is_throttled;
use super::notice::{Notice, NoticeObserver};
use super::others::{Alone, Asks, Others};
use super::outage::{Outage, Waiting};
use super::{
    BlobName, Container, ContainerError, ContainerErrorKind, ListMarker, ListPage, NetworkFailure,
    Operation, PutBody,
};
use crate::stop::StopFlag;

/// When to try again, and when to give up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// A try after the third is due no later than this after the first failure; it may still wait for its place then
    /// (`super::limit`). Ten minutes: longer than Azure's fail-over of a storage node. Zero: one try.
    pub patience: Duration,
    /// The longest wait before the second try; it doubles with each further one. 200 ms.
    pub first_delay: Duration,
    /// The longest wait before any try. 30 s.
    pub max_delay: Duration,
    /// The longest wait that a service's Retry-After is granted. 2 minutes.
    pub max_retry_after: Duration,
    /// The patience while nothing has ever answered and the host is not found or refuses connections: a mistyped
    /// account should not take ten minutes to tell. 30 s.
    pub first_contact: Duration,
    /// How long a call may go on after the run was asked to stop; waits end at once. 5 s.
    pub stop_grace: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(600),
            first_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(30),
            max_retry_after: Duration::from_secs(120),
            first_contact: Duration::from_secs(30),
            stop_grace: Duration::from_secs(5),
        }
    }
}

impl RetryPolicy {
    /// Full jitter: anything between nothing and the doubling bound, so that clients that failed together do not come
    /// back together. A service's Retry-After is the least wait. The last try is at the end of what is `left` of
    /// the patience; `None` when nothing is left, or less than the service asks for.
    fn delay(&self, attempt: u32, error: &ContainerError, left: Duration) -> Option<Duration> {
        let doubled = 2u32.saturating_pow(attempt.saturating_sub(1));
        let bound = self.first_delay.saturating_mul(doubled).min(self.max_delay);
        let jittered = bound.mul_f64(fastrand::f64());
        let asked = error.retry_after().unwrap_or_default();
        let asked = asked.min(self.max_retry_after);
        (!left.is_zero() && asked <= left).then(|| asked.saturating_add(jittered).min(left))
    }
}

/// So many tries each call has, however short the patience: one may wait for long until the limiter
/// (`super::limit`) lets it begin.
const LEAST_TRIES: u32 = 3;
/// Tries of one call that a service turns away before this counts as an outage.
const THROTTLED_TRIES: u32 = 6;

/// A container whose passing failures are waited out.
pub struct Retrying<C> {
    inner: C,
    policy: RetryPolicy,
    observer: Option<NoticeObserver>,
    outage: Arc<Outage>,
    /// Calls that wait for their next try.
    gauge: Arc<AtomicUsize>,
    stop: Arc<StopFlag>,
    /// Whether the service has answered anything yet.
    reached: AtomicBool,
    /// How long one blob may fail while others are read; none: as long as everything else.
    blob_patience: Option<Duration>,
    others: Others,
}

impl<C: Container> Retrying<C> {
    /// Repeats the calls of `inner`.
    pub fn new(inner: C, policy: RetryPolicy) -> Self {
        Self {
            inner,
            policy,
            observer: None,
            outage: Arc::default(),
            gauge: Arc::default(),
            stop: Arc::default(),
            reached: AtomicBool::new(false),
            blob_patience: None,
            others: Others::default(),
        }
    }

    /// Also gives up a blob after this time, if it alone cannot be read: at least five tries must fail, each of them
    /// while other blobs are read. The error is one for which [`ContainerError::is_of_one_blob`] holds.
    pub fn with_blob_patience(mut self, patience: Duration) -> Self {
        self.blob_patience = Some(patience);
        self
    }

    /// Also tells `observer` of every failed try, and when calls begin to fail, while they fail, and when
    /// they succeed again.
    pub fn with_notices(mut self, observer: NoticeObserver) -> Self {
        // Nobody else has it before the first call.
        if let Some(outage) = Arc::get_mut(&mut self.outage) {
            outage.set_observer(Arc::clone(&observer));
        }
        self.observer = Some(observer);
        self
    }

    /// Also keeps `gauge` at the number of calls that failed and wait for their next try.
    pub fn with_gauge(mut self, gauge: Arc<AtomicUsize>) -> Self {
        self.gauge = gauge;
        self
    }

    /// Ends waits when the run is asked to stop, and calls that take longer than [`RetryPolicy::stop_grace`] then.
    pub fn with_stop(mut self, stop: Arc<StopFlag>) -> Self {
        self.stop = stop;
        self
    }

    fn patience(&self, error: &ContainerError) -> Duration {
        let unreachable = matches!(
            error.kind(),
            ContainerErrorKind::Network(NetworkFailure::Dns | NetworkFailure::Connect)
        );
        match unreachable && !self.reached.load(Relaxed) {
            true => self.policy.patience.min(self.policy.first_contact),
            false => self.policy.patience,
        }
    }

    async fn repeat<T, F: Future<Output = Result<T, ContainerError>> + Send>(
        &self,
        operation: Operation,
        blob: Option<&BlobName>,
        prefix: &str,
        call: impl Fn() -> F + Send + Sync,
    ) -> Result<T, ContainerError> {
        let asks = Asks::of(operation, prefix).filter(|_| self.blob_patience.is_some());
        let mut alone = asks.map(Alone::new);
        let mut first_failure = None;
        let mut waiting: Option<Waiting> = None;
        let mut attempt: u32 = 0;
        loop {
            let outcome = tokio::select! {
                biased;
                outcome = call() => outcome,
                () = self.stop.requested(self.policy.stop_grace) => {
                    Err(self.abandoned(operation, blob))
                }
            };
            let error = match outcome {
                Err(error) if error.is_transient() => error,
                settled => {
                    self.reached.store(true, Relaxed);
                    if let Some(waiting) = waiting
                        && settled.is_ok()
                    {
                        waiting.through();
                    }
                    return settled;
                }
            };
            if !matches!(error.kind(), ContainerErrorKind::Network(_)) {
                self.reached.store(true, Relaxed);
            }
            attempt = attempt.saturating_add(1);
            let patience = self.patience(&error);
            let failing = *first_failure.get_or_insert_with(Instant::now);
            if let Some(alone) = &mut alone
                && !self.stop.is_requested()
            {
                tokio::select! {
                    () = alone.failed(&error, &self.others, &self.inner) => {}
                    () = self.stop.requested(self.policy.stop_grace) => {}
                }
                let time = self.blob_patience;
                if time.is_some_and(|time| self.others.gives_up(alone, time)) {
                    return Err(error.with_tries(attempt, failing.elapsed()).of_one_blob());
                }
            }
            let elapsed = failing.elapsed();
            let left = match patience.saturating_sub(elapsed) {
                Duration::ZERO if attempt < LEAST_TRIES => patience.min(self.policy.max_delay),
                left => left,
            };
            let delay = match self.policy.delay(attempt, &error, left) {
                Some(delay) if !self.stop.is_requested() => delay,
                _ => {
                    let error = error.with_tries(attempt, elapsed);
                    return Err(match &alone {
                        Some(alone)
                            if !self.stop.is_requested()
                                && alone.is_likely(&error, &self.others, &self.inner).await =>
                        {
                            error.of_one_blob()
                        }
                        _ => error,
                    });
                }
            };
            // What throttles is told of by the limiter (`super::limit`); here only if it lasts.
            if waiting.is_some() || !is_throttled(&error) || attempt >= THROTTLED_TRIES {
                waiting.get_or_insert_with(|| self.outage.enter());
                self.outage.failed(&error, patience);
            }
            if let Some(observer) = &self.observer {
                observer(&Notice::TryFailed {
                    attempt,
                    delay,
                    error: &error,
                });
            }
            let _waits = Gauged::new(&self.gauge);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.stop.requested(Duration::ZERO) => {
                    return Err(error.with_tries(attempt, failing.elapsed()));
                }
            }
        }
    }

    fn abandoned(&self, operation: Operation, blob: Option<&BlobName>) -> ContainerError {
        let kind = ContainerErrorKind::Network(NetworkFailure::Timeout);
        ContainerError::new(kind, operation, self.inner.location())
            .with_detail("given up, since the run was asked to stop")
            .with_optional_blob(blob)
    }
}

/// One more in a gauge until it is dropped: a call may be dropped while it waits.
struct Gauged<'a>(&'a AtomicUsize);

impl<'a> Gauged<'a> {
    fn new(gauge: &'a AtomicUsize) -> Self {
        gauge.fetch_add(1, Relaxed);
        Gauged(gauge)
    }
}

impl Drop for Gauged<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
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
        self.repeat(Operation::Put, Some(name), "", put).await
    }

    async fn get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        let get = || self.inner.get(name, at_most);
        let content = self.repeat(Operation::Get, Some(name), "", get).await?;
        self.others.read(name, &content);
        Ok(content)
    }

    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        let list = || self.inner.list(prefix, from.clone(), at_most);
        let page = self.repeat(Operation::List, None, prefix, list).await?;
        self.others.found();
        Ok(page)
    }

    async fn delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        let delete = || self.inner.delete(name);
        self.repeat(Operation::Delete, Some(name), "", delete).await
    }
}

#[cfg(test)]
#[path = "retry_tests/mod.rs"]
mod tests;
