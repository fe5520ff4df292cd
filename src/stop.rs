//! The wish to stop, shared by all threads of a run.

use std::sync::atomic::{AtomicBool, Ordering};

/// Set once, by a signal, a fatal error or too many problems; the stages look at it between two
/// pieces of work.
#[derive(Debug, Default)]
pub struct StopFlag(AtomicBool);

impl StopFlag {
    /// Asks the run to stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the run was asked to stop.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
