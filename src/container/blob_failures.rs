//! Distinguishes a blob that alone cannot be read from a service that is unavailable, by whether other requests
//! succeed meanwhile.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::limit::is_throttled;
use super::{BlobName, Container, ContainerError, ContainerErrorKind, NetworkFailure, Operation};

/// The maximum size of a blob that is read again to probe the service.
const MAX_PROBE_BYTES: u64 = 64 << 10;
/// The timeout of a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
/// The minimum time from a failed probe to the next one.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// A listing with a longer prefix is for the names of one object: the listings of a complete container have prefixes of
/// at most one character.
const MAX_CONTAINER_PREFIX: usize = 1;
/// The minimum number of attempts of one request that must fail while other requests succeed.
const MIN_ATTEMPTS: u32 = 5;

/// After this many abandoned blobs, each further one gets only a part of the time: if the cause were a storage server
/// that fails over, it would be back by then.
const FULL_TIME_BLOBS: u32 = 8;
const TIME_DIVISOR: u32 = 6;

/// A kind of request that reads one blob or looks up its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadKind {
    Get = 0,
    Find = 1,
}

impl ReadKind {
    /// Returns `None` for requests that concern several blobs or change something.
    pub(super) fn of(operation: Operation, prefix: &str) -> Option<Self> {
        match operation {
            Operation::Get => Some(Self::Get),
            Operation::List if prefix.len() > MAX_CONTAINER_PREFIX => Some(Self::Find),
            _ => None,
        }
    }
}

/// The last successes of the requests to one container.
#[derive(Debug, Default)]
pub(super) struct Successes {
    state: Mutex<State>,
    /// A small blob that could be read.
    probe_blob: OnceLock<BlobName>,
    abandoned: AtomicU32,
    /// Held during a probe, so that there is one at a time.
    probing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    succeeded: [Option<Instant>; 2],
    probe_failed: [Option<Instant>; 2],
}

impl Successes {
    /// Records a blob that was read.
    pub(super) fn record_get(&self, name: &BlobName, content: &Bytes) {
        self.state().succeeded[ReadKind::Get as usize] = Some(Instant::now());
        if self.probe_blob.get().is_none() && content.len() as u64 <= MAX_PROBE_BYTES {
            // Another thread may have set it first.
            let _ = self.probe_blob.set(name.clone());
        }
    }

    /// Records a listing that succeeded, with or without names.
    pub(super) fn record_list(&self) {
        self.state().succeeded[ReadKind::Find as usize] = Some(Instant::now());
    }

    /// Returns whether to abandon a request because its blob is the cause: enough attempts failed while other requests
    /// succeeded, over at least `time`.
    pub(super) fn should_abandon(&self, streak: &FailureStreak, time: Duration) -> bool {
        let time = match self.abandoned.load(Relaxed) < FULL_TIME_BLOBS {
            true => time,
            false => time / TIME_DIVISOR,
        };
        let should_abandon = streak
            .counted
            .is_some_and(|(since, attempts)| attempts >= MIN_ATTEMPTS && since.elapsed() >= time);
        if should_abandon {
            self.abandoned.fetch_add(1, Relaxed);
        }
        should_abandon
    }

    /// Returns whether a request of this kind has succeeded after `since`, or a probe succeeds now.
    async fn is_succeeding(
        &self,
        kind: ReadKind,
        since: Instant,
        container: &dyn Container,
    ) -> bool {
        let known = || {
            let state = self.state();
            let succeeded = state.succeeded[kind as usize].is_some_and(|at| at > since);
            let failed = state.probe_failed[kind as usize];
            let failed = failed.is_some_and(|at| at.elapsed() < PROBE_INTERVAL);
            (succeeded || failed).then_some(succeeded)
        };
        if let Some(known) = known() {
            return known;
        }
        let _probing = self.probing.lock().await;
        // Another request may have probed meanwhile.
        if let Some(known) = known() {
            return known;
        }
        let probe = async {
            match (kind, self.probe_blob.get()) {
                (ReadKind::Find, _) => container.list("", None, 1).await.is_ok(),
                (ReadKind::Get, Some(name)) => container.get(name, MAX_PROBE_BYTES).await.is_ok(),
                (ReadKind::Get, None) => false,
            }
        };
        let succeeded = tokio::time::timeout(PROBE_TIMEOUT, probe).await == Ok(true);
        let mut state = self.state();
        let now = Some(Instant::now());
        match succeeded {
            true => state.succeeded[kind as usize] = now,
            false => state.probe_failed[kind as usize] = now,
        }
        succeeded
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The attempts of one request that failed while other requests succeeded.
#[derive(Debug)]
pub(super) struct FailureStreak {
    kind: ReadKind,
    /// The time of the last failed attempt.
    last: Option<Instant>,
    /// The time of the first of these attempts, and their number.
    counted: Option<(Instant, u32)>,
}

impl FailureStreak {
    pub(super) fn new(kind: ReadKind) -> Self {
        Self {
            kind,
            last: None,
            counted: None,
        }
    }

    /// Records a failed attempt. It counts only if other requests succeeded during it; otherwise the count restarts,
    /// because the service was unavailable.
    pub(super) async fn record_failure(
        &mut self,
        error: &ContainerError,
        successes: &Successes,
        container: &dyn Container,
    ) {
        let before = self.last.replace(Instant::now());
        if is_of_the_service(error) {
            self.counted = None;
            return;
        }
        // A busy service rejects arbitrary requests.
        if is_throttled(error) {
            return;
        }
        let Some(before) = before else { return };
        match successes.is_succeeding(self.kind, before, container).await {
            true => {
                let (since, attempts) = self.counted.unwrap_or((before, 0));
                self.counted = Some((since, attempts.saturating_add(1)));
            }
            false => self.counted = None,
        }
    }

    /// Returns whether a request that is no longer retried probably failed because of its blob: other requests
    /// succeeded until its last attempt.
    pub(super) async fn is_of_the_blob(
        &self,
        error: &ContainerError,
        successes: &Successes,
        container: &dyn Container,
    ) -> bool {
        match (is_of_the_service(error), self.counted) {
            (true, _) => false,
            (false, Some(_)) => true,
            (false, None) => {
                // All attempts were throttled, or there was only one.
                let last = self.last.unwrap_or_else(Instant::now);
                successes.is_succeeding(self.kind, last, container).await
            }
        }
    }
}

/// Returns whether the failure concerns every blob alike.
fn is_of_the_service(error: &ContainerError) -> bool {
    matches!(
        error.kind(),
        ContainerErrorKind::Network(
            NetworkFailure::Dns | NetworkFailure::Connect | NetworkFailure::Tls
        )
    )
}
