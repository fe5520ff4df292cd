//! Snapshots in the state folder: `history.jsonl` with one JSON object per line, and `progress.json` with
//! the latest snapshot.
//!
//! Both are informational. A run continues if they cannot be written.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Snapshot;
use super::extremes::Extremes;

/// The file with the history.
pub const HISTORY_NAME: &str = "history.jsonl";
/// The file with the latest snapshot.
pub const LATEST_NAME: &str = "progress.json";
const LATEST_UNFINISHED: &str = ".progress.json.tmp";

/// Minimum time between two writes of the latest snapshot.
const LATEST_EVERY: Duration = Duration::from_secs(1);
/// Maximum number of bytes that are read, from the end of the history.
const READ_BYTES: u64 = 64 << 20;
/// Enough for the last lines.
const END_BYTES: u64 = 64 << 10;

/// A line of the history.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// The start of a run.
    Run {
        /// Milliseconds since 1970.
        at: u64,
        /// The program's version.
        version: String,
        /// Its options and their values, without secrets.
        options: Vec<(String, String)>,
    },
    /// The figures of the run at one moment.
    Snapshot(Box<Snapshot>),
    /// The end of a run.
    End {
        /// Milliseconds since 1970.
        at: u64,
        /// How it ended, as text.
        end: String,
    },
}

/// The content of `progress.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Latest {
    /// The figures.
    pub snapshot: Option<Snapshot>,
    /// The largest and the slowest files.
    pub extremes: Extremes,
}

/// Writes the history of a run.
pub(super) struct History {
    folder: PathBuf,
    began: Instant,
    /// The largest and the slowest files of earlier runs.
    before: Extremes,
    last_kept: Option<Instant>,
    last_written: Option<Instant>,
}

impl History {
    pub(super) fn append_to(folder: &Path) -> Self {
        History {
            folder: folder.to_path_buf(),
            began: Instant::now(),
            before: latest(folder).unwrap_or_default().extremes,
            last_kept: None,
            last_written: None,
        }
    }

    /// Stores a snapshot, if one is due.
    pub(super) fn keep(
        &mut self,
        snapshot: &Snapshot,
        extremes: impl Fn(&Extremes) -> Extremes,
        last: bool,
    ) {
        let now = Instant::now();
        let due = |before: Option<Instant>, every: Duration| {
            last || before.is_none_or(|before| now - before >= every)
        };
        if due(self.last_kept, interval(now - self.began)) {
            self.last_kept = Some(now);
            // The run continues without it.
            drop(append(
                &self.folder,
                &Record::Snapshot(Box::new(snapshot.clone())),
            ));
        }
        if due(self.last_written, LATEST_EVERY) {
            self.last_written = Some(now);
            let latest = Latest {
                snapshot: Some(snapshot.clone()),
                extremes: extremes(&self.before),
            };
            drop(replace_latest(&self.folder, &latest));
        }
    }
}

/// Returns the time between two stored snapshots: a second at first, a minute after about three hours. A day has 1,900
/// of them, which take 1 MiB.
fn interval(elapsed: Duration) -> Duration {
    (elapsed / 200).clamp(Duration::from_secs(1), Duration::from_secs(60))
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// Appends a line to the history.
///
/// # Errors
/// If it cannot be written.
pub fn append(folder: &Path, record: &Record) -> io::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    let mut options = OpenOptions::new();
    let options = options.create(true).read(true).append(true).mode(0o600);
    let mut file = options.open(folder.join(HISTORY_NAME))?;
    if is_cut_off(&mut file)? {
        line.insert(0, b'\n');
    }
    file.write_all(&line)
}

/// Returns whether a crash cut off the last line. A line appended to it would be lost.
fn is_cut_off(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn replace_latest(folder: &Path, latest: &Latest) -> io::Result<()> {
    let unfinished = folder.join(LATEST_UNFINISHED);
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(true).write(true).mode(0o600);
    let mut text = serde_json::to_vec(latest)?;
    text.push(b'\n');
    options.open(&unfinished)?.write_all(&text)?;
    std::fs::rename(&unfinished, folder.join(LATEST_NAME))
}

/// Calls `seen` with each record of a transfer's history, oldest first. Only reads the end of a very long
/// history. Skips lines that cannot be parsed, such as one that a crash cut off. A missing file is empty.
///
/// # Errors
/// If the file exists and cannot be read.
pub fn visit(folder: &Path, seen: impl FnMut(Record)) -> io::Result<()> {
    visit_end(folder, READ_BYTES, seen)
}

fn visit_end(folder: &Path, at_most: u64, mut seen: impl FnMut(Record)) -> io::Result<()> {
    let mut file = match File::open(folder.join(HISTORY_NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(at_most)))?;
    for line in BufReader::new(file).split(b'\n') {
        if let Ok(record) = serde_json::from_slice(&line?) {
            seen(record);
        }
    }
    Ok(())
}

/// Returns how the last run ended, as text. None if it was killed.
pub fn last_end(folder: &Path) -> Option<String> {
    let mut last = None;
    visit_end(folder, END_BYTES, |record| last = Some(record)).ok()?;
    match last? {
        Record::End { end, .. } => Some(end),
        Record::Run { .. } | Record::Snapshot(_) => None,
    }
}

/// Returns the start of the last run in milliseconds since 1970. None if that was many lines ago.
pub fn last_begin(folder: &Path) -> Option<u64> {
    let mut last = None;
    let see = |record| {
        if let Record::Run { at, .. } = record {
            last = Some(at);
        }
    };
    visit_end(folder, END_BYTES, see).ok()?;
    last
}

/// Returns the latest figures of a transfer, if they exist and can be read.
pub fn latest(folder: &Path) -> Option<Latest> {
    /// Enough for twenty paths of 4 KiB, each as text and in hexadecimal.
    const MAX_BYTES: u64 = 1 << 20;
    let file = File::open(folder.join(LATEST_NAME)).ok()?;
    serde_json::from_reader(file.take(MAX_BYTES)).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn run(at: u64) -> Record {
        Record::Run {
            at,
            version: "1".to_owned(),
            options: Vec::new(),
        }
    }

    #[test]
    fn only_the_line_that_a_crash_cut_off_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(HISTORY_NAME);
        for cut in 1..5 {
            append(folder.path(), &run(cut)).unwrap();
            let length = std::fs::metadata(&path).unwrap().len();
            append(folder.path(), &run(100)).unwrap();
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            file.set_len(length + cut).unwrap();
        }
        let end = Record::End {
            at: 6,
            end: "finished".to_owned(),
        };
        append(folder.path(), &end).unwrap();
        let mut begun = Vec::new();
        visit(folder.path(), |record| {
            if let Record::Run { at, .. } = record {
                begun.push(at);
            }
        })
        .unwrap();
        assert_eq!(begun, [1, 2, 3, 4]);
        assert_eq!(last_end(folder.path()).as_deref(), Some("finished"));
        assert_eq!(last_begin(folder.path()), Some(4));
        // Complete lines are not separated by empty ones.
        append(folder.path(), &run(7)).unwrap();
        let text = std::fs::read(&path).unwrap();
        assert!(!text.starts_with(b"\n"));
        assert!(!text.windows(2).any(|pair| pair == b"\n\n"));
    }
}
