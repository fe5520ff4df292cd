//! Failed entries that hide a subtree of unknown size.

use std::fmt;

use rusqlite::params;

use super::row;
use super::{Reader, StateError};
use crate::text::human::counted;

/// The subtree that a failed entry hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subtree {
    /// A directory that could not be listed: everything below it is missing.
    Missing,
    /// A directory that was listed in part: the rest of its entries is missing.
    Partial,
    /// A name whose attributes could not be read: it may be a directory.
    Unknown,
}

impl Subtree {
    /// Returns the name in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Subtree::Missing => "missing",
            Subtree::Partial => "partial",
            Subtree::Unknown => "unknown",
        }
    }

    /// Converts a value of [`COLUMN`].
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

/// An SQL expression for the subtree that a row of `problem` hides: that of a directory which is not listed
/// completely, or of a name without attributes.
pub(super) const COLUMN: &str = "CASE
     WHEN EXISTS (SELECT 1 FROM directory WHERE directory.id = problem.id AND listed = 0) THEN
         1 + EXISTS (SELECT 1 FROM extent WHERE extent.directory = problem.id)
     WHEN EXISTS (SELECT 1 FROM entry WHERE entry.id = problem.id AND mode = 0) THEN 3
     ELSE 0 END";

/// The numbers of failed entries that hide a subtree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Subtrees {
    /// Directories that could not be listed or were listed in part.
    pub unlisted: u64,
    /// Directories that were listed in part.
    pub partial: u64,
    /// Names whose attributes could not be read: they may be directories.
    pub unknown: u64,
}

impl Subtrees {
    /// Returns whether more entries may be missing than the failed ones.
    pub fn any(&self) -> bool {
        self.unlisted > 0 || self.unknown > 0
    }
}

impl fmt::Display for Subtrees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unlisted > 0 {
            let directories = counted(self.unlisted, "directory", "directories");
            let them = if self.unlisted == 1 { "it" } else { "them" };
            write!(
                f,
                "{directories} could not be listed: everything below {them} is missing"
            )?;
            if self.partial > 0 {
                write!(
                    f,
                    " ({} listed in part)",
                    crate::text::human::count(self.partial)
                )?;
            }
        }
        if self.unknown > 0 {
            let names = counted(self.unknown, "name", "names");
            let separator = if self.unlisted == 0 { "" } else { "; " };
            let (are_directories, them) = match self.unknown {
                1 => ("it is a directory", "it"),
                _ => ("they are directories", "them"),
            };
            write!(
                f,
                "{separator}{names} could not be examined: if {are_directories}, everything below {them} \
                 is missing, too"
            )?;
        }
        Ok(())
    }
}

impl Reader {
    /// Counts the failed entries that hide a subtree.
    ///
    /// # Errors
    /// If the database cannot be read.
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
