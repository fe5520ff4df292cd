//! The log in the state folder: one line per event, `TIME LEVEL event key=value … "message"`.
//!
//! At [`MAX_BYTES`] it is renamed to `output.txt.1`, that one to `output.txt.2`, and so on. The oldest is deleted.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use serde_json::Value;

use super::terminal::warning;
use crate::cli::lock;
use crate::events::{Event, Level};
use crate::process_limits::Explained;

/// The size at which the log is rotated. The container gets its last 8 MiB.
const MAX_BYTES: u64 = 64 << 20;
/// The number of rotated logs that are kept.
const KEPT: u32 = 4;

/// The log file. Lines are kept in memory until the state folder exists.
pub(crate) struct LogFile {
    path: PathBuf,
    min_level: Level,
    target: Mutex<Target>,
}

enum Target {
    Waiting(Vec<u8>),
    Open {
        file: File,
        bytes: u64,
    },
    /// It could not be opened or written, which was reported.
    Failed,
}

impl LogFile {
    /// Creates a log without events below `min_level`.
    pub(crate) fn new(path: PathBuf, min_level: Level) -> Self {
        LogFile {
            path,
            min_level,
            target: Mutex::new(Target::Waiting(Vec::new())),
        }
    }

    /// Opens the file and writes the lines that were kept in memory. Prints a warning if that is not possible.
    pub(crate) fn open(&self) {
        if let Err(error) = self.try_open() {
            self.warn(&error);
        }
    }

    fn try_open(&self) -> io::Result<()> {
        let mut target = self.target();
        let waiting = match std::mem::replace(&mut *target, Target::Failed) {
            Target::Waiting(lines) => lines,
            Target::Open { .. } | Target::Failed => Vec::new(),
        };
        let mut open = append_to(&self.path)?;
        open.write(&self.path, &waiting)?;
        *target = open;
        Ok(())
    }

    /// Writes an event.
    pub(crate) fn event(&self, event: &Event<'_>) {
        if event.level() >= self.min_level {
            let fields = event.fields();
            let fields = fields.iter().map(|(name, value)| (name.as_str(), value));
            self.write(event.level(), event.name(), fields, &event.to_string());
        }
    }

    /// Writes a line that does not belong to an event.
    pub(crate) fn line(&self, level: Level, name: &str, text: &str) {
        if level >= self.min_level {
            self.write(level, name, std::iter::empty(), text);
        }
    }

    fn write<'a>(
        &self,
        level: Level,
        name: &str,
        fields: impl Iterator<Item = (&'a str, &'a Value)>,
        text: &str,
    ) {
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let mut line = format!("{time} {level} {name}");
        for (name, value) in fields {
            // Writing to a String cannot fail.
            let _: std::fmt::Result = write!(line, " {name}={}", shown(value));
        }
        let _: std::fmt::Result = writeln!(line, " {}", quoted(text));
        let mut target = self.target();
        if let Err(error) = target.write(&self.path, line.as_bytes()) {
            *target = Target::Failed;
            self.warn(&error);
        }
    }

    fn warn(&self, error: &io::Error) {
        let path = self.path.display();
        let error = Explained(error);
        warning(&format!(
            "cannot write the log {path}: {error}; continuing without it"
        ));
    }

    fn target(&self) -> MutexGuard<'_, Target> {
        lock(&self.target)
    }
}

impl Target {
    fn write(&mut self, path: &Path, line: &[u8]) -> io::Result<()> {
        match self {
            Target::Waiting(lines) => lines.extend_from_slice(line),
            Target::Open { bytes, .. } if *bytes >= MAX_BYTES => {
                rotate(path)?;
                *self = append_to(path)?;
                return self.write(path, line);
            }
            Target::Open { file, bytes } => {
                file.write_all(line)?;
                *bytes += line.len() as u64;
            }
            Target::Failed => {}
        }
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<Target> {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).mode(0o600).open(path)?;
    let bytes = file.metadata()?.len();
    Ok(Target::Open { file, bytes })
}

/// Renames each log to the next older name.
fn rotate(path: &Path) -> io::Result<()> {
    let name = |age: u32| match age {
        0 => path.to_path_buf(),
        age => {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{age}"));
            name.into()
        }
    };
    for age in (0..KEPT).rev() {
        match fs::rename(name(age), name(age + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Returns a value, in quotes unless it is one word.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if is_word(text) => text.clone(),
        value => value.to_string(),
    }
}

fn is_word(text: &str) -> bool {
    let odd = |character: char| {
        character.is_whitespace() || character.is_control() || matches!(character, '"' | '=')
    };
    !text.is_empty() && !text.contains(odd)
}

/// Returns a text in quotes, on one line.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::problem::{Problem, Reason};

    #[test]
    fn a_line_has_time_level_name_fields_and_message() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = LogFile::new(path.clone(), Level::Info);
        let problem = Problem::new(Reason::Vanished);
        log.event(&Event::Problem {
            path: b"a b\n",
            problem,
        });
        log.event(&Event::Detail("not at this level"));
        log.open();
        log.line(Level::Info, "end", "two\nlines");
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let [first, second] = lines[..] else {
            panic!("{text}");
        };
        let (_, rest) = first.split_once(' ').unwrap();
        let message = Event::Problem {
            path: b"a b\n",
            problem,
        }
        .to_string();
        let expected = format!(
            "error problem path=\"a b\\\\x0a\" path_hex=6120620a reason=vanished {}",
            quoted(&message)
        );
        assert_eq!(rest, expected);
        assert!(second.ends_with(" info end \"two\\nlines\""), "{second}");
    }

    #[test]
    fn a_full_log_is_rotated_and_the_oldest_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for age in 0..KEPT + 2 {
            let full = File::create(&path).unwrap();
            full.set_len(MAX_BYTES + u64::from(age)).unwrap();
            let log = LogFile::new(path.clone(), Level::Info);
            log.open();
            log.line(Level::Info, "end", "next");
        }
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["log", "log.1", "log.2", "log.3", "log.4"]);
        let newest = fs::metadata(folder.path().join("log.1")).unwrap().len();
        assert_eq!(newest, MAX_BYTES + u64::from(KEPT) + 1);
        assert!(fs::metadata(&path).unwrap().len() < 200);
    }
}
