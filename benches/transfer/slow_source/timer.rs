//! Delays any number of concurrent calls.

use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

type Call = Box<dyn FnOnce() + Send>;

/// Runs calls after a fixed delay, on one thread. The delay is the same for all calls, so a queue keeps
/// them in the order of their due times. The calls themselves must be short.
#[derive(Debug)]
pub(super) struct Timer {
    delay: Duration,
    calls: Sender<(Instant, Call)>,
}

impl Timer {
    pub(super) fn start(delay: Duration) -> Self {
        let (calls, waiting) = channel::<(Instant, Call)>();
        std::thread::spawn(move || {
            for (due, call) in waiting {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                call();
            }
        });
        Timer { delay, calls }
    }

    /// Runs `call` after the delay.
    pub(super) fn delay(&self, call: impl FnOnce() + Send + 'static) {
        // Sending fails only if a call panicked and stopped the thread.
        let _ = self
            .calls
            .send((Instant::now() + self.delay, Box::new(call)));
    }
}
