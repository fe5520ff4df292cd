//! The temporary database: what a verification knows so far, such as which entry names what, and which
//! block belongs to which entity.
//!
//! Ten million names do not fit in memory, so they are rows of an SQLite database in a folder next to
//! the index, which is attached to it. The folder is removed when the verification ends; an
//! interrupted verification starts again.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clfs_format::{FileType, Filehandle, ObjectId, ObjectType, limits};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::finding::{NewFinding, PathOf};
use super::rule::{Rule, Severity};
use crate::read::ReadError;
use crate::read::index::{Index, IndexError, ObjectKey};

/// Size of the page cache in KiB.
const CACHE_KIB: i64 = 64 * 1024;
/// Batches that wait to be written. A batch has the records of one object, or of one segment of a
/// directory.
const QUEUED_BATCHES: usize = 64;
/// Batches written in one transaction.
const COMMIT_EVERY: usize = 4096;
/// Entries that are returned for one entity: one more than an inode may have back pointers.
const MAX_PARENTS: usize = limits::LINKS + 1;

/// - `entry`: the entry `name` of the directory `parent` names `child`; keys as in the index.
/// - `directory`: a directory that was read: its `..` and its NAME.
/// - `block`: a use of a segment or an indirect block (by the code of its type) by an entity.
/// - `edge`: the entries that name directories, ordered by the directory that holds them.
/// - `reached`: directories that a path from the root leads to, with the last step of a shortest path.
/// - `link`: an entry that was compared with a source and shares its object or its inode there.
/// - `unused`: blocks that no entity uses.
/// - `finding`: findings that wait until paths are known.
const TABLES: &str = "
CREATE TABLE entry (child BLOB NOT NULL, parent BLOB NOT NULL, name BLOB NOT NULL) STRICT;
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
CREATE TABLE unused (key BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE finding (
    rule INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    blob TEXT,
    entity BLOB,
    entry BLOB,
    path BLOB,
    text TEXT NOT NULL
) STRICT;
";

/// Why the temporary database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScratchError {
    /// The database failed; usually, the disk is full.
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
    /// A file or folder could not be created or read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A lookup in the index failed.
    #[error("the index: {0}")]
    Index(#[from] IndexError),
    /// A row that this program does not write.
    #[error("a row of it is damaged")]
    Row,
}

/// Something to remember.
#[derive(Debug)]
pub(super) enum Record {
    /// A finding.
    Finding(NewFinding),
    /// An entry of a directory.
    Entry {
        child: Filehandle,
        parent: Filehandle,
        name: Vec<u8>,
    },
    /// A directory that was read.
    Directory {
        handle: Filehandle,
        dotdot: Option<Filehandle>,
        name: Vec<u8>,
    },
    /// A use of a segment or an indirect block.
    Block {
        key: ObjectKey,
        owner: Filehandle,
        object_type: ObjectType,
    },
    /// An entry that was compared with a source, and its inode there.
    Link {
        handle: Filehandle,
        device: u64,
        inode: u64,
        path: Vec<u8>,
    },
}

impl From<NewFinding> for Record {
    fn from(found: NewFinding) -> Self {
        Self::Finding(found)
    }
}

/// Sends the records of concurrent tasks to the thread that writes them.
#[derive(Debug, Clone)]
pub(super) struct Recorder(mpsc::Sender<Vec<Record>>);

impl Recorder {
    /// Creates a recorder, and the queue of its batches for [`Scratch::record`].
    pub(super) fn new() -> (Self, mpsc::Receiver<Vec<Record>>) {
        let (sender, receiver) = mpsc::channel(QUEUED_BATCHES);
        (Self(sender), receiver)
    }

    /// Sends a batch; waits while the disk is slower than the container.
    ///
    /// # Errors
    /// [`ReadError::Stopped`] if the writer has failed, which returns the cause itself.
    pub(super) async fn send(&self, batch: Vec<Record>) -> Result<(), ReadError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.0.send(batch).await.map_err(|_| ReadError::Stopped)
    }

    /// Does the same as [`Recorder::send`], from a thread that may block.
    pub(super) fn blocking_send(&self, batch: Vec<Record>) -> Result<(), ReadError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.0.blocking_send(batch).map_err(|_| ReadError::Stopped)
    }
}

/// Receives findings with the database in which their paths can be looked up.
type OnFinding<'f> = &'f mut dyn FnMut(&Scratch, NewFinding) -> Result<(), ScratchError>;

/// The temporary database.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) connection: Connection,
    folder: TempDir,
}

impl Scratch {
    /// Creates a database next to the index.
    pub(super) fn create(index: &Index) -> Result<Self, ScratchError> {
        let folder = tempfile::Builder::new()
            .prefix(".clfsload-verify-")
            .tempdir_in(Self::parent_folder(index))?;
        let connection = Connection::open(folder.path().join("scratch"))?;
        // The database is never read after a crash.
        connection.pragma_update(None, "journal_mode", "OFF")?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.execute_batch(TABLES)?;
        connection.execute("ATTACH ?1 AS names", params![read_only_uri(index.path())])?;
        Ok(Self { connection, folder })
    }

    /// Returns the folder in which [`Scratch::create`] creates its own folder.
    pub(super) fn parent_folder(index: &Index) -> PathBuf {
        match index.path().parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        }
    }

    /// Returns the folder of the database, for further temporary files.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes batches until all recorders are dropped. Findings are passed to `on_finding`; without
    /// it, they are stored.
    pub(super) fn record(
        &self,
        mut batches: mpsc::Receiver<Vec<Record>>,
        mut on_finding: Option<OnFinding<'_>>,
    ) -> Result<(), ScratchError> {
        let mut written = 0;
        self.connection.execute_batch("BEGIN")?;
        while let Some(batch) = batches.blocking_recv() {
            for record in batch {
                match (record, on_finding.as_mut()) {
                    (Record::Finding(found), Some(report)) => report(self, found)?,
                    (record, _) => self.write(record)?,
                }
            }
            written += 1;
            if written == COMMIT_EVERY {
                written = 0;
                self.connection.execute_batch("COMMIT; BEGIN")?;
            }
        }
        self.connection.execute_batch("COMMIT")?;
        Ok(())
    }

    fn write(&self, record: Record) -> Result<(), ScratchError> {
        let prepare = |sql| self.connection.prepare_cached(sql);
        match record {
            Record::Finding(found) => self.store(&found)?,
            Record::Entry {
                child,
                parent,
                name,
            } => {
                let (child, parent) = (entity_key(child), entity_key(parent));
                let row = params![child.as_bytes(), parent.as_bytes(), name];
                prepare("INSERT INTO entry VALUES (?1, ?2, ?3)")?.execute(row)?;
            }
            Record::Directory {
                handle,
                dotdot,
                name,
            } => {
                let (key, dotdot) = (entity_key(handle), dotdot.map(entity_key));
                let dotdot = dotdot.as_ref().map(ObjectKey::as_bytes);
                let row = params![key.as_bytes(), dotdot, name];
                prepare("INSERT INTO directory VALUES (?1, ?2, ?3)")?.execute(row)?;
            }
            Record::Block {
                key,
                owner,
                object_type,
            } => {
                let owner = entity_key(owner);
                let row = params![key.as_bytes(), owner.as_bytes(), object_type.code()];
                prepare("INSERT INTO block VALUES (?1, ?2, ?3)")?.execute(row)?;
            }
            Record::Link {
                handle,
                device,
                inode,
                path,
            } => {
                let row = params![handle.as_bytes(), device as i64, inode as i64, path];
                prepare("INSERT INTO link VALUES (?1, ?2, ?3, ?4)")?.execute(row)?;
            }
        }
        Ok(())
    }

    /// Stores a finding until paths are known.
    fn store(&self, found: &NewFinding) -> Result<(), ScratchError> {
        let mut statement = self
            .connection
            .prepare_cached("INSERT INTO finding VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
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

    /// Reports the stored findings, ordered by blob, and deletes them.
    pub(super) fn report_stored(
        &self,
        mut report: impl FnMut(NewFinding) -> Result<(), ScratchError>,
    ) -> Result<(), ScratchError> {
        let mut statement = self
            .connection
            .prepare("SELECT * FROM finding ORDER BY blob, rule, text, entry")?;
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
            report(NewFinding {
                rule: rule.ok_or(ScratchError::Row)?,
                severity: severity.ok_or(ScratchError::Row)?,
                blob: row.get(2)?,
                path,
                text: row.get(6)?,
            })?;
        }
        drop(rows);
        drop(statement);
        self.connection.execute("DELETE FROM finding", [])?;
        Ok(())
    }

    /// Prepares lookups by child, also for a second connection while this one writes; determines
    /// which directories can be reached from the root.
    pub(super) fn index_entries_by_child(&self) -> Result<(), ScratchError> {
        self.connection.execute_batch(
            "CREATE INDEX entry_child ON entry (child);
             CREATE INDEX directory_key ON directory (key);",
        )?;
        self.find_reachable()?;
        // Readers of a write-ahead log do not wait for its writer.
        let mode = |row: &Row<'_>| row.get::<_, String>(0);
        self.connection
            .query_row("PRAGMA main.journal_mode = WAL", [], mode)?;
        Ok(())
    }

    /// Follows the entries that name directories from the root, level by level. Each entry is followed
    /// once, so that the search ends in spite of cycles.
    fn find_reachable(&self) -> Result<(), ScratchError> {
        // Byte 6 of a filehandle is 1 for directories (format.md §2). In a key, 8 bytes of hash
        // precede it, and SQL counts from 1.
        self.connection.execute(
            "INSERT OR IGNORE INTO edge
             SELECT parent, child, name FROM entry
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

    /// Prepares lookups of blocks by their keys.
    pub(super) fn index_blocks(&self) -> Result<(), ScratchError> {
        self.connection
            .execute_batch("CREATE INDEX block_key ON block (key, owner, type);")?;
        Ok(())
    }

    /// Prepares lookups of entries by directory and name.
    pub(super) fn index_entries_by_name(&self) -> Result<(), ScratchError> {
        self.connection
            .execute_batch("CREATE INDEX entry_parent ON entry (parent, name);")?;
        Ok(())
    }

    /// Returns the sum of the sizes of all current objects' blobs.
    pub(super) fn blob_bytes(&self) -> Result<u64, ScratchError> {
        // sum() would overflow if sizes are wrong; total() returns a double.
        let sql = "SELECT total(size) FROM names.object";
        let sum: f64 = self.connection.query_row(sql, [], |row| row.get(0))?;
        Ok(sum as u64)
    }

    /// Returns the entries that name an entity.
    pub(super) fn parents(&self, handle: Filehandle) -> Result<ParentEntries, ScratchError> {
        parents(&self.connection, handle)
    }

    /// Returns whether a path leads from the root to a directory.
    pub(super) fn is_reachable(&self, directory: Filehandle) -> Result<bool, ScratchError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT 1 FROM reached WHERE key = ?1")?;
        Ok(directory.is_root() || statement.exists(params![entity_key(directory).as_bytes()])?)
    }

    /// Returns a path to an entity; none if no reachable directory names it.
    pub(super) fn path(&self, entity: Filehandle) -> Result<Option<Vec<u8>>, ScratchError> {
        let step = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?));
        let mut up = self
            .connection
            .prepare_cached("SELECT parent, name FROM reached WHERE key = ?1")?;
        let mut first = self.connection.prepare_cached(
            "SELECT entry.parent, entry.name FROM entry
             JOIN reached ON reached.key = entry.parent
             WHERE child = ?1 ORDER BY entry.parent, entry.name LIMIT 1",
        )?;
        let mut components = Vec::new();
        let mut at = entity;
        // The steps of a shortest path have no cycles.
        while !at.is_root() {
            let statement = match at.file_type() {
                Some(FileType::Directory) => &mut up,
                _ => &mut first,
            };
            let key = entity_key(at);
            let found = statement.query_row(params![key.as_bytes()], step);
            let Some((parent, name)) = found.optional()? else {
                return Ok(None);
            };
            components.push(name);
            at = entity_of(&parent)?;
        }
        components.reverse();
        Ok(Some(components.join(&b'/')))
    }

    /// Opens a second connection, after [`Scratch::index_entries_by_child`].
    pub(super) fn entry_reader(&self) -> Result<EntryReader, ScratchError> {
        Ok(EntryReader(self.second_connection()?))
    }

    /// Opens a second connection, after [`Scratch::collect_unused_blocks`].
    pub(super) fn unused_blocks(&self) -> Result<UnusedBlocks, ScratchError> {
        Ok(UnusedBlocks(self.second_connection()?))
    }

    fn second_connection(&self) -> Result<Connection, ScratchError> {
        // A reader of a write-ahead log writes to its shared memory file.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let file = self.folder.path().join("scratch");
        Ok(Connection::open_with_flags(file, flags)?)
    }
}

/// An entry that names an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParentEntry {
    pub(super) parent: Filehandle,
    pub(super) name: Vec<u8>,
}

/// The entries that name an entity: the first 1,024 of them, and their number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ParentEntries {
    pub(super) first: Vec<ParentEntry>,
    pub(super) count: u64,
}

/// Looks up entries while another connection writes.
#[derive(Debug)]
pub(super) struct EntryReader(Connection);

impl EntryReader {
    /// Returns the entries that name an entity.
    pub(super) fn parents(&self, handle: Filehandle) -> Result<ParentEntries, ScratchError> {
        parents(&self.0, handle)
    }

    /// Returns whether the directory could be read; if not, its entries are unknown.
    pub(super) fn is_read(&self, directory: Filehandle) -> Result<bool, ScratchError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT 1 FROM directory WHERE key = ?1")?;
        Ok(statement.exists(params![entity_key(directory).as_bytes()])?)
    }

    /// Returns the next `limit` entries of a directory after a name, ordered by name, after
    /// [`Scratch::index_entries_by_name`]. Of several entries with the same name it returns one.
    pub(super) fn entries_after(
        &self,
        directory: Filehandle,
        name: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Filehandle)>, ScratchError> {
        // Names are not empty, so that all are after the empty one.
        let mut statement = self.0.prepare_cached(
            "SELECT name, min(child) FROM entry WHERE parent = ?1 AND name > ?2
             GROUP BY name ORDER BY name LIMIT ?3",
        )?;
        let key = entity_key(directory);
        let after = name.unwrap_or_default();
        let mut rows = statement.query(params![key.as_bytes(), after, limit as i64])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            let child: Vec<u8> = row.get(1)?;
            entries.push((row.get(0)?, entity_of(&child)?));
        }
        Ok(entries)
    }
}

fn parents(connection: &Connection, handle: Filehandle) -> Result<ParentEntries, ScratchError> {
    let key = entity_key(handle);
    let mut statement = connection.prepare_cached(
        "SELECT parent, name FROM entry WHERE child = ?1 ORDER BY rowid LIMIT ?2",
    )?;
    let mut rows = statement.query(params![key.as_bytes(), MAX_PARENTS as i64])?;
    let mut first = Vec::new();
    while let Some(row) = rows.next()? {
        let parent = row.get_ref(0)?.as_blob().map_err(|_| ScratchError::Row)?;
        first.push(ParentEntry {
            parent: entity_of(parent)?,
            name: row.get(1)?,
        });
    }
    let mut count = first.len() as u64;
    if first.len() == MAX_PARENTS {
        let mut statement =
            connection.prepare_cached("SELECT count(*) FROM entry WHERE child = ?1")?;
        count = statement.query_row(params![key.as_bytes()], |row| row.get::<_, i64>(0))? as u64;
    }
    Ok(ParentEntries { first, count })
}

/// Reads the blocks that no entity uses.
#[derive(Debug)]
pub(super) struct UnusedBlocks(Connection);

impl UnusedBlocks {
    /// Returns the next `limit` blocks after a key.
    pub(super) fn after(
        &self,
        key: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<ObjectId>, ScratchError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT key FROM unused WHERE key > ?1 ORDER BY key LIMIT ?2")?;
        let key = key.map_or(&[][..], ObjectKey::as_bytes);
        let mut rows = statement.query(params![key, limit as i64])?;
        let mut ids = Vec::new();
        while let Some(row) = rows.next()? {
            ids.push(ObjectKey::id(&row.get::<_, Vec<u8>>(0)?)?);
        }
        Ok(ids)
    }
}

/// Returns the key of an entity.
pub(super) fn entity_key(handle: Filehandle) -> ObjectKey {
    ObjectKey::new(&ObjectId::Entity(handle))
}

/// Returns the entity of a stored key.
pub(super) fn entity_of(key: &[u8]) -> Result<Filehandle, ScratchError> {
    match ObjectKey::id(key)? {
        ObjectId::Entity(handle) => Ok(handle),
        _ => Err(ScratchError::Row),
    }
}

/// Returns an SQLite URI that opens a file for reading. Bytes other than letters, digits and `/.-_`
/// become `%HH`.
fn read_only_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    let bytes = path.as_os_str().as_bytes();
    // Two slashes would begin a host name.
    let slashes = bytes.iter().take_while(|byte| **byte == b'/').count();
    for byte in bytes.get(slashes.saturating_sub(1)..).unwrap_or(bytes) {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri += &format!("%{byte:02X}"),
        }
    }
    uri + "?mode=ro"
}
