//! The signal from the scan to the file pass that there are more entries.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::load::pipeline::MoreEntries;

/// Wakes the file pass when the scan has recorded more entries.
#[derive(Default)]
pub(super) struct Found {
    state: Mutex<FoundState>,
    changed: Condvar,
}

#[derive(Default)]
struct FoundState {
    has_more: bool,
    is_finished: bool,
}

impl Found {
    pub(super) fn notify(&self, is_finished: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.has_more = true;
        state.is_finished |= is_finished;
        self.changed.notify_all();
    }
}

impl MoreEntries for Found {
    fn wait(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.has_more && !state.is_finished {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.has_more = false;
        !state.is_finished
    }
}

/// Calls a function when it is dropped.
pub(super) struct OnDrop<F: Fn()>(pub(super) F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
