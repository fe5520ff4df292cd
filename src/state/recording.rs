//! Records the entries that the scan finds, in the order that determines their ids.

use clfs_format::limits::LINKS;
use clfs_format::{FIRST_SEQUENCE, FileType};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction, params};

use super::counter::{Counter, Increments};
use super::row::{self, stored, stored_device, stored_time};
use super::{Pass, PassProgress, State, StateError, losses, mounts, problems, settings};
use crate::crash_point::{CrashPoint, crash_point};
use crate::entry::{EntryId, LinkKey, NewEntry, SourceAttributes};
use crate::problem::Problem;

/// A name in a directory, as the scan found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundEntry {
    /// A name with its attributes.
    Known(NewEntry),
    /// A name whose attributes could not be read.
    Failed {
        /// Last path component, raw bytes.
        name: Vec<u8>,
        /// The reason.
        problem: Problem,
    },
}

impl FoundEntry {
    /// Returns whether it is a directory.
    pub fn is_directory(&self) -> bool {
        match self {
            FoundEntry::Known(entry) => entry.attributes.file_type == FileType::Directory,
            FoundEntry::Failed { .. } => false,
        }
    }

    /// Returns the name.
    pub fn name(&self) -> &[u8] {
        match self {
            FoundEntry::Known(entry) => &entry.name,
            FoundEntry::Failed { name, .. } => name,
        }
    }

    /// Returns the name and the problem, if the attributes could not be read.
    pub fn failure(&self) -> Option<(&[u8], Problem)> {
        match self {
            FoundEntry::Known(_) => None,
            FoundEntry::Failed { name, problem } => Some((name, *problem)),
        }
    }
}

/// A piece of a directory's listing, in the order of the names' bytes.
#[derive(Debug)]
pub struct ListingChunk {
    /// The directory.
    pub directory: EntryId,
    /// Its entries in the order of their names, which follow those of the chunk before.
    pub entries: Vec<FoundEntry>,
    /// Whether this is the last chunk of the listing.
    pub last: bool,
}

/// The column `mode` of an entry whose attributes are not known.
pub(super) const UNKNOWN_MODE: u16 = 0;

/// The contents of a batch of listings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Entries, including those without attributes.
    pub entries: u64,
    /// Bytes of the regular files among them, without further names.
    pub bytes: u64,
    /// Directories that could not be listed before and were listed now.
    pub solved: u64,
}

impl State {
    /// Records pieces of listings. Entries get the next ids in the given order.
    ///
    /// Either all of it becomes visible and survives a power loss, or nothing does.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn record(&self, chunks: &[ListingChunk]) -> Result<Recorded, StateError> {
        self.write(|transaction| {
            let mut recording = Recording::begin(transaction)?;
            for chunk in chunks {
                recording.chunk(chunk)?;
            }
            crash_point(CrashPoint::RecordUncommitted);
            let recorded = Recorded {
                entries: chunks.iter().map(|chunk| chunk.entries.len() as u64).sum(),
                bytes: recording.increments.get(Counter::FoundBytes),
                solved: recording.solved,
            };
            recording.end()?;
            Ok(recorded)
        })
    }
}

/// Records the root, which has a fixed id and is its own parent.
pub(super) fn store_root(transaction: &Transaction<'_>, root: &NewEntry) -> rusqlite::Result<()> {
    let mut recording = Recording::begin(transaction)?;
    recording.known(EntryId::ROOT, EntryId::ROOT, root)?;
    recording.end()
}

/// Records an entry under an id that was assigned before.
pub(super) fn record_known(
    transaction: &Transaction<'_>,
    id: EntryId,
    parent: EntryId,
    entry: &NewEntry,
) -> rusqlite::Result<()> {
    let mut recording = Recording::begin(transaction)?;
    recording.known(id, parent, entry)?;
    recording.end()
}

pub(super) fn load_root(connection: &Connection) -> rusqlite::Result<Option<NewEntry>> {
    let query = format!("SELECT {} FROM entry WHERE id = ?1", row::ENTRY_COLUMNS);
    let root = connection
        .prepare_cached(&query)?
        .query_row([stored(EntryId::ROOT.get())], row::entry)
        .optional()?;
    Ok(root.map(|root| NewEntry {
        name: root.name,
        attributes: root.attributes,
        link: None,
        clamped_times: 0,
        mount: None,
    }))
}

/// The progress of the pass over inodes with several names. The pass begins after the scan, but a
/// directory that could not be listed may be listed by a later run and contain a further name. The inode
/// is then uploaded again.
struct LinksProgress {
    progress: PassProgress,
    changed: bool,
}

impl LinksProgress {
    fn load(connection: &Connection) -> rusqlite::Result<Self> {
        Ok(LinksProgress {
            progress: PassProgress::load(connection, Pass::Links)?,
            changed: false,
        })
    }

    fn reopen(&mut self, owner: EntryId) {
        let settled = owner.get() <= self.progress.cursor;
        if settled && !self.progress.outstanding.contains(&owner) {
            self.progress.outstanding.push(owner);
            self.changed = true;
        }
    }

    fn store(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        match self.changed {
            true => self.progress.store(transaction, Pass::Links),
            false => Ok(()),
        }
    }
}

struct Recording<'a> {
    transaction: &'a Transaction<'a>,
    /// The statement that runs for each entry. A lookup in the cache of statements would hash its text.
    insert: CachedStatement<'a>,
    next: u64,
    links: LinksProgress,
    increments: Increments,
    /// Problems that are solved.
    solved: u64,
}

impl<'a> Recording<'a> {
    fn begin(transaction: &'a Transaction<'a>) -> rusqlite::Result<Self> {
        let highest: Option<i64> = transaction
            .prepare_cached("SELECT max(id) FROM entry")?
            .query_row([], |row| row.get(0))?;
        let after = highest.map_or(0, |highest| row::loaded(highest) + 1);
        Ok(Recording {
            transaction,
            insert: transaction.prepare_cached(
                "INSERT INTO entry (id, parent, name, mode, uid, gid, size,
                                    mtime, ctime, atime, inode, device, owner)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?,
            next: after.max(FIRST_SEQUENCE),
            links: LinksProgress::load(transaction)?,
            increments: Increments::default(),
            solved: 0,
        })
    }

    fn end(self) -> rusqlite::Result<()> {
        self.links.store(self.transaction)?;
        self.increments.store(self.transaction)
    }

    fn chunk(&mut self, chunk: &ListingChunk) -> rusqlite::Result<()> {
        let first = self.next;
        for found in &chunk.entries {
            let id = EntryId::new(self.next);
            self.next += 1;
            match found {
                FoundEntry::Known(entry) => self.known(id, chunk.directory, entry)?,
                FoundEntry::Failed { name, problem } => {
                    self.unknown(id, chunk.directory, name)?;
                    problems::store(self.transaction, id, problem)?;
                }
            }
        }
        self.extend(chunk.directory, first, self.next - first)?;
        if chunk.last {
            self.transaction
                .prepare_cached("UPDATE directory SET listed = 1 WHERE id = ?1")?
                .execute([stored(chunk.directory.get())])?;
            self.solved += problems::solved(self.transaction, chunk.directory)?;
        }
        Ok(())
    }

    fn known(&mut self, id: EntryId, parent: EntryId, entry: &NewEntry) -> rusqlite::Result<()> {
        let attributes = &entry.attributes;
        let owner = match entry.link {
            Some(key) => Some(self.link(id, key, attributes)?),
            None => None,
        };
        self.insert.execute(params![
            stored(id.get()),
            stored(parent.get()),
            entry.name,
            attributes.mode,
            attributes.uid,
            attributes.gid,
            stored(attributes.size),
            stored_time(attributes.mtime),
            stored_time(attributes.ctime),
            stored_time(attributes.atime),
            stored(attributes.inode),
            stored_device(attributes.device, attributes.file_type),
            owner.map(|owner| stored(owner.get())),
        ])?;
        if let Some(mount) = &entry.mount {
            mounts::record(self.transaction, id, mount)?;
        }
        if attributes.file_type == FileType::Directory {
            self.transaction
                .prepare_cached("INSERT INTO directory (id, listed) VALUES (?1, 0)")?
                .execute([stored(id.get())])?;
        }
        self.increments.add(Counter::Found(attributes.file_type), 1);
        match owner {
            Some(owner) if owner != id => self.increments.add(Counter::FoundLinks, 1),
            _ if attributes.file_type == FileType::Regular => {
                self.increments.add(Counter::FoundBytes, attributes.size);
            }
            _ => {}
        }
        if entry.clamped_times > 0 {
            self.increments.add(Counter::ClampedTimes, 1);
        }
        losses::record(
            self.transaction,
            id,
            attributes.losses,
            &mut self.increments,
        )
    }

    fn unknown(&self, id: EntryId, parent: EntryId, name: &[u8]) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached(
                "INSERT INTO entry (id, parent, name, mode, uid, gid, size,
                                    mtime, ctime, atime, inode)
                 VALUES (?1, ?2, ?3, ?4, 0, 0, 0, 0, 0, 0, 0)",
            )?
            .execute(params![
                stored(id.get()),
                stored(parent.get()),
                name,
                UNKNOWN_MODE
            ])
            .map(drop)
    }

    /// Adds ids to the extents of a directory; they nearly always extend the last one.
    fn extend(&self, directory: EntryId, first: u64, count: u64) -> rusqlite::Result<()> {
        if count == 0 {
            return Ok(());
        }
        let directory = stored(directory.get());
        let continued = self
            .transaction
            .prepare_cached(
                "UPDATE extent SET count = count + ?3 WHERE directory = ?1 AND first + count = ?2",
            )?
            .execute(params![directory, stored(first), stored(count)])?;
        if continued == 0 {
            self.transaction
                .prepare_cached("INSERT INTO extent (directory, first, count) VALUES (?1, ?2, ?3)")?
                .execute(params![directory, stored(first), stored(count)])?;
        }
        Ok(())
    }

    /// Finds or creates the inode of the name `id`, and returns the entry that owns it.
    ///
    /// An inode in the container holds at most [`LINKS`] names; the next name of the same source
    /// inode starts a further object.
    ///
    /// Equal numbers do not prove that two names belong to one inode: file systems that combine others may
    /// use a number twice, and a new file may get the number of one that was deleted during the scan. So
    /// all attributes of the inode must agree too.
    fn link(
        &mut self,
        id: EntryId,
        key: LinkKey,
        attributes: &SourceAttributes,
    ) -> rusqlite::Result<EntryId> {
        let (file_system, device, inode) = (
            stored(key.file_system.get()),
            stored(key.device),
            stored(key.inode),
        );
        let ctime = stored_time(attributes.ctime);
        // The last one, because those before it are full.
        let alike: Option<(i64, i64)> = self
            .transaction
            .prepare_cached(
                "SELECT inode.owner, links FROM inode JOIN entry ON entry.id = inode.owner
                 WHERE inode.file_system = ?1 AND inode.device = ?2 AND inode.inode = ?3
                 AND inode.ctime = ?4
                 AND mode = ?5 AND uid = ?6 AND gid = ?7 AND size = ?8 AND mtime = ?9
                 ORDER BY inode.owner DESC LIMIT 1",
            )?
            .query_row(
                params![
                    file_system,
                    device,
                    inode,
                    ctime,
                    attributes.mode,
                    attributes.uid,
                    attributes.gid,
                    stored(attributes.size),
                    stored_time(attributes.mtime),
                ],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        if alike.is_none() && self.is_number_known(key)? {
            self.increments.add(Counter::UnlikeNames, 1);
            settings::note_unlike(self.transaction, id)?;
        }
        let known = alike.filter(|(_, links)| *links < LINKS as i64);
        let known = known.map(|(owner, _)| owner);
        let owner = match known {
            Some(owner) => {
                self.transaction
                    .prepare_cached("UPDATE inode SET links = links + 1 WHERE owner = ?1")?
                    .execute([owner])?;
                self.links.reopen(EntryId::new(row::loaded(owner)));
                owner
            }
            None => {
                self.transaction
                    .prepare_cached(
                        "INSERT INTO inode (owner, file_system, device, inode, ctime, links)
                         VALUES (?1, ?2, ?3, ?4, ?5, 1)",
                    )?
                    .execute(params![stored(id.get()), file_system, device, inode, ctime])?;
                stored(id.get())
            }
        };
        self.transaction
            .prepare_cached("INSERT INTO link (owner, id) VALUES (?1, ?2)")?
            .execute(params![owner, stored(id.get())])?;
        Ok(EntryId::new(row::loaded(owner)))
    }

    /// Returns whether a name with this inode number is recorded.
    fn is_number_known(&self, key: LinkKey) -> rusqlite::Result<bool> {
        self.transaction
            .prepare_cached(
                "SELECT 1 FROM inode WHERE file_system = ?1 AND device = ?2 AND inode = ?3 LIMIT 1",
            )?
            .exists(params![
                stored(key.file_system.get()),
                stored(key.device),
                stored(key.inode)
            ])
    }
}
