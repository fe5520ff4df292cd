//! Stores the outcomes of a pass.

use rusqlite::{Transaction, params};

use super::counter::{Counter, Increments};
use super::row::{stored, stored_time};
use super::{Pass, PassProgress, State, StateError, changed, losses, mounts, problems};
use crate::crash_point::{CrashPoint, crash_point};
use crate::entry::{EntryId, Mount, SourceAttributes};
use crate::problem::Problem;

/// An entry whose objects are all in the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The entry.
    pub id: EntryId,
    /// Bytes read from the source.
    pub bytes_read: u64,
    /// Whether it changed while it was read.
    pub changed: bool,
    /// Bytes of its objects, as uploaded.
    pub bytes_put: u64,
    /// Number of its objects.
    pub objects: u64,
}

/// A batch of outcomes of one pass.
#[derive(Debug)]
pub struct Settlement {
    /// The pass.
    pub pass: Pass,
    /// Its progress with these outcomes.
    pub progress: PassProgress,
    /// Entries that are in the container.
    pub done: Vec<Settled>,
    /// Entries that failed.
    pub failed: Vec<(EntryId, Problem)>,
    /// Current attributes of files that changed since the scan. These files are read again, and are
    /// outstanding until then.
    pub refreshed: Vec<(EntryId, SourceAttributes)>,
}

impl State {
    /// Stores a batch of outcomes and returns the number of problems that it solved.
    ///
    /// The container must have confirmed all uploads of the batch, so that no stored outcome precedes its
    /// upload.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn settle(&self, settlement: &Settlement) -> Result<u64, StateError> {
        let solved = self.write(|transaction| {
            let mut solved = 0;
            let mut increments = Increments::default();
            for settled in &settlement.done {
                increments.add(Counter::Done, 1);
                increments.add(Counter::BytesRead, settled.bytes_read);
                increments.add(Counter::BytesPut, settled.bytes_put);
                increments.add(Counter::Objects, settled.objects);
            }
            increments.store(transaction)?;
            if problems::any(transaction)? {
                for settled in &settlement.done {
                    solved += problems::solved(transaction, settled.id)?;
                }
            }
            for (id, problem) in &settlement.failed {
                problems::store(transaction, *id, problem)?;
            }
            for (id, attributes) in &settlement.refreshed {
                refresh(transaction, *id, attributes)?;
            }
            changed::settle(transaction, settlement)?;
            settlement.progress.store(transaction, settlement.pass)?;
            crash_point(CrashPoint::SettleUncommitted);
            Ok(solved)
        })?;
        crash_point(CrashPoint::SettleCommitted);
        Ok(solved)
    }

    /// Stores the current attributes of an entry that will be tried again, and what is mounted on it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn refresh(
        &self,
        id: EntryId,
        attributes: &SourceAttributes,
        mount: Option<&Mount>,
    ) -> Result<(), StateError> {
        self.write(|transaction| {
            if let Some(mount) = mount {
                mounts::record(transaction, id, mount)?;
            }
            refresh(transaction, id, attributes)
        })
    }
}

fn refresh(
    transaction: &Transaction<'_>,
    id: EntryId,
    attributes: &SourceAttributes,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE entry SET mode = ?2, uid = ?3, gid = ?4, size = ?5,
                              mtime = ?6, ctime = ?7, atime = ?8, inode = ?9
             WHERE id = ?1",
        )?
        .execute(params![
            stored(id.get()),
            attributes.mode,
            attributes.uid,
            attributes.gid,
            stored(attributes.size),
            stored_time(attributes.mtime),
            stored_time(attributes.ctime),
            stored_time(attributes.atime),
            stored(attributes.inode),
        ])?;
    // Names that are found later are compared with the current attributes.
    transaction
        .prepare_cached("UPDATE inode SET ctime = ?2 WHERE owner = ?1")?
        .execute(params![stored(id.get()), stored_time(attributes.ctime)])?;
    losses::refresh(transaction, id, attributes.losses)
}
