//! The figures of a limiter that displays and reports show.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use super::super::Operation;
use super::counters::Signal;

/// Counts of requests to a container. Each attempt counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Requests {
    /// Blobs written.
    pub puts: u64,
    /// Blobs read.
    pub gets: u64,
    /// Pages listed.
    pub lists: u64,
    /// Blobs deleted.
    pub deletes: u64,
    /// Failed requests of all four kinds.
    pub failed: u64,
    /// The failed requests that the service throttled.
    pub throttled: u64,
}

impl Requests {
    /// Returns the number of requests of all kinds.
    pub fn all(&self) -> u64 {
        self.puts + self.gets + self.lists + self.deletes
    }
}

/// Current limits and request counts of a limiter, for displays and reports.
#[derive(Debug, Default)]
pub struct LimiterFigures {
    /// The current limit on concurrent requests.
    pub concurrency: AtomicU64,
    /// The current limit on requests per second; 0 when the service has not throttled.
    pub pace: AtomicU64,
    /// Attempts that the service has throttled (429, 503, or 500 with `OperationTimedOut`).
    pub throttled: AtomicU64,
    /// Finished attempts by [`Operation`]: puts, gets, lists, deletes.
    attempts: [AtomicU64; 4],
    /// Failed attempts.
    failed: AtomicU64,
}

impl LimiterFigures {
    /// Returns the counts of finished attempts.
    pub fn requests(&self) -> Requests {
        let [puts, gets, lists, deletes] =
            self.attempts.each_ref().map(|count| count.load(Relaxed));
        Requests {
            puts,
            gets,
            lists,
            deletes,
            failed: self.failed.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
        }
    }

    /// Counts a finished attempt.
    pub(super) fn record(&self, operation: Operation, is_ok: bool, signal: Signal) {
        let [puts, gets, lists, deletes] = &self.attempts;
        let attempts = match operation {
            Operation::Put => puts,
            Operation::Get | Operation::Open => gets,
            Operation::List => lists,
            Operation::Delete => deletes,
        };
        attempts.fetch_add(1, Relaxed);
        if !is_ok {
            self.failed.fetch_add(1, Relaxed);
        }
        if signal == Signal::Throttled {
            self.throttled.fetch_add(1, Relaxed);
        }
    }
}
