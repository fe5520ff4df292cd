//! The checkpoint of a pass: the cursor, and the entries before it that are not settled.

use std::collections::BTreeSet;

use crate::entry::EntryId;
use crate::state::PassProgress;

/// The checkpoint of a pass in memory. Each batch of outcomes is stored together with it.
#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    cursor: u64,
    outstanding: BTreeSet<EntryId>,
    /// All entries were taken.
    complete: bool,
}

impl Checkpoint {
    pub(super) fn resume(progress: PassProgress) -> Self {
        Checkpoint {
            cursor: progress.cursor,
            outstanding: progress.outstanding.into_iter().collect(),
            complete: false,
        }
    }

    /// Adds entries to the outstanding ones. Must be called before any of them can be settled.
    pub(super) fn take(&mut self, ids: impl Iterator<Item = EntryId>, cursor: u64) {
        self.outstanding.extend(ids);
        self.cursor = self.cursor.max(cursor);
    }

    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    pub(super) fn outstanding(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.outstanding.iter().copied()
    }

    pub(super) fn outstanding_count(&self) -> usize {
        self.outstanding.len()
    }

    pub(super) fn settle(&mut self, id: EntryId) {
        self.outstanding.remove(&id);
    }

    pub(super) fn set_complete(&mut self) {
        self.complete = true;
    }

    /// Returns whether all entries were taken and settled.
    pub(super) fn is_finished(&self) -> bool {
        self.complete && self.outstanding.is_empty()
    }

    pub(super) fn progress(&self) -> PassProgress {
        PassProgress {
            cursor: self.cursor,
            outstanding: self.outstanding().collect(),
        }
    }
}
