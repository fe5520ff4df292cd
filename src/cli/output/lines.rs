//! Lines, for logs and pipes: events as they come, and the figures now and then.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Ending, Output, figures, summary};
use crate::cli::Failure;
use crate::cli::terminal::{err, out};
use crate::monitor::{Event, Level};
use crate::progress::Snapshot;

/// The normal course to standard output, the rest to standard error.
pub(in crate::cli) struct Lines {
    /// Between two lines of figures; never without.
    every: Option<Duration>,
    last: Mutex<Instant>,
}

impl Lines {
    pub(in crate::cli) fn new(every: Option<Duration>) -> Self {
        Lines {
            every,
            last: Mutex::new(Instant::now()),
        }
    }
}

/// An event as a line, where it goes.
pub(super) fn print(event: &Event<'_>) {
    match event.level() {
        Level::Debug => {}
        Level::Info => out(&event.to_string()),
        Level::Warning => err(&format!("warning: {event}")),
        Level::Error => err(&format!("error: {event}")),
    }
}

impl Output for Lines {
    fn event(&self, event: &Event<'_>) {
        print(event);
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
