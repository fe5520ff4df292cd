//! Takes what many tasks report, one batch after the other, on a thread of its own.

use clfs_format::{Filehandle, ObjectType};
use rusqlite::params;
use tokio::sync::mpsc;

use super::{Scratch, ScratchError, entity_key};
use crate::read::ReadError;
use crate::read::index::ObjectKey;
use crate::verify::finding::Found;

/// Batches that wait to be written. A batch is what one object, or one segment of a directory, gave.
const BATCHES: usize = 64;
/// Batches written in one transaction.
const COMMIT_EVERY: usize = 4096;

/// Something to remember.
#[derive(Debug)]
pub(in crate::verify) enum Record {
    /// A finding.
    Found(Found),
    /// An entry of a directory.
    Naming {
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

impl From<Found> for Record {
    fn from(found: Found) -> Self {
        Self::Found(found)
    }
}

/// Takes findings whose paths can be looked up.
pub(in crate::verify) type Locate<'l> =
    &'l mut dyn FnMut(&Scratch, Found) -> Result<(), ScratchError>;

/// Where tasks report to.
#[derive(Debug, Clone)]
pub(in crate::verify) struct Recorder(mpsc::Sender<Vec<Record>>);

impl Recorder {
    /// Hands a batch over; waits while the disk is slower than the container.
    ///
    /// # Errors
    /// [`ReadError::Stopped`] when the ledger has failed, which says itself why.
    pub(in crate::verify) async fn send(&self, batch: Vec<Record>) -> Result<(), ReadError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.0.send(batch).await.map_err(|_| ReadError::Stopped)
    }

    /// The same from a thread that may wait.
    pub(in crate::verify) fn send_waiting(&self, batch: Vec<Record>) -> Result<(), ReadError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.0.blocking_send(batch).map_err(|_| ReadError::Stopped)
    }
}

impl Scratch {
    /// A recorder, and where its batches come out.
    pub(in crate::verify) fn recorder() -> (Recorder, mpsc::Receiver<Vec<Record>>) {
        let (sender, receiver) = mpsc::channel(BATCHES);
        (Recorder(sender), receiver)
    }

    /// Writes batches until all recorders are gone. Findings are given to `on_found`; without it they
    /// are kept.
    pub(in crate::verify) fn record(
        &self,
        mut batches: mpsc::Receiver<Vec<Record>>,
        mut on_found: Option<Locate<'_>>,
    ) -> Result<(), ScratchError> {
        let mut written = 0;
        self.connection.execute_batch("BEGIN")?;
        while let Some(batch) = batches.blocking_recv() {
            for record in batch {
                match (record, on_found.as_mut()) {
                    (Record::Found(found), Some(give)) => give(self, found)?,
                    (Record::Found(found), None) => self.keep(&found)?,
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
            Record::Found(found) => self.keep(&found)?,
            Record::Naming {
                child,
                parent,
                name,
            } => {
                let (child, parent) = (entity_key(child), entity_key(parent));
                let row = params![child.as_bytes(), parent.as_bytes(), name];
                prepare("INSERT INTO naming VALUES (?1, ?2, ?3)")?.execute(row)?;
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
}
