//! Examines again the entries that an earlier run could not examine or list.

use std::sync::Arc;

use clfs_format::limits::NAME_BYTES;

use super::Scan;
use super::device_numbers::DeviceNumbers;
use crate::entry::EntryId;
use crate::problem::{Problem, Reason};
use crate::source::{CallKind, Directory, EntryStat, OpenError, may_be_recorded_anew};
use crate::state::{Reader, StateError};

/// Rows in one query.
const BATCH: u32 = 1024;

impl Scan<'_> {
    /// Records the current attributes of entries that failed in an earlier run, which the fix (such as chmod)
    /// may have changed. Must be called before a pass takes entries, because their ids are behind its cursor.
    ///
    /// # Errors
    /// If the state cannot be read or written.
    pub fn reexamine(&self) -> Result<(), StateError> {
        let reader = self.state.reader()?;
        self.identify(&reader)?;
        self.refresh_directories(&reader)
    }

    /// Examines the entries of which only the name is known.
    fn identify(&self, reader: &Reader) -> Result<(), StateError> {
        let mut devices = DeviceNumbers::new(self.source);
        let mut after = EntryId::new(0);
        loop {
            let unknown = reader.unknown_entries(after, BATCH)?;
            let Some(last) = unknown.last() else {
                return Ok(());
            };
            after = last.id;
            for entry in &unknown {
                if self.stop.is_requested() {
                    return Ok(());
                }
                match self.examine(entry.id, entry.parent, &entry.name) {
                    Ok((directory, seen)) => {
                        let name = entry.name.clone();
                        let mut found = directory.entry(seen, name, self.preserve_hardlinks);
                        devices.replace(&mut found, reader)?;
                        let solved = self.state.identify(entry, &found)?;
                        self.limit.solved(solved.into());
                    }
                    Err(OpenError::Problem(problem)) => {
                        self.state.still_unknown(entry.id, &problem)?;
                        self.report(&reader.path(entry.id)?, problem);
                    }
                    Err(OpenError::State(error)) => return Err(error),
                }
            }
        }
    }

    /// Examines the directories that could not be listed. The listing itself reports those that still cannot be
    /// listed, were replaced, or miss a file system.
    fn refresh_directories(&self, reader: &Reader) -> Result<(), StateError> {
        let mut after = EntryId::ROOT;
        loop {
            let directories = reader.failed_directories(after, BATCH)?;
            let Some(last) = directories.last() else {
                return Ok(());
            };
            after = last.id;
            for entry in &directories {
                if self.stop.is_requested() {
                    return Ok(());
                }
                let place = reader.directory_place(entry.id)?;
                let Some(known) = place.and_then(|place| place.known) else {
                    continue;
                };
                let (directory, seen) = match self.examine(entry.id, entry.parent, &entry.name) {
                    Ok(found) => found,
                    Err(OpenError::Problem(_)) => continue,
                    Err(OpenError::State(error)) => return Err(error),
                };
                let is_unread = reader.is_unread(entry.id)?;
                if seen.attributes.file_type == entry.attributes.file_type
                    && may_be_recorded_anew(&known, &seen, directory.device(), is_unread)
                {
                    let mut fresh = seen.attributes;
                    // An attempt to list it in an earlier run may have changed the access time.
                    fresh.atime = entry.attributes.atime;
                    self.state.refresh(entry.id, &fresh, seen.mount.as_ref())?;
                }
            }
        }
    }

    fn examine(
        &self,
        id: EntryId,
        parent: EntryId,
        name: &[u8],
    ) -> Result<(Arc<Directory>, EntryStat), OpenError> {
        if name.len() > NAME_BYTES {
            return Err(Problem::new(Reason::NameTooLong).into());
        }
        let _call = self.source.begin_call(CallKind::Scan, id);
        let directory = self.source.directory(parent)?;
        let seen = directory.examine(name)?;
        Ok((directory, seen))
    }
}
