//! How the scan tells the files' pass that there is more.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::pass::MoreEntries;

/// Tells the files' pass that the scan found more.
#[derive(Default)]
pub(super) struct Found {
    state: Mutex<FoundState>,
    changed: Condvar,
}

#[derive(Default)]
struct FoundState {
    news: bool,
    over: bool,
}

impl Found {
    pub(super) fn notify(&self, over: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.news = true;
        state.over |= over;
        self.changed.notify_all();
    }
}

impl MoreEntries for Found {
    fn wait(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.news && !state.over {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.news = false;
        !state.over
    }
}

/// Calls a function when it is dropped.
pub(super) struct OnDrop<F: Fn()>(pub(super) F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
