//! Notices about outages: the calls of one container that fail and are retried, reported together.
//!
//! When a service is unavailable, many calls fail at the same moment; one notice covers all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::ContainerError;
use super::notice::{Notice, NoticeObserver};

/// The minimum time between two notices about failing calls.
pub(super) const NOTICE_INTERVAL: Duration = Duration::from_secs(30);

/// The calls of one container that failed with a transient error and are retried.
#[derive(Default)]
pub(super) struct Outage {
    state: Mutex<State>,
    observer: Option<NoticeObserver>,
}

#[derive(Default)]
struct State {
    /// Calls that failed and are not finished.
    waiting: u64,
    /// The start of the outage: there have been failing calls ever since.
    since: Option<Instant>,
    /// The first success after the last failure.
    first_success: Option<Instant>,
    /// Whether the start of this outage was reported. Otherwise its end is not reported either.
    is_reported: bool,
    last_notice: Option<Instant>,
    /// Retried calls since the last [`Notice::OutageEnds`].
    calls: u64,
    /// Failed attempts of these calls.
    attempts: u64,
}

impl Outage {
    pub(super) fn set_observer(&mut self, observer: NoticeObserver) {
        self.observer = Some(observer);
    }

    /// Registers a call that failed for the first time. It counts as waiting until the guard is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> FailingCall {
        let mut state = self.state();
        state.waiting += 1;
        state.calls += 1;
        state.since.get_or_insert_with(Instant::now);
        FailingCall {
            outage: Arc::clone(self),
            is_successful: false,
        }
    }

    /// Records that an attempt of a registered call failed with `error`, before its next backoff.
    pub(super) fn failed(&self, error: &ContainerError, patience: Duration) {
        let notice = {
            let mut state = self.state();
            state.attempts += 1;
            state.first_success = None;
            let now = Instant::now();
            let is_recent = state
                .last_notice
                .is_some_and(|last| now.duration_since(last) < NOTICE_INTERVAL);
            if is_recent {
                return;
            }
            state.last_notice = Some(now);
            let lasting = state.since.map_or(Duration::ZERO, |since| now - since);
            match std::mem::replace(&mut state.is_reported, true) {
                false => Notice::OutageBegins { error, patience },
                true => Notice::OutageLasts {
                    error,
                    lasting,
                    waiting: state.waiting,
                },
            }
        };
        self.notify(&notice);
    }

    fn leave(&self, is_successful: bool) {
        let notice = {
            let mut state = self.state();
            state.waiting -= 1;
            let now = Instant::now();
            let first_success = match is_successful {
                true => *state.first_success.get_or_insert(now),
                false => now,
            };
            if state.waiting > 0 {
                return;
            }
            let since = state.since.take();
            state.first_success = None;
            let is_reported = std::mem::take(&mut state.is_reported);
            if !is_reported || !is_successful {
                return;
            }
            Notice::OutageEnds {
                lasted: since.map_or(Duration::ZERO, |since| first_success - since),
                calls: std::mem::take(&mut state.calls),
                attempts: std::mem::take(&mut state.attempts),
            }
        };
        self.notify(&notice);
    }

    fn notify(&self, notice: &Notice<'_>) {
        if let Some(observer) = &self.observer {
            observer(notice);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A registered call that failed and is retried.
pub(super) struct FailingCall {
    outage: Arc<Outage>,
    is_successful: bool,
}

impl FailingCall {
    /// Marks the call as successful.
    pub(super) fn succeed(mut self) {
        self.is_successful = true;
    }
}

impl Drop for FailingCall {
    fn drop(&mut self) {
        self.outage.leave(self.is_successful);
    }
}
