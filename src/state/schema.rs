//! The tables, their version, and the settings of connections.

use std::path::Path;

use rusqlite::Connection;

use super::{StateError, changed, losses};

/// `PRAGMA application_id`: "CLFS" in ASCII.
const APPLICATION_ID: i64 = 0x434c_4653;

/// `PRAGMA user_version`. A change of the tables increments it, with a migration in one transaction.
pub(super) const VERSION: i64 = 2;
/// The version that did not record mounts, which is the oldest that can be migrated.
pub(super) const WITHOUT_MOUNTS: i64 = 1;

/// The tables.
///
/// - `entry`: one row per directory entry of the source. Times are nanoseconds since 1970 in the range of
///   the format. `owner` is the id of the name that owns the inode, if it has several names, and NULL for other
///   entries. `mode` is 0 until the entry can be examined.
/// - `directory`: one row per directory. `listed` is 1 once all its entries are recorded.
/// - `extent`: runs of consecutive ids of the entries of a directory, nearly always one.
/// - `inode`, `link`: inodes with several names, if hard links are preserved. `file_system` is the directory
///   on which the file system is mounted; `device` is 0 for the device of its directories. `ctime` is the
///   owner's; in the index, it keeps lookups fast if many files have the same inode number.
/// - `mount_below`: the mounts below the source when the transfer was started. `inode` is 0 for one that could
///   not be examined.
/// - `mount`: mount points, and always the root; see [`crate::entry::Mount`], whose UUID is in `origin`.
/// - `changed` (in `changed.rs`): files that changed while they were read.
/// - `pass`: the progress of each pass over the entries (see `progress.rs`).
/// - `loss` (in `losses.rs`): attributes that the format cannot store.
const TABLES: &str = "
CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    parent INTEGER NOT NULL,
    name BLOB NOT NULL,
    mode INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    ctime INTEGER NOT NULL,
    atime INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    device INTEGER,
    owner INTEGER
) STRICT;
CREATE TABLE directory (
    id INTEGER PRIMARY KEY,
    listed INTEGER NOT NULL
) STRICT;
CREATE TABLE extent (
    directory INTEGER NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (directory, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE inode (
    owner INTEGER PRIMARY KEY,
    file_system INTEGER NOT NULL,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    ctime INTEGER NOT NULL,
    links INTEGER NOT NULL
) STRICT;
CREATE INDEX inode_key ON inode (file_system, device, inode, ctime, owner);
CREATE TABLE mount (
    entry INTEGER PRIMARY KEY,
    other_device INTEGER NOT NULL,
    birth INTEGER,
    origin BLOB
) STRICT;
CREATE TABLE mount_below (
    path BLOB PRIMARY KEY,
    inode INTEGER NOT NULL,
    birth INTEGER,
    origin BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE link (
    owner INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (owner, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE problem (
    id INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    errno INTEGER,
    attempt INTEGER NOT NULL
) STRICT;
CREATE TABLE pass (
    pass INTEGER PRIMARY KEY,
    cursor INTEGER NOT NULL,
    outstanding BLOB NOT NULL
) STRICT;
";

/// Migration from version 1, which did not record mounts, and identified file systems by device number: 0 for
/// the root's. Other device numbers do not survive a remount, so their inodes get the file system -1, which is
/// not an entry, and names that are found later are not linked to them.
const FROM_1: &str = "
CREATE TABLE mount (
    entry INTEGER PRIMARY KEY,
    other_device INTEGER NOT NULL,
    birth INTEGER,
    origin BLOB
) STRICT;
CREATE TABLE mount_below (
    path BLOB PRIMARY KEY,
    inode INTEGER NOT NULL,
    birth INTEGER,
    origin BLOB
) STRICT, WITHOUT ROWID;
ALTER TABLE inode ADD COLUMN file_system INTEGER NOT NULL DEFAULT -1;
ALTER TABLE inode ADD COLUMN ctime INTEGER NOT NULL DEFAULT 0;
UPDATE inode SET ctime = (SELECT ctime FROM entry WHERE entry.id = inode.owner);
UPDATE inode SET file_system = 100 WHERE device = 0;
DROP INDEX inode_key;
CREATE INDEX inode_key ON inode (file_system, device, inode, ctime, owner);
INSERT INTO setting (name, value)
    SELECT 'mounts_known_from', CAST(CAST(max(id) + 1 AS TEXT) AS BLOB) FROM entry;
";

/// Migrates the tables of an earlier version, within the caller's transaction. Returns whether a migration was
/// needed.
pub(super) fn migrate(connection: &Connection) -> rusqlite::Result<bool> {
    let is_old = version(connection)? == WITHOUT_MOUNTS;
    if is_old {
        connection.execute_batch(FROM_1)?;
        connection.execute_batch(losses::TABLE)?;
        connection.execute_batch(changed::TABLE)?;
        connection.pragma_update(None, "user_version", VERSION)?;
    }
    Ok(is_old)
}

/// Returns the version of the tables.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Creates the tables in an empty database.
pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    connection.execute_batch(losses::TABLE)?;
    connection.execute_batch(changed::TABLE)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", VERSION)
}

/// The kind of a database.
pub(super) enum Kind {
    /// A state database with the current schema, or one that can be migrated.
    Known,
    /// A state database of a later version, with this schema.
    Newer(i64),
    /// Not a state database.
    Foreign,
}

/// Returns the kind of an open database.
pub(super) fn kind(connection: &Connection) -> rusqlite::Result<Kind> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |r| r.get(0))?;
    Ok(kind_of(application, version(connection)?))
}

fn kind_of(application: i64, version: i64) -> Kind {
    match (application, version) {
        (APPLICATION_ID, WITHOUT_MOUNTS..=VERSION) => Kind::Known,
        (APPLICATION_ID, version) if version > VERSION => Kind::Newer(version),
        _ => Kind::Foreign,
    }
}

/// Refuses all but known databases.
pub(super) fn accept(kind: Kind, path: &Path) -> Result<(), StateError> {
    match kind {
        Kind::Known => Ok(()),
        Kind::Newer(found) => Err(StateError::Newer {
            path: path.to_path_buf(),
            found,
            known: VERSION,
        }),
        Kind::Foreign => Err(StateError::corrupt(path, "it is not a clfsload database")),
    }
}

/// Length of the header of a database (SQLite's file format, section 1.3).
pub(super) const HEADER_BYTES: u64 = 100;

/// Returns the kind of a database from its header: 16 bytes of magic, `user_version` at offset 60,
/// `application_id` at 68, each 32 bits big-endian.
pub(super) fn kind_of_header(header: &[u8]) -> Kind {
    let number = |offset: usize| {
        let bytes = header.get(offset..)?.first_chunk()?;
        Some(i64::from(i32::from_be_bytes(*bytes)))
    };
    match (
        header.starts_with(b"SQLite format 3\0"),
        number(68),
        number(60),
    ) {
        (true, Some(application), Some(version)) => kind_of(application, version),
        _ => Kind::Foreign,
    }
}

/// Configures the connection for writing.
///
/// `synchronous = FULL`: ids must survive a power loss before objects are uploaded under them. Otherwise, a
/// changed source could assign them to other entries (docs/design.md, invariant 1). Commits are batched, so
/// the cost of the fsync is small.
pub(super) fn set_up_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    connection.busy_timeout(std::time::Duration::from_secs(30))?;
    // Enough for the prepared statements of all operations.
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Configures a connection for reading.
pub(super) fn set_up_reader(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -256)?;
    connection.busy_timeout(std::time::Duration::from_secs(30))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_synced() {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("state.db")).unwrap();
        set_up_writer(&connection).unwrap();
        let synchronous: i64 = connection
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .unwrap();
        let journal: String = connection
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .unwrap();
        // 2 is FULL: in WAL mode the log is synced after each transaction (SQLite's pragma page).
        assert_eq!((synchronous, journal.as_str()), (2, "wal"));
    }
}
