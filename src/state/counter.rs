//! Totals, kept in the same transactions as what they count.

use clfs_format::FileType;
use rusqlite::{Connection, params};

use super::{Reader, StateError};
use crate::loss::Loss;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Counter {
    /// Entries recorded, of one type.
    Found(FileType),
    /// Bytes of recorded regular files.
    FoundBytes,
    /// Recorded entries that are a further name of an inode.
    FoundLinks,
    /// Names that have the inode number of another file, but other attributes: each is loaded as a
    /// file of its own, or joined with those that agree with it.
    UnlikeNames,
    /// Entries with a time that the format cannot hold.
    ClampedTimes,
    /// Entries that lose one kind of attribute.
    Lost(Loss),
    /// Entries whose objects are in the container.
    Done,
    /// Bytes read from the source for them.
    BytesRead,
    /// Bytes of their objects, as uploaded.
    BytesPut,
    /// Their objects.
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
    /// Takes one away.
    pub(super) fn decrement(self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached("UPDATE counter SET value = max(value - 1, 0) WHERE name = ?1")?
            .execute([self.name()])
            .map(drop)
    }
}

/// Amounts to add, gathered before they are written once.
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

/// A reading of all counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals(Vec<(String, u64)>);

impl Totals {
    /// The value of one counter.
    pub fn get(&self, counter: Counter) -> u64 {
        let name = counter.name();
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map_or(0, |(_, value)| *value)
    }

    /// Entries recorded, of all types, the root included.
    pub fn entries(&self) -> u64 {
        FileType::ALL
            .into_iter()
            .map(|file_type| self.get(Counter::Found(file_type)))
            .sum()
    }
}

impl Reader {
    /// All counters, as of the last commit.
    ///
    /// # Errors
    /// When the database cannot be read.
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
