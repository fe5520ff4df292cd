//! What a person sees.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clfs_format::FileType;

use super::Status;
use crate::load::{End, Summary};
use crate::monitor::Level;
use crate::progress::Progress;
use crate::state::{Counter, State};

/// A line to standard output. A terminal or pipe that is gone is no reason to end a transfer, so
/// it is not `println!`, which panics then.
pub(super) fn out(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// A line to standard error, likewise.
pub(super) fn err(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// Events as lines: the normal course to standard output, the rest to standard error.
#[derive(Debug, Default)]
pub(super) struct Terminal;

impl Terminal {
    pub(super) fn line(&self, level: Level, text: &str) {
        match level {
            Level::Debug => {}
            Level::Info => out(text),
            Level::Warning => err(&format!("warning: {text}")),
            Level::Error => err(&format!("error: {text}")),
        }
    }
}

/// Prints figures now and then until it is dropped.
pub(super) struct Figures {
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub(super) fn print_figures(progress: Arc<Progress>, every: Duration) -> Figures {
    let (over, ended) = channel();
    let thread = std::thread::spawn(move || {
        let started = Instant::now();
        while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            out(&figures(&progress, started.elapsed()));
        }
    });
    Figures {
        over: Some(over),
        thread: Some(thread),
    }
}

impl Drop for Figures {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was printed by its own thread.
            drop(thread.join());
        }
    }
}

fn figures(progress: &Progress, elapsed: Duration) -> String {
    let [found, done, failed] =
        [&progress.found, &progress.done, &progress.failed].map(Progress::get);
    let [read, put] = [&progress.bytes_read, &progress.bytes_put].map(Progress::get);
    let seconds = elapsed.as_secs_f64().max(0.001);
    format!(
        "{found} found, {done} done, {failed} failed; {} read, {} uploaded; {:.0} entries/s, {}/s",
        size(read),
        size(put),
        done as f64 / seconds,
        size((put as f64 / seconds) as u64),
    )
}

/// Bytes in a unit that suits them.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut shown = "B";
    for unit in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        shown = unit;
    }
    match shown {
        "B" => format!("{bytes} B"),
        unit => format!("{value:.1} {unit}"),
    }
}

fn type_name(file_type: FileType, count: u64) -> &'static str {
    let (one, several) = match file_type {
        FileType::Directory => ("directory", "directories"),
        FileType::Regular => ("file", "files"),
        FileType::Symlink => ("symlink", "symlinks"),
        FileType::Block => ("block device", "block devices"),
        FileType::Character => ("character device", "character devices"),
        FileType::Socket => ("socket", "sockets"),
        FileType::Fifo => ("fifo", "fifos"),
    };
    if count == 1 { one } else { several }
}

/// The end of a run in a few lines.
pub(super) fn summary_lines(summary: &Summary, state: &State) -> Vec<String> {
    let totals = &summary.totals;
    let seconds = summary.elapsed.as_secs_f64();
    let types: Vec<String> = FileType::ALL
        .into_iter()
        .map(|file_type| (totals.get(Counter::Found(file_type)), file_type))
        .filter(|(count, _)| *count > 0)
        .map(|(count, file_type)| format!("{count} {}", type_name(file_type, count)))
        .collect();
    let mut entries = format!("{} entries: {}", totals.entries(), types.join(", "));
    let links = totals.get(Counter::FoundLinks);
    if links > 0 {
        entries += &format!(" ({links} of them further names of a file)");
    }
    let run_put = Progress::get(&summary.progress.bytes_put);
    let run_done = Progress::get(&summary.progress.done);
    vec![
        entries,
        format!(
            "{} read, {} uploaded in {} objects",
            size(totals.get(Counter::BytesRead)),
            size(totals.get(Counter::BytesPut)),
            totals.get(Counter::Objects)
        ),
        format!(
            "this run: {seconds:.1} s, {:.0} entries/s, {}/s",
            run_done as f64 / seconds.max(0.001),
            size((run_put as f64 / seconds.max(0.001)) as u64)
        ),
        end_line(summary, state),
    ]
}

fn end_line(summary: &Summary, state: &State) -> String {
    let problems = summary.problems;
    let list = state.folder().join("problems.txt");
    let list = list.display();
    match summary.end {
        End::Finished => "done: the container is whole and can be attached".to_owned(),
        End::WasFinished => {
            "done: this transfer was finished before; nothing was left to do".to_owned()
        }
        End::FinishedWithout => format!(
            "done without {problems} entries that failed (see {list}): the container is whole but for them"
        ),
        End::Problems => format!(
            "at rest: {problems} entries failed (see {list}); mend them and run the same command without --new, \
             or add --skip-failed to finish without them"
        ),
        End::TooManyProblems => format!(
            "stopped: {problems} entries failed (see {list}), which is the limit of --max-errors; mend them, \
             then run the same command without --new"
        ),
        End::Stopped => "stopped: run the same command without --new to go on".to_owned(),
    }
}

pub(super) fn status(end: End) -> Status {
    match end {
        End::Finished | End::WasFinished => Status::Done,
        End::FinishedWithout | End::Problems => Status::Problems,
        End::TooManyProblems | End::Stopped => Status::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_a_unit_that_suits() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(u64::MAX), "16.0 EiB");
    }
}
