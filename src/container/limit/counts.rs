//! What became of the requests of a container: what the law is told of each epoch.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::super::{ContainerError, ContainerErrorKind, NetworkFailure};
use super::law::Measured;

/// What has happened so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) tried: AtomicU64,
    pub(super) waited: AtomicU64,
    pub(super) metered: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) answer_micros: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) throttled: AtomicU64,
    pub(super) timed_out: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// [`Counts`] at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    tried: u64,
    waited: u64,
    metered: u64,
    answered: u64,
    answer_micros: u64,
    bytes: u64,
    throttled: u64,
    timed_out: u64,
    failed: u64,
}

impl Counts {
    pub(super) fn totals(&self) -> Totals {
        Totals {
            tried: self.tried.load(Relaxed),
            waited: self.waited.load(Relaxed),
            metered: self.metered.load(Relaxed),
            answered: self.answered.load(Relaxed),
            answer_micros: self.answer_micros.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
            timed_out: self.timed_out.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }

    /// Counts a try that is over: how long it took, and how many bytes it put or got.
    pub(super) fn count<T>(
        &self,
        outcome: &Result<T, ContainerError>,
        taken: Duration,
        bytes: u64,
    ) -> Weight {
        let weight = outcome.as_ref().err().map_or(Weight::Answer, weight);
        let counter = match weight {
            Weight::Answer => {
                let micros = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX);
                self.answer_micros.fetch_add(micros, Relaxed);
                if outcome.is_ok() {
                    self.bytes.fetch_add(bytes, Relaxed);
                }
                &self.answered
            }
            Weight::Throttled => &self.throttled,
            Weight::TimedOut => &self.timed_out,
            Weight::Failed => &self.failed,
        };
        counter.fetch_add(1, Relaxed);
        weight
    }
}

impl Totals {
    /// What happened after `before`.
    pub(super) fn since(&self, before: &Totals, elapsed: Duration) -> Measured {
        let answered = self.answered - before.answered;
        let micros = self.answer_micros - before.answer_micros;
        Measured {
            elapsed,
            tried: self.tried - before.tried,
            waited: self.waited - before.waited,
            metered: self.metered - before.metered,
            answered,
            bytes: self.bytes - before.bytes,
            answer_time: Duration::from_micros(micros / answered.max(1)),
            throttled: self.throttled - before.throttled,
            timed_out: self.timed_out - before.timed_out,
            failed: self.failed - before.failed,
        }
    }
}

/// What an error says about how much is asked of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// The service decided: no more than another answer.
    Answer,
    /// Too much is asked.
    Throttled,
    /// There was no answer in time.
    TimedOut,
    /// Nothing.
    Failed,
}

/// Whether the service turned a request away since too much is asked of it.
pub(in super::super) fn is_throttled(error: &ContainerError) -> bool {
    match error.kind() {
        ContainerErrorKind::Throttled { .. } => true,
        // A partition of the service that is overloaded ("Scalability and performance targets for Blob
        // storage").
        ContainerErrorKind::Server { .. } => {
            error.status() == Some(500) && error.code() == Some("OperationTimedOut")
        }
        _ => false,
    }
}

fn weight(error: &ContainerError) -> Weight {
    match error.kind() {
        _ if is_throttled(error) => Weight::Throttled,
        ContainerErrorKind::Network(NetworkFailure::Timeout) => Weight::TimedOut,
        _ if error.is_transient() => Weight::Failed,
        _ => Weight::Answer,
    }
}
