//! What the calls of one container tell together while they are repeated.
//!
//! Many calls fail at the same moment when a service is away: one of them speaks for all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::ContainerError;
use super::notice::{Notice, NoticeObserver};

/// An outage is told of when it begins, and then no more often than this.
pub const TOLD_EVERY: Duration = Duration::from_secs(30);

/// Calls that failed for a passing reason and are tried again.
#[derive(Default)]
pub(super) struct Outage {
    state: Mutex<State>,
    observer: Option<NoticeObserver>,
}

#[derive(Default)]
struct State {
    /// Calls that failed and have not ended yet.
    waiting: u64,
    /// Since when there have always been some.
    since: Option<Instant>,
    /// When the first of them succeeded since the last failure.
    answered: Option<Instant>,
    /// Whether this outage was told of; its end is told of only then.
    told: bool,
    /// When anything was last told.
    last_told: Option<Instant>,
    /// Of the outages whose end was not told of: calls, and tries.
    calls: u64,
    tries: u64,
}

impl Outage {
    pub(super) fn set_observer(&mut self, observer: NoticeObserver) {
        self.observer = Some(observer);
    }

    /// A call failed for the first time; it counts as waiting until what is returned is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> Waiting {
        let mut state = self.state();
        state.waiting += 1;
        state.calls += 1;
        state.since.get_or_insert_with(Instant::now);
        Waiting {
            outage: Arc::clone(self),
            through: false,
        }
    }

    /// A waiting call is about to wait once more, since it failed with `error`.
    pub(super) fn failed(&self, error: &ContainerError, patience: Duration) {
        let notice = {
            let mut state = self.state();
            state.tries += 1;
            state.answered = None;
            let now = Instant::now();
            let recently = state
                .last_told
                .is_some_and(|told| now.duration_since(told) < TOLD_EVERY);
            if recently {
                return;
            }
            state.last_told = Some(now);
            let lasting = state.since.map_or(Duration::ZERO, |since| now - since);
            match std::mem::replace(&mut state.told, true) {
                false => Notice::OutageBegins { error, patience },
                true => Notice::OutageLasts {
                    error,
                    lasting,
                    waiting: state.waiting,
                },
            }
        };
        self.tell(&notice);
    }

    fn leave(&self, through: bool) {
        let notice = {
            let mut state = self.state();
            state.waiting -= 1;
            let now = Instant::now();
            let answered = match through {
                true => *state.answered.get_or_insert(now),
                false => now,
            };
            if state.waiting > 0 {
                return;
            }
            let since = state.since.take();
            state.answered = None;
            let told = std::mem::take(&mut state.told);
            if !told || !through {
                return;
            }
            Notice::OutageEnds {
                lasted: since.map_or(Duration::ZERO, |since| answered - since),
                calls: std::mem::take(&mut state.calls),
                tries: std::mem::take(&mut state.tries),
            }
        };
        self.tell(&notice);
    }

    fn tell(&self, notice: &Notice<'_>) {
        if let Some(observer) = &self.observer {
            observer(notice);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is being repeated.
pub(super) struct Waiting {
    outage: Arc<Outage>,
    through: bool,
}

impl Waiting {
    /// The call succeeded after all.
    pub(super) fn through(mut self) {
        self.through = true;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.outage.leave(self.through);
    }
}
