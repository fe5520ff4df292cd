//! Lookups by a second connection, while the first goes on writing: which entries name an entity,
//! which blocks nothing uses.

use std::path::Path;

use clfs_format::{Filehandle, ObjectId, limits};
use rusqlite::{Connection, OpenFlags, params};

use super::{Scratch, ScratchError, entity_key, entity_of, id_of};
use crate::read::index::ObjectKey;

/// More than an inode may have back pointers: whoever has as many has too many.
const MOST: usize = limits::LINKS + 1;

/// Blocks that are given together.
const PAGE: usize = 1024;

/// An entry that names an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verify) struct Naming {
    pub(in crate::verify) parent: Filehandle,
    pub(in crate::verify) name: Vec<u8>,
}

/// The entries that name an entity: at most 1,024 of them, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::verify) struct Namings {
    pub(in crate::verify) first: Vec<Naming>,
    pub(in crate::verify) count: u64,
}

/// Looks namings up while others write.
#[derive(Debug)]
pub(in crate::verify) struct NamingReader(Connection);

/// Gives the blocks that nothing uses.
#[derive(Debug)]
pub(in crate::verify) struct OrphanReader(Connection);

impl Scratch {
    /// For namings, once [`Scratch::index_namings`] was called.
    pub(in crate::verify) fn naming_reader(&self) -> Result<NamingReader, ScratchError> {
        Ok(NamingReader(second_connection(&self.file())?))
    }

    /// For orphans, once [`Scratch::gather_orphans`] was called.
    pub(in crate::verify) fn orphan_reader(&self) -> Result<OrphanReader, ScratchError> {
        Ok(OrphanReader(second_connection(&self.file())?))
    }

    /// The entries that name an entity.
    pub(in crate::verify) fn namings(&self, handle: Filehandle) -> Result<Namings, ScratchError> {
        namings(&self.connection, handle)
    }
}

impl NamingReader {
    /// The entries that name an entity.
    pub(in crate::verify) fn of(&self, handle: Filehandle) -> Result<Namings, ScratchError> {
        namings(&self.0, handle)
    }
}

impl NamingReader {
    /// Whether the directory itself could be read; otherwise nothing is known of its entries.
    pub(in crate::verify) fn is_read(&self, directory: Filehandle) -> Result<bool, ScratchError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT 1 FROM directory WHERE key = ?1")?;
        Ok(statement.exists(params![entity_key(directory).as_bytes()])?)
    }

    /// The next `at_most` entries of a directory after a name, by name; once
    /// [`Scratch::index_entries`] was called. Of entries with one name it gives one.
    pub(in crate::verify) fn entries_after(
        &self,
        directory: Filehandle,
        name: Option<&[u8]>,
        at_most: usize,
    ) -> Result<Vec<(Vec<u8>, Filehandle)>, ScratchError> {
        // All names are after the empty one: none is empty.
        let mut statement = self.0.prepare_cached(
            "SELECT name, min(child) FROM naming WHERE parent = ?1 AND name > ?2
             GROUP BY name ORDER BY name LIMIT ?3",
        )?;
        let key = entity_key(directory);
        let mut rows = statement.query(params![
            key.as_bytes(),
            name.unwrap_or_default(),
            at_most as i64
        ])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            let child: Vec<u8> = row.get(1)?;
            entries.push((row.get(0)?, entity_of(&child)?));
        }
        Ok(entries)
    }
}

impl OrphanReader {
    /// The next blocks after a key.
    pub(in crate::verify) fn after(
        &self,
        key: Option<&ObjectKey>,
    ) -> Result<Vec<ObjectId>, ScratchError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT key FROM orphan WHERE key > ?1 ORDER BY key LIMIT ?2")?;
        let key = key.map_or(&[][..], ObjectKey::as_bytes);
        let mut rows = statement.query(params![key, PAGE as i64])?;
        let mut ids = Vec::new();
        while let Some(row) = rows.next()? {
            ids.push(id_of(&row.get::<_, Vec<u8>>(0)?)?);
        }
        Ok(ids)
    }
}

fn second_connection(file: &Path) -> Result<Connection, ScratchError> {
    // A reader of a write-ahead log writes into its shared memory file.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(file, flags)?)
}

fn namings(connection: &Connection, handle: Filehandle) -> Result<Namings, ScratchError> {
    let key = entity_key(handle);
    let mut statement = connection.prepare_cached(
        "SELECT parent, name FROM naming WHERE child = ?1 ORDER BY rowid LIMIT ?2",
    )?;
    let mut rows = statement.query(params![key.as_bytes(), MOST as i64])?;
    let mut first = Vec::new();
    while let Some(row) = rows.next()? {
        let parent = row.get_ref(0)?.as_blob().map_err(|_| ScratchError::Row)?;
        first.push(Naming {
            parent: entity_of(parent)?,
            name: row.get(1)?,
        });
    }
    let mut count = first.len() as u64;
    if first.len() == MOST {
        let mut statement =
            connection.prepare_cached("SELECT count(*) FROM naming WHERE child = ?1")?;
        count = statement.query_row(params![key.as_bytes()], |row| row.get::<_, i64>(0))? as u64;
    }
    Ok(Namings { first, count })
}
