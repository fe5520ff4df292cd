//! What a limiter tells to a display.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::super::Operation;
use super::counts::Weight;
use crate::progress::Requests;

/// Figures of a limiter, for a display.
#[derive(Debug, Default)]
pub struct LimiterFigures {
    /// Requests that may be on their way now.
    pub concurrency: AtomicU64,
    /// Requests that may begin in a second; 0 when the service has not throttled.
    pub pace: AtomicU64,
    /// Tries that the service turned away (429, 503, or 500 with `OperationTimedOut`) so far.
    pub throttled: AtomicU64,
    /// Tries that are over, by [`Operation`]: puts, gets, lists, deletes.
    tries: [AtomicU64; 4],
    /// Those of them that failed.
    failed: AtomicU64,
}

impl LimiterFigures {
    /// The tries that are over.
    pub fn requests(&self) -> Requests {
        let [puts, gets, lists, deletes] = self.tries.each_ref().map(|tries| tries.load(Relaxed));
        Requests {
            puts,
            gets,
            lists,
            deletes,
            failed: self.failed.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
        }
    }

    /// Counts a try that is over.
    pub(super) fn count(&self, operation: Operation, done: bool, weight: Weight) {
        let [puts, gets, lists, deletes] = &self.tries;
        let tries = match operation {
            Operation::Put => puts,
            Operation::Get | Operation::Open => gets,
            Operation::List => lists,
            Operation::Delete => deletes,
        };
        tries.fetch_add(1, Relaxed);
        if !done {
            self.failed.fetch_add(1, Relaxed);
        }
        if weight == Weight::Throttled {
            self.throttled.fetch_add(1, Relaxed);
        }
    }
}
