//! A wrapper that retries calls that fail with transient errors.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::blob_failures::{FailureStreak, ReadKind, Successes};
use super::limit::is_throttled;
use super::notice::{Notice, NoticeObserver};
use super::outage::{FailingCall, Outage};
use super::{
    BlobName, Container, ContainerError, ContainerErrorKind, ListMarker, ListPage, NetworkFailure,
    Operation, PutBody,
};
use crate::stop::StopFlag;

/// When to retry a call, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The maximum time from the first failure to the last attempt, which may then still wait for its permit
    /// (`super::limit`). Each call has at least three attempts, or one if this is zero. 10 minutes, which is longer than
    /// Azure's fail-over of a storage node.
    pub patience: Duration,
    /// The maximum backoff before the second attempt; it doubles with each further attempt. 200 ms.
    pub first_delay: Duration,
    /// The maximum backoff before any attempt. 30 s.
    pub max_delay: Duration,
    /// The maximum wait for a service's `Retry-After`. 2 minutes.
    pub max_retry_after: Duration,
    /// The patience if the host is not found or refuses connections before the service has ever responded, so that a
    /// mistyped account is reported soon. 30 s.
    pub first_contact: Duration,
    /// The time that calls in flight have to finish after a stop was requested. A backoff ends immediately. 5 s.
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
    /// Returns the backoff before the next attempt; `None` if nothing is `left` of the patience, or less than the
    /// service's `Retry-After`, which is the minimum backoff.
    ///
    /// Full jitter: a random time up to the doubling bound, so that clients that failed together do not retry together.
    /// The last attempt is at the end of the patience.
    fn delay(&self, attempt: u32, error: &ContainerError, left: Duration) -> Option<Duration> {
        let doubled = 2u32.saturating_pow(attempt.saturating_sub(1));
        let bound = self.first_delay.saturating_mul(doubled).min(self.max_delay);
        let jittered = bound.mul_f64(fastrand::f64());
        let retry_after = error.retry_after().unwrap_or_default();
        let retry_after = retry_after.min(self.max_retry_after);
        (!left.is_zero() && retry_after <= left)
            .then(|| retry_after.saturating_add(jittered).min(left))
    }
}

/// The minimum number of attempts of a call, however short the patience: an attempt may wait for a long time
/// until the limiter (`super::limit`) lets it start.
const MIN_ATTEMPTS: u32 = 3;
/// The number of throttled attempts of one call that count as an outage.
const THROTTLED_ATTEMPTS: u32 = 6;

/// A container whose calls are retried after transient errors.
pub struct Retrying<C> {
    inner: C,
    policy: RetryPolicy,
    observer: Option<NoticeObserver>,
    outage: Arc<Outage>,
    /// The number of calls in backoff.
    gauge: Arc<AtomicUsize>,
    stop: Arc<StopFlag>,
    /// Whether the service has ever responded.
    is_reached: AtomicBool,
    /// The time after which a blob that alone cannot be read is abandoned; `None`: the same as for every other call.
    blob_patience: Option<Duration>,
    successes: Successes,
}

impl<C: Container> Retrying<C> {
    /// Retries the calls to `inner`.
    pub fn new(inner: C, policy: RetryPolicy) -> Self {
        Self {
            inner,
            policy,
            observer: None,
            outage: Arc::default(),
            gauge: Arc::default(),
            stop: Arc::default(),
            is_reached: AtomicBool::new(false),
            blob_patience: None,
            successes: Successes::default(),
        }
    }

    /// Also abandons a blob after this time if it alone cannot be read: at least five attempts failed, each of them
    /// while other blobs could be read. [`ContainerError::is_of_one_blob`] is true for the error.
    pub fn with_blob_patience(mut self, patience: Duration) -> Self {
        self.blob_patience = Some(patience);
        self
    }

    /// Also reports to `observer` each failed attempt, and the start, the duration and the end of outages.
    pub fn with_notices(mut self, observer: NoticeObserver) -> Self {
        // There is no other reference before the first call.
        if let Some(outage) = Arc::get_mut(&mut self.outage) {
            outage.set_observer(Arc::clone(&observer));
        }
        self.observer = Some(observer);
        self
    }

    /// Also keeps `gauge` at the number of calls in backoff.
    pub fn with_gauge(mut self, gauge: Arc<AtomicUsize>) -> Self {
        self.gauge = gauge;
        self
    }

    /// Ends backoffs when a stop is requested, and abandons calls that take longer than [`RetryPolicy::stop_grace`] then.
    pub fn with_stop(mut self, stop: Arc<StopFlag>) -> Self {
        self.stop = stop;
        self
    }

    fn patience(&self, error: &ContainerError) -> Duration {
        let is_unreachable = matches!(
            error.kind(),
            ContainerErrorKind::Network(NetworkFailure::Dns | NetworkFailure::Connect)
        );
        match is_unreachable && !self.is_reached.load(Relaxed) {
            true => self.policy.patience.min(self.policy.first_contact),
            false => self.policy.patience,
        }
    }

    async fn with_retries<T, F: Future<Output = Result<T, ContainerError>> + Send>(
        &self,
        operation: Operation,
        blob: Option<&BlobName>,
        prefix: &str,
        call: impl Fn() -> F + Send + Sync,
    ) -> Result<T, ContainerError> {
        let kind = ReadKind::of(operation, prefix).filter(|_| self.blob_patience.is_some());
        let mut streak = kind.map(FailureStreak::new);
        let mut first_failure = None;
        let mut failing_call: Option<FailingCall> = None;
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
                finished => {
                    self.is_reached.store(true, Relaxed);
                    if let Some(failing_call) = failing_call
                        && finished.is_ok()
                    {
                        failing_call.succeed();
                    }
                    return finished;
                }
            };
            if !matches!(error.kind(), ContainerErrorKind::Network(_)) {
                self.is_reached.store(true, Relaxed);
            }
            attempt = attempt.saturating_add(1);
            let patience = self.patience(&error);
            let failing_since = *first_failure.get_or_insert_with(Instant::now);
            if let Some(streak) = &mut streak
                && !self.stop.is_requested()
            {
                tokio::select! {
                    () = streak.record_failure(&error, &self.successes, &self.inner) => {}
                    () = self.stop.requested(self.policy.stop_grace) => {}
                }
                let time = self.blob_patience;
                if time.is_some_and(|time| self.successes.should_abandon(streak, time)) {
                    return Err(error
                        .with_attempts(attempt, failing_since.elapsed())
                        .of_one_blob());
                }
            }
            let elapsed = failing_since.elapsed();
            let left = match patience.saturating_sub(elapsed) {
                Duration::ZERO if attempt < MIN_ATTEMPTS => patience.min(self.policy.max_delay),
                left => left,
            };
            let delay = match self.policy.delay(attempt, &error, left) {
                Some(delay) if !self.stop.is_requested() => delay,
                _ => {
                    let error = error.with_attempts(attempt, elapsed);
                    return Err(match &streak {
                        Some(streak)
                            if !self.stop.is_requested()
                                && streak
                                    .is_of_the_blob(&error, &self.successes, &self.inner)
                                    .await =>
                        {
                            error.of_one_blob()
                        }
                        _ => error,
                    });
                }
            };
            // The limiter (`super::limit`) reports throttling; it counts as an outage only if it persists.
            if failing_call.is_some() || !is_throttled(&error) || attempt >= THROTTLED_ATTEMPTS {
                failing_call.get_or_insert_with(|| self.outage.enter());
                self.outage.failed(&error, patience);
            }
            if let Some(observer) = &self.observer {
                observer(&Notice::AttemptFailed {
                    attempt,
                    delay,
                    error: &error,
                });
            }
            let _gauge = GaugeGuard::new(&self.gauge);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.stop.requested(Duration::ZERO) => {
                    return Err(error.with_attempts(attempt, failing_since.elapsed()));
                }
            }
        }
    }

    fn abandoned(&self, operation: Operation, blob: Option<&BlobName>) -> ContainerError {
        let kind = ContainerErrorKind::Network(NetworkFailure::Timeout);
        ContainerError::new(kind, operation, self.inner.location())
            .with_detail("abandoned, because the run is stopping")
            .with_optional_blob(blob)
    }
}

/// Increments a gauge until it is dropped, also if the call is cancelled during its backoff.
struct GaugeGuard<'a>(&'a AtomicUsize);

impl<'a> GaugeGuard<'a> {
    fn new(gauge: &'a AtomicUsize) -> Self {
        gauge.fetch_add(1, Relaxed);
        GaugeGuard(gauge)
    }
}

impl Drop for GaugeGuard<'_> {
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
        self.with_retries(Operation::Put, Some(name), "", put).await
    }

    async fn get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        let get = || self.inner.get(name, at_most);
        let content = self
            .with_retries(Operation::Get, Some(name), "", get)
            .await?;
        self.successes.record_get(name, &content);
        Ok(content)
    }

    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        let list = || self.inner.list(prefix, from.clone(), at_most);
        let page = self
            .with_retries(Operation::List, None, prefix, list)
            .await?;
        self.successes.record_list();
        Ok(page)
    }

    async fn delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        let delete = || self.inner.delete(name);
        self.with_retries(Operation::Delete, Some(name), "", delete)
            .await
    }
}

#[cfg(test)]
#[path = "retry_tests/mod.rs"]
mod tests;
