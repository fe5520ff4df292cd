//! Counts directories that could not be read: what is missing below them is not known.

use std::fmt;

use super::WalkProblem;

/// Directories of which nothing, or not everything, could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnreadDirectories {
    /// Those of which nothing could be read.
    pub whole: u64,
    /// Those of which a part could not be read.
    pub part: u64,
    /// The last of the latter: its problems follow each other.
    last: Option<Vec<u8>>,
}

impl UnreadDirectories {
    /// Takes a problem of a walk into account.
    pub fn count(&mut self, problem: &WalkProblem) {
        match problem {
            WalkProblem::Unreadable { .. } => self.whole += 1,
            WalkProblem::PartUnreadable { path, .. } => {
                let path = path.to_bytes();
                if self.last.as_ref() != Some(&path) {
                    self.part += 1;
                    self.last = Some(path);
                }
            }
            _ => {}
        }
    }

    /// A sentence for each of the two that is not 0.
    pub fn lines(&self) -> Vec<String> {
        sentences(self.whole, self.part)
    }
}

/// What is missing because of directories of which nothing, or a part, could not be read.
pub(crate) fn sentences(whole: u64, part: u64) -> Vec<String> {
    let whole = (whole > 0).then(|| {
        format!(
            "{} could not be read: everything below is missing",
            Directories(whole)
        )
    });
    let part = (part > 0).then(|| {
        format!(
            "{} could be read only in part: entries are missing, with everything below them",
            Directories(part)
        )
    });
    whole.into_iter().chain(part).collect()
}

struct Directories(u64);

impl fmt::Display for Directories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 directory"),
            count => write!(f, "{count} directories"),
        }
    }
}
