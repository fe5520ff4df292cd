//! Directories that could not be listed: nobody knows how much is missing below them.

use std::fmt;

use rusqlite::params;

use super::row;
use super::{Reader, StateError};
use crate::human::counted;

/// What a failed entry hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subtree {
    /// A directory that could not be listed: everything below it is missing.
    Missing,
    /// A directory that was listed in part: what was not listed of it is missing.
    Partial,
    /// A name whose attributes could not be read: it may be a directory.
    Unknown,
}

impl Subtree {
    /// The word for it in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Subtree::Missing => "missing",
            Subtree::Partial => "partial",
            Subtree::Unknown => "unknown",
        }
    }

    /// From [`COLUMN`].
    pub(super) fn from_column(number: i64) -> Option<Subtree> {
        match number {
            1 => Some(Subtree::Missing),
            2 => Some(Subtree::Partial),
            3 => Some(Subtree::Unknown),
            _ => None,
        }
    }
}

impl fmt::Display for Subtree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Subtree::Missing => "a directory: everything below it is missing",
            Subtree::Partial => "a directory, listed in part: the rest of it is missing",
            Subtree::Unknown => {
                "not examined: if it is a directory, everything below it is missing"
            }
        })
    }
}

/// The one definition of a subtree that is missing: a problem of a directory that is not listed to its
/// end, or of a name without attributes. For rows of `problem`.
pub(super) const COLUMN: &str = "CASE
     WHEN EXISTS (SELECT 1 FROM directory WHERE directory.id = problem.id AND listed = 0) THEN
         1 + EXISTS (SELECT 1 FROM extent WHERE extent.directory = problem.id)
     WHEN EXISTS (SELECT 1 FROM entry WHERE entry.id = problem.id AND mode = 0) THEN 3
     ELSE 0 END";

/// How many failed entries hide a subtree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Subtrees {
    /// Directories that could not be listed, those that were listed in part included.
    pub unlisted: u64,
    /// Those of them that were listed in part.
    pub partial: u64,
    /// Names whose attributes could not be read: they may be directories.
    pub unknown: u64,
}

impl Subtrees {
    /// Whether more may be missing than the entries that failed.
    pub fn any(&self) -> bool {
        self.unlisted > 0 || self.unknown > 0
    }
}

impl fmt::Display for Subtrees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let them = |number| if number == 1 { "it" } else { "them" };
        if self.unlisted > 0 {
            let directories = counted(self.unlisted, "directory", "directories");
            let them = them(self.unlisted);
            write!(
                f,
                "{directories} could not be listed: everything below {them} is missing"
            )?;
            if self.partial > 0 {
                write!(f, " ({} listed in part)", crate::human::count(self.partial))?;
            }
        }
        if self.unknown > 0 {
            let names = counted(self.unknown, "name", "names");
            let (separator, them) = match self.unlisted {
                0 => ("", them(self.unknown)),
                _ => ("; ", them(self.unknown)),
            };
            write!(
                f,
                "{separator}{names} could not be examined: everything below {them} is missing too \
                 where it is a directory"
            )?;
        }
        Ok(())
    }
}

impl Reader {
    /// Counts the failed entries that hide a subtree.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn subtrees(&self) -> Result<Subtrees, StateError> {
        let kinds = self.rows(
            &format!("SELECT {COLUMN} AS subtree, count(*) FROM problem GROUP BY subtree"),
            params![],
            |row| Ok((Subtree::from_column(row.get(0)?), row::loaded(row.get(1)?))),
        )?;
        let mut subtrees = Subtrees::default();
        for (kind, count) in kinds {
            match kind {
                None => {}
                Some(Subtree::Missing) => subtrees.unlisted += count,
                Some(Subtree::Partial) => {
                    subtrees.unlisted += count;
                    subtrees.partial += count;
                }
                Some(Subtree::Unknown) => subtrees.unknown += count,
            }
        }
        Ok(subtrees)
    }
}
