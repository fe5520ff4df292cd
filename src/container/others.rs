//! Whether other requests succeed while one keeps failing: then the fault lies with its blob, not with the service.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::limit::is_throttled;
use super::{BlobName, Container, ContainerError, ContainerErrorKind, NetworkFailure, Operation};

/// The largest blob that is read again to see whether the service answers.
const PROBE_BYTES: u64 = 64 << 10;
/// How long that may take.
const PROBE_TIME: Duration = Duration::from_secs(30);
/// After a probe without success the next one waits for so long.
const PROBE_AGAIN: Duration = Duration::from_secs(5);
/// A listing with a longer prefix is of the names of one object: those of a whole container have at most one character.
const PREFIX_OF_ALL: usize = 1;
/// So many tries of one request must fail, each while another succeeds.
const TRIES: u32 = 5;

/// When so many blobs were given up, the following ones have a part of the time: a storage server that moves would be
/// back by then.
const GIVEN_UP: u32 = 8;
const PART: u32 = 6;

/// A request that reads one blob, or finds its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Get = 0,
    Find = 1,
}

impl Asks {
    /// None for requests that concern more than one blob, or change something.
    pub(super) fn of(operation: Operation, prefix: &str) -> Option<Self> {
        match operation {
            Operation::Get => Some(Self::Get),
            Operation::List if prefix.len() > PREFIX_OF_ALL => Some(Self::Find),
            _ => None,
        }
    }
}

/// What is known of the requests that succeeded.
#[derive(Debug, Default)]
pub(super) struct Others {
    state: Mutex<State>,
    /// A small blob that could be read.
    good: OnceLock<BlobName>,
    given_up: AtomicU32,
    /// One probe at a time.
    probing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    succeeded: [Option<Instant>; 2],
    probe_failed: [Option<Instant>; 2],
}

impl Others {
    /// A blob was read.
    pub(super) fn read(&self, name: &BlobName, content: &Bytes) {
        self.state().succeeded[Asks::Get as usize] = Some(Instant::now());
        if self.good.get().is_none() && content.len() as u64 <= PROBE_BYTES {
            // Another one may have been faster.
            let _ = self.good.set(name.clone());
        }
    }

    /// A name was found, or that there is none.
    pub(super) fn found(&self) {
        self.state().succeeded[Asks::Find as usize] = Some(Instant::now());
    }

    /// Whether the tries of this request show that its blob is the reason: there were enough of them, over this time
    /// at least.
    pub(super) fn gives_up(&self, alone: &Alone, time: Duration) -> bool {
        let time = match self.given_up.load(Relaxed) < GIVEN_UP {
            true => time,
            false => time / PART,
        };
        let counted = alone.counted;
        let proved =
            counted.is_some_and(|(since, tries)| tries >= TRIES && since.elapsed() >= time);
        if proved {
            self.given_up.fetch_add(1, Relaxed);
        }
        proved
    }

    /// Whether a request of this kind has succeeded since then, or one that is made now does.
    async fn succeed(&self, asks: Asks, since: Instant, container: &dyn Container) -> bool {
        let known = || {
            let state = self.state();
            let succeeded = state.succeeded[asks as usize].is_some_and(|at| at > since);
            let failed = state.probe_failed[asks as usize];
            let failed = failed.is_some_and(|at| at.elapsed() < PROBE_AGAIN);
            (succeeded || failed).then_some(succeeded)
        };
        if let Some(known) = known() {
            return known;
        }
        let _turn = self.probing.lock().await;
        if let Some(known) = known() {
            return known;
        }
        let probe = async {
            match (asks, self.good.get()) {
                (Asks::Find, _) => container.list("", None, 1).await.is_ok(),
                (Asks::Get, Some(good)) => container.get(good, PROBE_BYTES).await.is_ok(),
                (Asks::Get, None) => false,
            }
        };
        let succeeded = tokio::time::timeout(PROBE_TIME, probe).await == Ok(true);
        let mut state = self.state();
        let now = Some(Instant::now());
        match succeeded {
            true => state.succeeded[asks as usize] = now,
            false => state.probe_failed[asks as usize] = now,
        }
        succeeded
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tries of one request that failed while others succeeded.
#[derive(Debug)]
pub(super) struct Alone {
    asks: Asks,
    /// The end of the last failed try.
    last: Option<Instant>,
    /// When the first of these tries failed, and how many there were.
    counted: Option<(Instant, u32)>,
}

impl Alone {
    pub(super) fn new(asks: Asks) -> Self {
        Self {
            asks,
            last: None,
            counted: None,
        }
    }

    /// Takes another failed try into account. Only one during which others succeeded counts; after one during which
    /// nothing did, the count begins anew, since the service was away.
    pub(super) async fn failed(
        &mut self,
        error: &ContainerError,
        others: &Others,
        container: &dyn Container,
    ) {
        let before = self.last.replace(Instant::now());
        if is_of_the_service(error) {
            self.counted = None;
            return;
        }
        // A service that is busy turns away now one request, now another.
        if is_throttled(error) {
            return;
        }
        let Some(before) = before else { return };
        match others.succeed(self.asks, before, container).await {
            true => {
                let (since, tries) = self.counted.unwrap_or((before, 0));
                self.counted = Some((since, tries.saturating_add(1)));
            }
            false => self.counted = None,
        }
    }

    /// Whether a request that is not repeated any more failed because of its blob: others succeeded to the last.
    pub(super) async fn is_likely(
        &self,
        error: &ContainerError,
        others: &Others,
        container: &dyn Container,
    ) -> bool {
        match (is_of_the_service(error), self.counted) {
            (true, _) => false,
            (false, Some(_)) => true,
            (false, None) => {
                // Throttled to the last, or tried once only.
                let last = self.last.unwrap_or_else(Instant::now);
                others.succeed(self.asks, last, container).await
            }
        }
    }
}

/// Whether the failure concerns every blob alike.
fn is_of_the_service(error: &ContainerError) -> bool {
    matches!(
        error.kind(),
        ContainerErrorKind::Network(
            NetworkFailure::Dns | NetworkFailure::Connect | NetworkFailure::Tls
        )
    )
}
