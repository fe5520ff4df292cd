//! Counters, updated in the same transactions as the rows that they count.

use clfs_format::FileType;
use rusqlite::{Connection, params};

use super::{Reader, StateError};
use crate::loss::Loss;

/// The counters of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Counter {
    /// Recorded entries of one type.
    Found(FileType),
    /// Bytes of recorded regular files.
    FoundBytes,
    /// Recorded entries that are a further name of an inode.
    FoundLinks,
    /// Names with the inode number of another file, but other attributes. Each is loaded as a separate file, or
    /// linked with names that have the same attributes.
    UnlikeNames,
    /// Entries with a time that the format cannot store.
    ClampedTimes,
    /// Entries with one kind of attribute that the format cannot store.
    Lost(Loss),
    /// Entries whose objects are in the container.
    Done,
    /// Bytes read from the source for these entries.
    BytesRead,
    /// Uploaded bytes of their objects, after compression.
    BytesPut,
    /// The number of their objects.
    Objects,
}

impl Counter {
    fn name(self) -> &'static str {
        match self {
            Counter::Found(FileType::Directory) => "found directory",
            Counter::Found(FileType::Regular) => "found regular",
            Counter::Found(FileType::Symlink) => "found symlink",
            Counter::Found(FileType::Block) => "found block",
            Counter::Found(FileType::Character) => "found character",
            Counter::Found(FileType::Socket) => "found socket",
            Counter::Found(FileType::Fifo) => "found fifo",
            Counter::FoundBytes => "found bytes",
            Counter::FoundLinks => "found links",
            Counter::UnlikeNames => "unlike names",
            Counter::ClampedTimes => "clamped times",
            Counter::Lost(Loss::AccessAcl) => "lost access acl",
            Counter::Lost(Loss::DenyingAcl) => "lost denying acl",
            Counter::Lost(Loss::DefaultAcl) => "lost default acl",
            Counter::Lost(Loss::Nfs4Acl) => "lost nfs4 acl",
            Counter::Lost(Loss::Capability) => "lost capability",
            Counter::Lost(Loss::UserAttributes) => "lost user attributes",
            Counter::Lost(Loss::OtherAttributes) => "lost other attributes",
            Counter::Lost(Loss::Unexamined) => "lost unexamined",
            Counter::Done => "done",
            Counter::BytesRead => "bytes read",
            Counter::BytesPut => "bytes put",
            Counter::Objects => "objects",
        }
    }
}

impl Counter {
    /// Subtracts one, down to 0.
    pub(super) fn decrement(self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached("UPDATE counter SET value = max(value - 1, 0) WHERE name = ?1")?
            .execute([self.name()])
            .map(drop)
    }
}

/// Amounts to add to counters, summed up before they are written.
#[derive(Debug, Default)]
pub(super) struct Increments(Vec<(Counter, u64)>);

impl Increments {
    pub(super) fn add(&mut self, counter: Counter, amount: u64) {
        if amount == 0 {
            return;
        }
        match self.0.iter_mut().find(|(known, _)| *known == counter) {
            Some((_, sum)) => *sum = sum.saturating_add(amount),
            None => self.0.push((counter, amount)),
        }
    }

    pub(super) fn get(&self, counter: Counter) -> u64 {
        let mut known = self.0.iter();
        known
            .find(|(known, _)| *known == counter)
            .map_or(0, |(_, sum)| *sum)
    }

    pub(super) fn store(self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO counter (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        )?;
        for (counter, amount) in self.0 {
            statement.execute(params![counter.name(), super::row::stored(amount)])?;
        }
        Ok(())
    }
}

/// The values of all counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals(Vec<(String, u64)>);

impl Totals {
    /// Returns the value of one counter.
    pub fn get(&self, counter: Counter) -> u64 {
        let name = counter.name();
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map_or(0, |(_, value)| *value)
    }

    /// Returns the number of recorded entries of all types, including the root.
    pub fn entries(&self) -> u64 {
        FileType::ALL
            .into_iter()
            .map(|file_type| self.get(Counter::Found(file_type)))
            .sum()
    }
}

impl Reader {
    /// Reads all counters, as of the last commit.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn totals(&self) -> Result<Totals, StateError> {
        self.query(|connection| {
            connection
                .prepare_cached("SELECT name, value FROM counter")?
                .query_map([], |row| Ok((row.get(0)?, super::row::loaded(row.get(1)?))))?
                .collect::<rusqlite::Result<Vec<(String, u64)>>>()
                .map(Totals)
        })
    }
}
