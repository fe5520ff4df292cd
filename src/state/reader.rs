//! Queries of the database: entries, their paths, directory contents and links.

use std::path::PathBuf;

use clfs_format::FileType;
use clfs_format::limits::LINKS;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::row::{self, ENTRY_COLUMNS, stored};
use super::{StateError, schema};
use crate::entry::{Entry, EntryId};

/// A connection for reading, used by one thread.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

/// An entry of a directory, as DIRENTS store it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The id of the entry.
    pub id: EntryId,
    /// Last path component, raw bytes.
    pub name: Vec<u8>,
    /// The file type.
    pub file_type: FileType,
    /// The owner of its inode.
    pub inode: InodeOwner,
}

/// The entry whose id and directory determine the filehandle of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InodeOwner {
    /// The entry itself or, for a further name, the one that owns the inode.
    pub id: EntryId,
    /// The parent directory of that name.
    pub parent: EntryId,
}

impl Reader {
    pub(super) fn open(path: PathBuf) -> Result<Self, StateError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(&path, flags)?;
            schema::set_up_reader(&connection)?;
            Ok(connection)
        };
        let connection = open().map_err(|error| StateError::query(&path, error))?;
        Ok(Reader { connection, path })
    }

    /// Opens a connection for a view, read-only if necessary.
    pub(super) fn open_view(path: PathBuf) -> Result<Self, StateError> {
        let open = |flags| {
            let connection = Connection::open_with_flags(&path, flags)?;
            schema::set_up_reader(&connection)?;
            // After a crash, SQLite would write a checkpoint on close, which is left to the next run.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            // SQLite reads nothing before the first query.
            connection.query_row("SELECT count(*) FROM setting", [], |_| Ok(()))?;
            Ok(connection)
        };
        // While another process writes, SQLite must write to the index of the log.
        let connection = open(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .or_else(|_| open(OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX));
        let connection = connection.map_err(|error| StateError::query(&path, error))?;
        Ok(Reader { connection, path })
    }

    pub(super) fn database(&self) -> &std::path::Path {
        &self.path
    }

    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        work(&self.connection)
    }

    pub(super) fn query<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        work(&self.connection).map_err(|error| StateError::query(&self.path, error))
    }

    pub(super) fn rows<T>(
        &self,
        query: &str,
        bounds: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StateError> {
        self.query(|connection| {
            connection
                .prepare_cached(query)?
                .query_map(bounds, read)?
                .collect()
        })
    }

    /// Returns whether an entry has a problem.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn has_problem(&self, id: EntryId) -> Result<bool, StateError> {
        self.query(|connection| {
            connection
                .prepare_cached("SELECT 1 FROM problem WHERE id = ?1")?
                .exists([stored(id.get())])
        })
    }

    /// Reads an entry. None if it does not exist or was never examined.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn entry(&self, id: EntryId) -> Result<Option<Entry>, StateError> {
        let query = format!("SELECT {ENTRY_COLUMNS} FROM entry WHERE id = ?1 AND mode <> 0");
        self.query(|connection| {
            connection
                .prepare_cached(&query)?
                .query_row([stored(id.get())], row::entry)
                .optional()
        })
    }

    /// Returns the parent directory and the name of an entry.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn place(&self, id: EntryId) -> Result<Option<(EntryId, Vec<u8>)>, StateError> {
        self.query(|connection| {
            connection
                .prepare_cached("SELECT parent, name FROM entry WHERE id = ?1")?
                .query_row([stored(id.get())], |row| {
                    Ok((row::id(row, 0)?, row.get(1)?))
                })
                .optional()
        })
    }

    /// Returns the path of an entry below the source. Empty for the root.
    ///
    /// # Errors
    /// As [`components`](Self::components).
    pub fn path(&self, id: EntryId) -> Result<Vec<u8>, StateError> {
        Ok(self.components(id)?.join(&b'/'))
    }

    /// Returns the paths of an entry: one, or one for each name of an inode with several names.
    ///
    /// # Errors
    /// As [`components`](Self::components).
    pub fn paths(&self, id: EntryId) -> Result<Vec<Vec<u8>>, StateError> {
        let mut paths = vec![self.path(id)?];
        for (parent, name) in self.link_places(id)? {
            let mut components = self.components(parent)?;
            components.push(name);
            paths.push(components.join(&b'/'));
        }
        Ok(paths)
    }

    /// Returns the components of the path of an entry below the source. None for the root.
    ///
    /// # Errors
    /// If the database cannot be read, or the entry or one of its ancestors is missing.
    pub fn components(&self, id: EntryId) -> Result<Vec<Vec<u8>>, StateError> {
        let mut components = Vec::new();
        let mut at = id;
        while at != EntryId::ROOT {
            let missing = || StateError::corrupt(&self.path, format!("entry {at} is missing"));
            let (parent, name) = self.place(at)?.ok_or_else(missing)?;
            // A directory is recorded before its entries, so ids decrease and the loop terminates.
            if parent >= at {
                return Err(StateError::corrupt(
                    &self.path,
                    format!("entry {at} comes before its directory {parent}"),
                ));
            }
            components.push(name);
            at = parent;
        }
        components.reverse();
        Ok(components)
    }

    /// Returns the next entries of a directory, without failed ones, in the order of their ids, which is the order of
    /// their names.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn directory_entries(
        &self,
        directory: EntryId,
        after: EntryId,
        at_most: u32,
    ) -> Result<Vec<DirectoryEntry>, StateError> {
        // The names of an inode fail together, and only its owner has the problem.
        self.rows(
            "SELECT e.id, e.name, o.mode, o.id, o.parent
             FROM extent x
             JOIN entry e ON e.id >= max(x.first, ?2 + 1) AND e.id < x.first + x.count
             JOIN entry o ON o.id = coalesce(e.owner, e.id)
             WHERE x.directory = ?1 AND x.first + x.count > ?2 + 1
             AND NOT EXISTS (SELECT 1 FROM problem p WHERE p.id = o.id
                             AND NOT EXISTS (SELECT 1 FROM extent y WHERE y.directory = o.id))
             ORDER BY x.first, e.id LIMIT ?3",
            params![stored(directory.get()), stored(after.get()), at_most],
            |row| {
                let mode: u32 = row.get(2)?;
                Ok(DirectoryEntry {
                    id: row::id(row, 0)?,
                    name: row.get(1)?,
                    file_type: FileType::from_mode(mode).ok_or_else(|| {
                        rusqlite::Error::FromSqlConversionFailure(
                            2,
                            rusqlite::types::Type::Integer,
                            "not the mode of a file".into(),
                        )
                    })?,
                    inode: InodeOwner {
                        id: row::id(row, 3)?,
                        parent: row::id(row, 4)?,
                    },
                })
            },
        )
    }

    /// Returns the parent directory of each name of the inode of `owner`. That of the owner is first, the others are
    /// in the order of the names' ids.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn link_parents(&self, owner: EntryId) -> Result<Vec<EntryId>, StateError> {
        self.rows(
            "SELECT parent FROM link JOIN entry ON entry.id = link.id
             WHERE link.owner = ?1 ORDER BY link.id <> ?1, link.id",
            [stored(owner.get())],
            |row| row::id(row, 0),
        )
    }

    /// Returns the parent directories and names of the further names of the inode of `owner`.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn link_places(&self, owner: EntryId) -> Result<Vec<(EntryId, Vec<u8>)>, StateError> {
        self.rows(
            "SELECT parent, name FROM link JOIN entry ON entry.id = link.id
             WHERE link.owner = ?1 AND link.id <> ?1 ORDER BY link.id",
            [stored(owner.get())],
            |row| Ok((row::id(row, 0)?, row.get(1)?)),
        )
    }

    /// Returns the first name with the inode number of another file and other attributes.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn first_unlike_name(&self) -> Result<Option<EntryId>, StateError> {
        self.query(super::settings::first_unlike)
    }

    /// Returns the number of inodes that became several objects, because they have more names than the format allows.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn split_inode_count(&self) -> Result<u64, StateError> {
        self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT count(*) FROM
                     (SELECT 1 FROM inode GROUP BY file_system, device, inode, ctime
                      HAVING count(*) > 1 AND max(links) >= ?1)",
                )?
                .query_row([LINKS as i64], |row| row.get(0))
                .map(row::loaded)
        })
    }
}
