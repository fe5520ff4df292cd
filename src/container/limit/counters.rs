//! Counters of request attempts, and the classification of their outcomes for the controllers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::super::{ContainerError, ContainerErrorKind, NetworkFailure};
use super::controller::Measurement;

/// Running totals, updated by each attempt.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) attempts: AtomicU64,
    pub(super) waited_for_permit: AtomicU64,
    pub(super) waited_for_tokens: AtomicU64,
    pub(super) completed: AtomicU64,
    pub(super) response_micros: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) throttled: AtomicU64,
    pub(super) timed_out: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// A snapshot of [`Counters`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    attempts: u64,
    waited_for_permit: u64,
    waited_for_tokens: u64,
    completed: u64,
    response_micros: u64,
    bytes: u64,
    throttled: u64,
    timed_out: u64,
    failed: u64,
}

impl Counters {
    pub(super) fn totals(&self) -> Totals {
        Totals {
            attempts: self.attempts.load(Relaxed),
            waited_for_permit: self.waited_for_permit.load(Relaxed),
            waited_for_tokens: self.waited_for_tokens.load(Relaxed),
            completed: self.completed.load(Relaxed),
            response_micros: self.response_micros.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
            timed_out: self.timed_out.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }

    /// Counts a finished attempt that took `elapsed` and transferred `bytes` of content.
    pub(super) fn record<T>(
        &self,
        outcome: &Result<T, ContainerError>,
        elapsed: Duration,
        bytes: u64,
    ) -> Signal {
        let signal = outcome.as_ref().err().map_or(Signal::Completed, classify);
        let counter = match signal {
            Signal::Completed => {
                let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
                self.response_micros.fetch_add(micros, Relaxed);
                if outcome.is_ok() {
                    self.bytes.fetch_add(bytes, Relaxed);
                }
                &self.completed
            }
            Signal::Throttled => &self.throttled,
            Signal::TimedOut => &self.timed_out,
            Signal::Failed => &self.failed,
        };
        counter.fetch_add(1, Relaxed);
        signal
    }
}

impl Totals {
    /// Returns the difference to `before`, which was taken `elapsed` earlier.
    pub(super) fn since(&self, before: &Totals, elapsed: Duration) -> Measurement {
        let completed = self.completed - before.completed;
        let micros = self.response_micros - before.response_micros;
        Measurement {
            elapsed,
            attempts: self.attempts - before.attempts,
            waited_for_permit: self.waited_for_permit - before.waited_for_permit,
            waited_for_tokens: self.waited_for_tokens - before.waited_for_tokens,
            completed,
            bytes: self.bytes - before.bytes,
            response_time: Duration::from_micros(micros / completed.max(1)),
            throttled: self.throttled - before.throttled,
            timed_out: self.timed_out - before.timed_out,
            failed: self.failed - before.failed,
        }
    }
}

/// The evidence that an attempt's outcome gives about the load on the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// The service processed the request, with success or a permanent error.
    Completed,
    /// The service rejected the request because of its load.
    Throttled,
    /// No response arrived before the timeout.
    TimedOut,
    /// A transient failure that does not depend on the load.
    Failed,
}

/// Returns whether the service rejected the request because of its load.
pub(in super::super) fn is_throttled(error: &ContainerError) -> bool {
    match error.kind() {
        ContainerErrorKind::Throttled { .. } => true,
        // An overloaded partition responds so ("Scalability and performance targets for Blob storage").
        ContainerErrorKind::Server { .. } => {
            error.status() == Some(500) && error.code() == Some("OperationTimedOut")
        }
        _ => false,
    }
}

fn classify(error: &ContainerError) -> Signal {
    match error.kind() {
        _ if is_throttled(error) => Signal::Throttled,
        ContainerErrorKind::Network(NetworkFailure::Timeout) => Signal::TimedOut,
        _ if error.is_transient() => Signal::Failed,
        _ => Signal::Completed,
    }
}
