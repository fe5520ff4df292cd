//! What a verification knows so far, on disk: which entry names what, which block belongs to whom.
//!
//! Ten million names do not belong into memory, so they are rows of an SQLite database in a folder
//! of its own next to the index, which is attached to it. The folder goes with the verification; an
//! interrupted one starts again.

mod ledger;
mod lookups;
mod paths;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clfs_format::{Filehandle, ObjectId};
use rusqlite::{Connection, params};
use tempfile::TempDir;

pub(super) use ledger::{Record, Recorder};
pub(super) use lookups::{Naming, NamingReader, Namings, OrphanReader};

use super::finding::{Found, PathOf};
use super::rule::{Rule, Severity};
use crate::read::index::{Index, ObjectKey};

/// Database pages that may wait in memory, in KiB.
const CACHE_KIB: i64 = 64 * 1024;

/// - `naming`: the entry `name` of the directory `parent` names `child`; keys as in the index.
/// - `directory`: a directory that was read: what `..` and NAME say.
/// - `block`: a segment or an indirect block (by its type's code), and the entity that uses it.
/// - `edge`: the entries that name directories, once more, by the directory that holds them.
/// - `reached`: directories to which a path leads from the root, and the last step of a shortest.
/// - `link`: an entry that was compared with a source, and shares its object or its inode there.
/// - `orphan`: blocks that nothing uses.
/// - `found`: findings that wait until paths are known.
const TABLES: &str = "
CREATE TABLE naming (child BLOB NOT NULL, parent BLOB NOT NULL, name BLOB NOT NULL) STRICT;
CREATE TABLE directory (key BLOB NOT NULL, dotdot BLOB, name BLOB NOT NULL) STRICT;
CREATE TABLE block (key BLOB NOT NULL, owner BLOB NOT NULL, type INTEGER NOT NULL) STRICT;
CREATE TABLE edge (
    parent BLOB NOT NULL, child BLOB NOT NULL, name BLOB NOT NULL,
    PRIMARY KEY (parent, child, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE reached (key BLOB PRIMARY KEY, parent BLOB NOT NULL, name BLOB NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE link (
    handle BLOB NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL, path BLOB NOT NULL
) STRICT;
CREATE TABLE orphan (key BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE found (
    rule INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    blob TEXT,
    entity BLOB,
    entry BLOB,
    path BLOB,
    text TEXT NOT NULL
) STRICT;
";

/// Why the scratch database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScratchError {
    /// The database failed: most often, the disk is full.
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
    /// The folder could not be made.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A row that this program would not have written.
    #[error("a row of it is damaged")]
    Row,
}

/// The database.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) connection: Connection,
    folder: TempDir,
}

impl Scratch {
    /// Makes one next to the index.
    pub(super) fn create(index: &Index) -> Result<Self, ScratchError> {
        let folder = tempfile::Builder::new()
            .prefix(".clfsload-verify-")
            .tempdir_in(Self::place(index))?;
        let connection = Connection::open(folder.path().join("scratch"))?;
        // Nothing of it is ever read after a crash.
        connection.pragma_update(None, "journal_mode", "OFF")?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.execute_batch(TABLES)?;
        connection.execute("ATTACH ?1 AS names", params![read_only(index.path())])?;
        Ok(Self { connection, folder })
    }

    /// The folder in which one is made.
    pub(super) fn place(index: &Index) -> PathBuf {
        match index.path().parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        }
    }

    /// Makes it ready for lookups, also by a second connection while this one goes on writing.
    pub(super) fn index_namings(&self) -> Result<(), ScratchError> {
        self.connection.execute_batch(
            "CREATE INDEX naming_child ON naming (child);
             CREATE INDEX directory_key ON directory (key);",
        )?;
        self.reach()?;
        // Readers of a write-ahead log do not wait for its writer.
        let mode = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        self.connection
            .query_row("PRAGMA main.journal_mode = WAL", [], mode)?;
        Ok(())
    }

    /// Follows entries from the root to directories, level by level. Each entry is followed once, so
    /// that circles end.
    fn reach(&self) -> Result<(), ScratchError> {
        // Byte 6 of a filehandle is 1 for directories (docs/format.md section 2); 8 bytes of hash
        // stand before it in a key, and SQL counts from 1.
        self.connection.execute(
            "INSERT OR IGNORE INTO edge
             SELECT parent, child, name FROM naming
             WHERE length(child) = 32 AND substr(child, 15, 1) = x'01'
             ORDER BY parent, child, name",
            [],
        )?;
        self.connection.execute(
            "INSERT OR IGNORE INTO reached
             WITH RECURSIVE step (key, parent, name) AS (
                 SELECT ?1, ?1, x''
                 UNION
                 SELECT edge.child, edge.parent, edge.name
                 FROM step JOIN edge ON edge.parent = step.key
             )
             SELECT key, parent, name FROM step",
            params![entity_key(Filehandle::ROOT).as_bytes()],
        )?;
        Ok(())
    }

    /// Makes the uses of blocks ready to be compared with the index.
    pub(super) fn index_blocks(&self) -> Result<(), ScratchError> {
        self.connection
            .execute_batch("CREATE INDEX block_key ON block (key, owner, type);")?;
        Ok(())
    }

    /// Makes the entries of directories ready to be given by name.
    pub(super) fn index_entries(&self) -> Result<(), ScratchError> {
        self.connection
            .execute_batch("CREATE INDEX naming_parent ON naming (parent, name);")?;
        Ok(())
    }

    /// Where it lies, and more may lie.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Bytes of all current objects' blobs.
    pub(super) fn blob_bytes(&self) -> Result<u64, ScratchError> {
        // sum() would overflow where sizes are lies; total() is a double.
        let sql = "SELECT total(size) FROM names.object";
        let sum: f64 = self.connection.query_row(sql, [], |row| row.get(0))?;
        Ok(sum as u64)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    /// Keeps a finding until paths are known.
    fn keep(&self, found: &Found) -> Result<(), ScratchError> {
        let mut statement = self
            .connection
            .prepare_cached("INSERT INTO found VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        let rule = Rule::ALL.iter().position(|rule| *rule == found.rule);
        let (entity, entry, path) = match &found.path {
            PathOf::Nothing => (None, None, None),
            PathOf::Entity(entity) => (Some(entity.as_bytes()), None, None),
            PathOf::Entry(directory, name) => (Some(directory.as_bytes()), Some(name), None),
            PathOf::Exactly(path) => (None, None, Some(path)),
        };
        statement.execute(params![
            rule.ok_or(ScratchError::Row)? as i64,
            found.severity as i64,
            found.blob,
            entity,
            entry,
            path,
            found.text,
        ])?;
        Ok(())
    }

    /// Gives the kept findings, ordered by blob, and forgets them.
    pub(super) fn give_kept(
        &self,
        mut give: impl FnMut(Found) -> Result<(), ScratchError>,
    ) -> Result<(), ScratchError> {
        let mut statement = self
            .connection
            .prepare("SELECT * FROM found ORDER BY blob, rule, text, entry")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let rule = usize::try_from(row.get::<_, i64>(0)?).ok();
            let rule = rule.and_then(|at| Rule::ALL.get(at)).copied();
            let severities = [Severity::Error, Severity::Warning, Severity::Note];
            let code = row.get::<_, i64>(1)?;
            let severity = severities.into_iter().find(|s| *s as i64 == code);
            let entity = row.get::<_, Option<Vec<u8>>>(3)?;
            let entity = entity.map(|bytes| Filehandle::from_bytes(&bytes));
            let entity = entity.transpose().map_err(|_| ScratchError::Row)?;
            let path = match (entity, row.get(4)?, row.get(5)?) {
                (Some(directory), Some(name), _) => PathOf::Entry(directory, name),
                (Some(entity), None, _) => PathOf::Entity(entity),
                (None, _, Some(path)) => PathOf::Exactly(path),
                (None, _, None) => PathOf::Nothing,
            };
            give(Found {
                rule: rule.ok_or(ScratchError::Row)?,
                severity: severity.ok_or(ScratchError::Row)?,
                blob: row.get(2)?,
                path,
                text: row.get(6)?,
            })?;
        }
        drop(rows);
        drop(statement);
        self.connection.execute("DELETE FROM found", [])?;
        Ok(())
    }
}

/// The key of an entity.
pub(super) fn entity_key(handle: Filehandle) -> ObjectKey {
    ObjectKey::new(&ObjectId::Entity(handle))
}

/// The id in a stored key.
pub(super) fn id_of(key: &[u8]) -> Result<ObjectId, ScratchError> {
    ObjectKey::id(key).map_err(|_| ScratchError::Row)
}

/// The entity in a stored key.
pub(super) fn entity_of(key: &[u8]) -> Result<Filehandle, ScratchError> {
    match id_of(key)? {
        ObjectId::Entity(handle) => Ok(handle),
        _ => Err(ScratchError::Row),
    }
}

/// A file as an SQLite URI that opens it for reading: bytes but letters and digits as `%HH`.
fn read_only(path: &Path) -> String {
    let mut uri = String::from("file:");
    let bytes = path.as_os_str().as_bytes();
    // Two slashes would begin the name of a host.
    let doubled = bytes.iter().take_while(|byte| **byte == b'/').count();
    for byte in bytes.get(doubled.saturating_sub(1)..).unwrap_or(bytes) {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri += &format!("%{byte:02X}"),
        }
    }
    uri + "?mode=ro"
}
