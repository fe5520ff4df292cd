//! The live display: the bottom rows of a terminal, which change twice a second.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lines::LimitedPrinter;
use super::terminal::out;
use super::{Ending, Output, figures, summary};
use crate::cli::{Failure, lock};
use crate::events::{Event, Level};
use crate::progress::Snapshot;

/// The maximum redraw rate, because over ssh each redraw is a packet.
const REDRAWS_A_SECOND: u8 = 4;
/// The length of the bar, in steps.
const BAR_STEPS: f64 = 1000.0;

/// The display. Other lines are printed above it.
pub(crate) struct Live {
    display: MultiProgress,
    rows: Mutex<Option<Rows>>,
    events: LimitedPrinter,
}

struct Rows {
    bar: ProgressBar,
    texts: [ProgressBar; 4],
}

impl Live {
    /// Returns whether standard error is a terminal that can be redrawn.
    pub(crate) fn is_possible() -> bool {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        std::io::stderr().is_terminal() && !dumb
    }

    pub(crate) fn new(state: PathBuf) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_A_SECOND);
        Live {
            display: MultiProgress::with_draw_target(target),
            rows: Mutex::new(None),
            events: LimitedPrinter::new(state),
        }
    }

    fn rows(&self) -> MutexGuard<'_, Option<Rows>> {
        lock(&self.rows)
    }

    fn create_rows(&self) -> Rows {
        let row = |template: &str| {
            let bar = self.display.add(ProgressBar::new(BAR_STEPS as u64));
            bar.set_style(style(template));
            bar
        };
        Rows {
            bar: row(BAR),
            texts: [row(TEXT), row(TEXT), row(TEXT), row(TEXT)],
        }
    }

    /// Prints above the display, which the next snapshot redraws. `MultiProgress::suspend` is not used, because it
    /// panics when the terminal was closed.
    fn print_above(&self, print: impl FnOnce()) {
        let _no_redraw = self.rows();
        drop(self.display.clear());
        print();
    }

    /// Removes the display permanently; later lines replace it.
    fn clear(&self) {
        if let Some(rows) = self.rows().take() {
            rows.bar.finish_and_clear();
            rows.texts.iter().for_each(ProgressBar::finish_and_clear);
        }
        // A closed terminal must not end a transfer.
        drop(self.display.clear());
    }
}

/// Rows are cut to the current width of the terminal.
const TEXT: &str = "{wide_msg}";
const BAR: &str = "[{bar:40.green}] {msg}";

impl Output for Live {
    fn event(&self, event: &Event<'_>) {
        // Debug events are not printed, and there may be thousands a second.
        if event.level() > Level::Debug {
            self.print_above(|| self.events.print(event));
        }
    }

    fn snapshot(&self, snapshot: &Snapshot) {
        let mut rows = self.rows();
        let rows = rows.get_or_insert_with(|| self.create_rows());
        let part = figures::part_done(snapshot);
        // The bar is full only at the end.
        rows.bar
            .set_position((part.unwrap_or(0.0) * BAR_STEPS).min(BAR_STEPS - 1.0) as u64);
        let percent = part.map_or("…".to_owned(), |part| {
            format!("{:.0} %", (part * 100.0).floor())
        });
        rows.bar.set_message(percent);
        for (row, text) in rows.texts.iter().zip(figures::rows(snapshot)) {
            row.set_message(text);
        }
    }

    fn line(&self, line: &str) {
        self.print_above(|| out(line));
    }

    fn end(&self, ending: &Ending<'_>) {
        self.clear();
        summary::lines(ending).iter().for_each(|line| out(line));
    }

    fn failure(&self, _: &Failure) {
        self.clear();
    }
}

/// Parses a template. Templates are constants, and a test parses them.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_valid() {
        for template in [TEXT, BAR] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
