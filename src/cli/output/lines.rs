//! The output for logs and pipes: a line for each event, and progress lines at an interval.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::terminal::{event_message, note, out};
use super::{Ending, Output, figures, summary};
use crate::cli::{Failure, lock};
use crate::events::{Event, Level};
use crate::progress::Snapshot;
use crate::state::LOG_NAME;

/// Prints information and progress to standard output, warnings and errors to standard error.
pub(crate) struct Lines {
    /// The interval of progress lines; `None` prints none.
    every: Option<Duration>,
    last: Mutex<Instant>,
    events: LimitedPrinter,
}

impl Lines {
    pub(crate) fn new(every: Option<Duration>, state: PathBuf) -> Self {
        Lines {
            every,
            events: LimitedPrinter::new(state),
            last: Mutex::new(Instant::now()),
        }
    }
}

impl Output for Lines {
    fn event(&self, event: &Event<'_>) {
        self.events.print(event);
    }

    fn snapshot(&self, snapshot: &Snapshot) {
        let mut last = lock(&self.last);
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

/// The number of events of a kind that are printed.
const SHOWN: u64 = 10;

/// Prints events for people. Only the first ones about single entries are printed: there may be thousands, and the log
/// has all.
pub(crate) struct LimitedPrinter {
    /// The state folder.
    state: PathBuf,
    problems: AtomicU64,
    again: AtomicU64,
    stored: AtomicU64,
}

impl LimitedPrinter {
    pub(crate) fn new(state: PathBuf) -> Self {
        LimitedPrinter {
            state,
            problems: AtomicU64::new(0),
            again: AtomicU64::new(0),
            stored: AtomicU64::new(0),
        }
    }

    /// Prints an event, or once a note that further events of its kind are not printed.
    pub(crate) fn print(&self, event: &Event<'_>) {
        let (printed, what) = match event {
            Event::Problem { .. } => (&self.problems, "failed entries"),
            Event::Reread { .. } => (&self.again, "files that changed since the scan"),
            Event::StoredChanged { .. } => {
                (&self.stored, "files that changed while they were read")
            }
            event if event.level() == Level::Info => return out(&event.to_string()),
            event => return event_message(event),
        };
        match printed.fetch_add(1, Ordering::Relaxed) {
            before if before < SHOWN => event_message(event),
            SHOWN => note(&format!(
                "further {what} are not printed; the log has all: {}",
                self.state.join(LOG_NAME).display()
            )),
            _ => {}
        }
    }
}
