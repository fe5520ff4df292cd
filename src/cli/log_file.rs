//! The log in the state folder: one line an event.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::monitor::Level;

/// The log file; lines wait in memory until the state folder is there.
pub(super) struct LogFile {
    path: PathBuf,
    target: Mutex<Target>,
}

enum Target {
    Waiting(Vec<u8>),
    Open(File),
    /// It could not be opened or written: said once.
    Lost,
}

impl LogFile {
    pub(super) fn new(path: PathBuf) -> Self {
        LogFile {
            path,
            target: Mutex::new(Target::Waiting(Vec::new())),
        }
    }

    /// Opens the file and writes what waits.
    pub(super) fn open(&self) -> io::Result<()> {
        let mut target = self.target();
        let waiting = match std::mem::replace(&mut *target, Target::Lost) {
            Target::Waiting(lines) => lines,
            Target::Open(_) | Target::Lost => Vec::new(),
        };
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)?;
        file.write_all(&waiting)?;
        *target = Target::Open(file);
        Ok(())
    }

    /// Writes a line.
    pub(super) fn line(&self, level: Level, text: &str) {
        let word = match level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let line = format!("{time} {word} {text}\n");
        let mut target = self.target();
        let written = match &mut *target {
            Target::Waiting(lines) => lines.write_all(line.as_bytes()),
            Target::Open(file) => file.write_all(line.as_bytes()),
            Target::Lost => return,
        };
        if let Err(error) = written {
            *target = Target::Lost;
            super::terminal::err(&format!(
                "clfsload: the log cannot be written: {error}; going on without"
            ));
        }
    }

    fn target(&self) -> MutexGuard<'_, Target> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
