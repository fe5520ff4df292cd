//! Advice for errors that a limit of the process or the system causes.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// The maximum size of SQLite's writes. A file that is closer to the limit has reached it.
const LARGEST_WRITE: u64 = 64 << 10;

/// Returns the maximum size of a file that this process may write (`RLIMIT_FSIZE`), if there is a limit.
fn largest_file() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Returns what to do about an error that a limit causes, or `None` for any other error.
pub(crate) fn advice(error: &io::Error) -> Option<String> {
    let advice = match Errno::from_io_error(error)? {
        Errno::FBIG => {
            return Some(match largest_file() {
                Some(bytes) => format!(
                    "this process may write files of at most {bytes} bytes: raise the limit (ulimit -f)"
                ),
                None => "the file system cannot hold a file of this size".to_owned(),
            });
        }
        Errno::MFILE => "raise the limit of open files (ulimit -n)",
        Errno::NFILE => "the system has too many open files: raise fs.file-max",
        Errno::NOMEM => {
            "give the process more memory (ulimit -v, the memory limit of its control group), or lower \
             --memory and --worker-threads"
        }
        Errno::AGAIN => {
            "raise the limit of threads (ulimit -u, the task limit of its control group)"
        }
        _ => return None,
    };
    Some(advice.to_owned())
}

/// Displays an error, followed by [`advice`] if there is any.
pub(crate) struct Explained<'a>(pub(crate) &'a io::Error);

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        match advice(self.0) {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

/// Returns whether the database at `path` or its log has reached the maximum size of a file. SQLite reports
/// `EFBIG` as a general I/O error.
pub(crate) fn database_at_size_limit(path: &Path) -> bool {
    let Some(limit) = largest_file() else {
        return false;
    };
    ["", "-wal", "-journal"].iter().any(|suffix| {
        let mut name = OsString::from(path);
        name.push(suffix);
        std::fs::metadata(name).is_ok_and(|file| file.len().saturating_add(LARGEST_WRITE) >= limit)
    })
}
