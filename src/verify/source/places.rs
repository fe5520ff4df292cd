//! Directories that are still to be compared, on disk.

use std::io;
use std::path::{Path, PathBuf};

use clfs_format::Filehandle;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::entry::EntryId;
use crate::source::Places;
use crate::state::StateError;
use crate::verify::scratch::{ScratchError, entity_key, entity_of};

/// The first id; all are above the root's, since a directory comes before what is in it.
const FIRST: u64 = 1000;

/// Where a directory stands: the one it lies in, and its name there.
const TABLE: &str = "
CREATE TABLE place (
    id INTEGER PRIMARY KEY, parent INTEGER NOT NULL, name BLOB NOT NULL, handle BLOB NOT NULL
) STRICT;
";

/// The queue. Its ids are those by which the source is asked.
#[derive(Debug)]
pub(super) struct PlaceTable {
    connection: Connection,
    next: u64,
}

/// A directory of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: EntryId,
    pub(super) handle: Filehandle,
}

/// A second connection, for the source.
#[derive(Debug)]
pub(super) struct PlaceReader {
    connection: Connection,
    file: PathBuf,
}

impl PlaceTable {
    /// Makes the table in `folder`, and a second connection to it.
    pub(super) fn create(folder: &Path) -> Result<(Self, PlaceReader), ScratchError> {
        let file = folder.join("places");
        let connection = Connection::open(&file)?;
        // Readers of a write-ahead log do not wait for its writer.
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.execute_batch(TABLE)?;
        let reader = PlaceReader {
            connection: Connection::open(&file)?,
            file,
        };
        let table = Self {
            connection,
            next: FIRST,
        };
        Ok((table, reader))
    }

    /// Adds a directory.
    pub(super) fn add(
        &mut self,
        parent: EntryId,
        name: &[u8],
        handle: Filehandle,
    ) -> Result<(), ScratchError> {
        let mut statement = self
            .connection
            .prepare_cached("INSERT INTO place VALUES (?1, ?2, ?3, ?4)")?;
        let key = entity_key(handle);
        let (id, parent) = (self.next as i64, parent.get() as i64);
        statement.execute(params![id, parent, name, key.as_bytes()])?;
        self.next += 1;
        Ok(())
    }

    /// The next directory after one.
    pub(super) fn after(&self, id: EntryId) -> Result<Option<Place>, ScratchError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, handle FROM place WHERE id > ?1 ORDER BY id LIMIT 1")?;
        let row = statement.query_row(params![id.get() as i64], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        });
        let Some((id, key)) = row.optional()? else {
            return Ok(None);
        };
        Ok(Some(Place {
            id: EntryId::new(id as u64),
            handle: entity_of(&key)?,
        }))
    }

    /// Its path.
    pub(super) fn path(&self, id: EntryId) -> Result<Vec<u8>, ScratchError> {
        let mut components = Vec::new();
        let mut at = id;
        while at != EntryId::ROOT {
            let (parent, name) = place(&self.connection, at)?.ok_or(ScratchError::Row)?;
            components.push(name);
            at = parent;
        }
        components.reverse();
        Ok(components.join(&b'/'))
    }
}

fn place(
    connection: &Connection,
    id: EntryId,
) -> Result<Option<(EntryId, Vec<u8>)>, rusqlite::Error> {
    let mut statement =
        connection.prepare_cached("SELECT parent, name FROM place WHERE id = ?1")?;
    let parent_and_name = |row: &Row<'_>| {
        let parent = EntryId::new(row.get::<_, i64>(0)? as u64);
        Ok((parent, row.get(1)?))
    };
    let row = statement.query_row(params![id.get() as i64], parent_and_name);
    row.optional()
}

impl Places for PlaceReader {
    fn place(&self, id: EntryId) -> Result<Option<crate::entry::Place>, StateError> {
        let found = place(&self.connection, id).map_err(|error| StateError::Io {
            action: "read",
            path: self.file.clone(),
            source: io::Error::other(error),
        })?;
        Ok(found.map(|(parent, name)| crate::entry::Place {
            parent,
            name,
            known: None,
        }))
    }
}
