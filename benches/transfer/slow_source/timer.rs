//! Holds calls for a while, any number of them at once.

use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

type Call = Box<dyn FnOnce() + Send>;

/// All calls wait equally long, so a queue is in the order of their times. One thread waits for
/// them; what then is done is short.
#[derive(Debug)]
pub(super) struct Timer {
    wait: Duration,
    calls: Sender<(Instant, Call)>,
}

impl Timer {
    pub(super) fn start(wait: Duration) -> Self {
        let (calls, waiting) = channel::<(Instant, Call)>();
        std::thread::spawn(move || {
            for (due, call) in waiting {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                call();
            }
        });
        Timer { wait, calls }
    }

    /// Makes the call when its time has come.
    pub(super) fn hold(&self, call: impl FnOnce() + Send + 'static) {
        // The thread ends only with this timer.
        let _ = self
            .calls
            .send((Instant::now() + self.wait, Box::new(call)));
    }
}
