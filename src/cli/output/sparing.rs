//! Events for people. Only the first of those about single entries are printed: there may be thousands, and the
//! log has all.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cli::terminal::{err, out};
use crate::events::{Event, Level};
use crate::state::LOG_NAME;

/// The number of events of a kind that are printed.
const SHOWN: u64 = 10;

/// Prints events.
pub(super) struct Sparing {
    /// The state folder.
    state: PathBuf,
    problems: AtomicU64,
    again: AtomicU64,
    stored: AtomicU64,
}

impl Sparing {
    pub(super) fn new(state: PathBuf) -> Self {
        Sparing {
            state,
            problems: AtomicU64::new(0),
            again: AtomicU64::new(0),
            stored: AtomicU64::new(0),
        }
    }

    /// Prints an event, or once a note that further events of its kind are not printed.
    pub(super) fn print(&self, event: &Event<'_>) {
        let (printed, what) = match event {
            Event::Problem { .. } => (&self.problems, "failed entries"),
            Event::TakenAgain { .. } => (&self.again, "files that changed since the scan"),
            Event::StoredChanged { .. } => {
                (&self.stored, "files that changed while they were read")
            }
            event => return print(event),
        };
        match printed.fetch_add(1, Ordering::Relaxed) {
            before if before < SHOWN => print(event),
            SHOWN => err(&format!(
                "note: further {what} are not printed; the log has all: {}",
                self.state.join(LOG_NAME).display()
            )),
            _ => {}
        }
    }
}

/// Prints an event to standard output, or to standard error if it is a warning or an error.
fn print(event: &Event<'_>) {
    match event.level() {
        Level::Debug => {}
        Level::Info => out(&event.to_string()),
        Level::Warning => err(&format!("warning: {event}")),
        Level::Error => err(&format!("error: {event}")),
    }
}
