//! `clfsload status`: the progress of a load, during or after it, from another terminal.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::output::terminal::out;
use crate::cli::output::{figures, summary};
use crate::cli::{Failure, Status};
use crate::events::Event;
use crate::loss::Lost;
use crate::progress::extremes::{Extremes, RankedFile};
use crate::progress::history::{self, Latest};
use crate::progress::{EntryCounts, Rates, Snapshot};
use crate::state::{
    Counter, State, StateError, StateView, Subtrees, TransferCounts, compression_name,
};
use crate::text::Escaped;
use crate::text::human::{count, counted, size, span};

/// Shows the progress of a load, during or after it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The state folder of the load
    #[arg(value_name = "STATE_DIR")]
    state: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Repeat every two seconds until the load ends or Ctrl-C is pressed
    #[arg(long)]
    watch: bool,
}

const EXAMPLES: &str = "\
Examples:
  clfsload status /var/clfsload/t1
  clfsload status --watch /var/clfsload/t1

Exit status: 0 whatever the state of the load; 1 the state cannot be read; 2 the command is wrong.";

const WATCH_EVERY: Duration = Duration::from_secs(2);

/// The age at which progress is shown with its age. A load writes it every second.
const STALE: Duration = Duration::from_secs(10);

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let redraws = arguments.watch && !arguments.json && std::io::stdout().is_terminal();
    loop {
        let report = Report::read(&arguments.state)?;
        let text = match arguments.json {
            true => vec![serde_json::to_string(&report).map_err(Failure::failed)?],
            false => report.lines(),
        };
        if redraws {
            // ECMA-48: move to the upper left corner and clear the screen.
            out("\x1b[H\x1b[J");
        }
        text.iter().for_each(|line| out(line));
        if !arguments.watch || !report.running {
            return Ok(Status::Done);
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

/// The content of the output.
#[derive(Debug, Serialize)]
struct Report {
    v: u32,
    state: String,
    source: String,
    container: String,
    compression: &'static str,
    preserve_hardlinks: bool,
    running: bool,
    finished: bool,
    /// From the database, as of the last commit.
    entries: u64,
    links: u64,
    unlike_names: u64,
    done: u64,
    failed: u64,
    /// Failed directories, below which everything is missing, and names that may be directories.
    unlisted_directories: u64,
    unknown_entries: u64,
    /// Files that changed while they were read and were stored nevertheless.
    changed: u64,
    #[serde(skip)]
    subtrees: Subtrees,
    bytes_found: u64,
    bytes_read: u64,
    bytes_put: u64,
    objects: u64,
    failures: Vec<Failures>,
    not_stored: Vec<NotStored>,
    /// How the last run ended, unless one is running.
    last_end: Option<String>,
    /// The progress of the current or the last run.
    progress: Option<Snapshot>,
    largest: Vec<RankedFile>,
    slowest: Vec<RankedFile>,
}

#[derive(Debug, Serialize)]
struct Failures {
    reason: String,
    count: u64,
}

/// Attributes that the format cannot store, with the fields of the event.
#[derive(Debug, Serialize)]
struct NotStored {
    #[serde(flatten)]
    fields: serde_json::Map<String, serde_json::Value>,
    #[serde(skip)]
    text: String,
}

impl From<Lost> for NotStored {
    fn from(lost: Lost) -> Self {
        NotStored {
            fields: Event::Lost(&lost).fields(),
            text: lost.to_string(),
        }
    }
}

impl Report {
    fn read(folder: &std::path::Path) -> Result<Report, StateError> {
        let look = State::view(folder)?;
        let TransferCounts {
            totals,
            entries,
            failed,
            subtrees,
            changed,
            ..
        } = look.counts()?;
        let StateView {
            reader,
            settings,
            is_running,
            is_finished,
        } = look;
        let failures = reader.problem_reasons()?.into_iter();
        let not_stored = reader.lost()?.into_iter().map(NotStored::from).collect();
        let Latest { snapshot, extremes } = history::latest(folder).unwrap_or_default();
        let Extremes { largest, slowest } = extremes;
        let links = totals.get(Counter::FoundLinks);
        let done = EntryCounts {
            found: entries,
            failed,
            settled: totals.get(Counter::Done),
            links: reader.links_done()?,
            is_finished,
        };
        let bytes_found = totals.get(Counter::FoundBytes);
        Ok(Report {
            v: 1,
            state: folder.display().to_string(),
            source: settings.source.display().to_string(),
            container: settings.container,
            compression: compression_name(settings.compression),
            preserve_hardlinks: settings.preserve_hardlinks,
            running: is_running,
            finished: is_finished,
            entries,
            links,
            unlike_names: totals.get(Counter::UnlikeNames),
            done: done.done(),
            failed,
            unlisted_directories: subtrees.unlisted,
            unknown_entries: subtrees.unknown,
            changed,
            subtrees,
            bytes_found,
            // The counter includes targets of symlinks and repeated reads.
            bytes_read: totals.get(Counter::BytesRead).min(bytes_found),
            bytes_put: totals.get(Counter::BytesPut),
            objects: totals.get(Counter::Objects),
            failures: failures
                .map(|(reason, count)| Failures { reason, count })
                .collect(),
            not_stored,
            last_end: match is_running {
                true => None,
                false => history::last_end(folder),
            },
            progress: of_this_run(snapshot, history::last_begin(folder)),
            largest,
            slowest,
        })
    }

    fn lines(&self) -> Vec<String> {
        let links = match self.preserve_hardlinks {
            true => ", hard links preserved",
            false => "",
        };
        let mut lines = vec![
            format!("{} into {}", self.source, self.container),
            format!("state in {}; {}{links}", self.state, self.compression),
            self.standing(history::now()),
            format!(
                "{} found, {} done, {} failed",
                counted(self.entries, "entry", "entries"),
                count(self.done),
                count(self.failed)
            ),
            format!(
                "{} of {} read, {} uploaded in {}",
                size(self.bytes_read),
                size(self.bytes_found),
                size(self.bytes_put),
                counted(self.objects, "object", "objects")
            ),
        ];
        lines.extend(summary::unlike_names(self.unlike_names));
        if let Some(progress) = &self.progress {
            lines.extend(rates(progress, self.running, self.finished));
        }
        if self.changed > 0 {
            lines.push(format!(
                "{} changed while being read, and may mix old and new content",
                counted(self.changed, "file", "files")
            ));
        }
        if self.subtrees.any() {
            lines.push(format!("incomplete: {}", self.subtrees));
        }
        let failures = self.failures.iter();
        let reasons = failures.map(|failures| (&*failures.reason, failures.count));
        lines.extend(summary::by_reason(reasons));
        if !self.not_stored.is_empty() {
            lines.push("attributes that CLFS cannot store:".to_owned());
        }
        let not_stored = self.not_stored.iter();
        lines.extend(not_stored.map(|lost| format!("  {}", lost.text)));
        let placed = |title: &str, placed: &[RankedFile], shown: &dyn Fn(&RankedFile) -> String| {
            let title = (!placed.is_empty()).then(|| title.to_owned());
            let rows = placed
                .iter()
                .map(|place| format!("  {:>12}  {}", shown(place), Escaped(&place.path())));
            title.into_iter().chain(rows).collect::<Vec<_>>()
        };
        lines.extend(placed("largest files so far:", &self.largest, &|file| {
            size(file.bytes)
        }));
        let time = |file: &RankedFile| span(Duration::from_millis(file.milliseconds));
        lines.extend(placed(
            "slowest files so far, from the first read to the last response:",
            &self.slowest,
            &time,
        ));
        lines
    }

    /// Returns a line about the run: in progress and how far, or how it ended.
    fn standing(&self, now: u64) -> String {
        let after = |snapshot: &Snapshot| span(Duration::from_millis(snapshot.elapsed_ms));
        match (self.running, &self.progress) {
            (true, _) if self.finished => "loaded; being verified".to_owned(),
            (true, Some(progress)) => {
                let mut text = format!("running for {}: {}", after(progress), progress.phase);
                if let Some(part) = figures::part_done(progress) {
                    text += &format!(", {:.0} %", (part * 100.0).floor());
                }
                for further in [figures::left(progress), figures::slowest(progress)] {
                    text.extend(further.map(|further| format!(", {further}")));
                }
                let age = Duration::from_millis(now.saturating_sub(progress.at));
                if age >= STALE {
                    text += &format!(" (as of {} ago)", span(age));
                }
                text
            }
            (true, None) => "running: no progress yet".to_owned(),
            (false, _) => {
                let state = match self.finished {
                    true if self.subtrees.any() => {
                        "finished, but incomplete: the container can be attached, but directories are missing with everything below them"
                    }
                    true => "finished: the container can be attached",
                    false => "not running: resume with the same command without --new",
                };
                let end = match &self.last_end {
                    Some(end) => format!(" (the last run: {end})"),
                    None if self.finished => String::new(),
                    None => {
                        " (the last run did not record its end: it was killed, or the machine stopped)"
                            .to_owned()
                    }
                };
                format!("{state}{end}")
            }
        }
    }
}

/// Returns the progress unless it is older than the last run, which started at `started`.
fn of_this_run(snapshot: Option<Snapshot>, started: Option<u64>) -> Option<Snapshot> {
    snapshot.filter(|snapshot| started.is_none_or(|started| started <= snapshot.at))
}

fn rates(progress: &Snapshot, running: bool, finished: bool) -> Vec<String> {
    let row = |name: &str, rates: &Rates| format!("{name}: {}", figures::rates(rates));
    let overall = row("this run", &progress.overall);
    match (running, finished) {
        (false, _) => return vec![row("last run", &progress.overall)],
        // The load is finished and is being verified.
        (true, true) => return vec![overall],
        (true, false) => {}
    }
    vec![
        [
            row("now", &progress.now),
            row("last 5 minutes", &progress.recent),
            overall,
        ]
        .join("; "),
        figures::requests(progress),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::snapshot::blank;

    const NOW: u64 = 1_000_000_000;

    fn report(running: bool, finished: bool, progress: Option<Snapshot>) -> Report {
        Report {
            v: 1,
            state: "/t".to_owned(),
            source: "/s".to_owned(),
            container: "c".to_owned(),
            compression: "LZ4",
            preserve_hardlinks: false,
            running,
            finished,
            entries: 0,
            links: 0,
            unlike_names: 0,
            done: 0,
            failed: 0,
            unlisted_directories: 0,
            unknown_entries: 0,
            changed: 0,
            subtrees: Subtrees::default(),
            bytes_found: 0,
            bytes_read: 0,
            bytes_put: 0,
            objects: 0,
            failures: Vec::new(),
            not_stored: Vec::new(),
            last_end: None,
            progress,
            largest: Vec::new(),
            slowest: Vec::new(),
        }
    }

    fn of(age: u64) -> Option<Snapshot> {
        let mut snapshot = blank();
        (snapshot.at, snapshot.elapsed_ms) = (NOW - age, 20_000);
        Some(snapshot)
    }

    #[test]
    fn stale_progress_is_shown_with_its_age() {
        for (age, expected) in [
            (0, "running for 20 s: scan and files"),
            (9_999, "running for 20 s: scan and files"),
            (10_000, "running for 20 s: scan and files (as of 10 s ago)"),
            (
                660_000,
                "running for 20 s: scan and files (as of 11 min ago)",
            ),
        ] {
            assert_eq!(report(true, false, of(age)).standing(NOW), expected);
        }
        let starting = report(true, false, None).standing(NOW);
        assert_eq!(starting, "running: no progress yet");
        let verifying = report(true, true, of(60_000));
        assert_eq!(verifying.standing(NOW), "loaded; being verified");
        assert!(!verifying.lines().iter().any(|line| line.contains("now: ")));
    }

    #[test]
    fn progress_of_an_earlier_run_is_not_shown() {
        for (started, is_shown) in [
            (None, true),
            (Some(NOW - 6000), true),
            (Some(NOW - 5000), true),
            (Some(NOW - 4999), false),
        ] {
            assert_eq!(of_this_run(of(5000), started).is_some(), is_shown);
        }
    }
}
