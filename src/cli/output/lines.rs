//! The output for logs and pipes: a line for each event, and progress lines at an interval.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::sparing::Sparing;
use super::{Ending, Output, figures, summary};
use crate::cli::Failure;
use crate::cli::terminal::out;
use crate::events::Event;
use crate::progress::Snapshot;

/// Prints information and progress to standard output, warnings and errors to standard error.
pub(in crate::cli) struct Lines {
    /// The interval of progress lines; `None` prints none.
    every: Option<Duration>,
    last: Mutex<Instant>,
    events: Sparing,
}

impl Lines {
    pub(in crate::cli) fn new(every: Option<Duration>, state: PathBuf) -> Self {
        Lines {
            every,
            events: Sparing::new(state),
            last: Mutex::new(Instant::now()),
        }
    }
}

impl Output for Lines {
    fn event(&self, event: &Event<'_>) {
        self.events.print(event);
    }

    fn snapshot(&self, snapshot: &Snapshot) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if self.every.is_some_and(|every| last.elapsed() >= every) {
            *last = Instant::now();
            out(&figures::line(snapshot));
        }
    }

    fn line(&self, line: &str) {
        out(line);
    }

    fn end(&self, ending: &Ending<'_>) {
        summary::lines(ending).iter().for_each(|line| out(line));
    }

    fn failure(&self, _: &Failure) {}
}
