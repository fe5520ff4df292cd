//! The recorded identity of directories: attributes and mounts.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::row::{self, ENTRY_COLUMNS, stored};
use super::{Reader, StateError, schema, settings};
use crate::entry::{EntryId, KnownDirectory, Mount, MountBelow, Mounted, Place, SourceAttributes};

/// The columns that [`mount`] reads, of a row of `mount` that may be missing.
pub(super) const MOUNT_COLUMNS: &str = "mount.other_device, mount.birth, mount.origin";

/// The inode of a mount that could not be examined. No file system has an inode 0.
const NO_INODE: u64 = 0;

/// Returns the value of the column `origin` for a file system with a UUID.
fn uuid_text(uuid: u64) -> Vec<u8> {
    format!("uuid {uuid:016x}").into_bytes()
}

/// Parses the column `origin`. Ignores values of earlier versions, which do not identify a file system.
fn uuid(origin: Option<Vec<u8>>) -> Option<u64> {
    let text = String::from_utf8(origin?).ok()?;
    u64::from_str_radix(text.strip_prefix("uuid ")?, 16).ok()
}

/// Records the mount on an entry.
pub(super) fn record(
    transaction: &Transaction<'_>,
    entry: EntryId,
    mount: &Mount,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO mount (entry, other_device, birth, origin)
             VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            stored(entry.get()),
            mount.is_other_device,
            mount.birth,
            mount.uuid.map(uuid_text)
        ])
        .map(drop)
}

/// Records a mount below the source.
pub(super) fn record_below(connection: &Connection, mount: &MountBelow) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO mount_below (path, inode, birth, origin) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            mount.path,
            stored(mount.inode.unwrap_or(NO_INODE)),
            mount.mount.birth,
            mount.mount.uuid.map(uuid_text)
        ])
        .map(drop)
}

/// Reads the mounts below the source. A database of an earlier version has none.
pub(super) fn below(connection: &Connection) -> rusqlite::Result<Vec<MountBelow>> {
    if schema::version(connection)? == schema::WITHOUT_MOUNTS {
        return Ok(Vec::new());
    }
    connection
        .prepare_cached("SELECT path, inode, birth, origin FROM mount_below ORDER BY path")?
        .query_map([], |row| {
            Ok(MountBelow {
                path: row.get(0)?,
                inode: Some(row::loaded(row.get(1)?)).filter(|inode| *inode != NO_INODE),
                mount: Mount {
                    is_other_device: true,
                    birth: row.get(2)?,
                    uuid: uuid(row.get(3)?),
                },
            })
        })?
        .collect()
}

/// Reads the mount on `entry` from the [`MOUNT_COLUMNS`], of which `first` is the first.
pub(super) fn mount(
    row: &Row<'_>,
    first: usize,
    entry: EntryId,
    known_from: EntryId,
) -> rusqlite::Result<Mounted> {
    let Some(is_other_device) = row.get(first)? else {
        return Ok(match entry < known_from {
            true => Mounted::Unknown,
            false => Mounted::Nothing,
        });
    };
    Ok(Mounted::This(Mount {
        is_other_device,
        birth: row.get(first + 1)?,
        uuid: uuid(row.get(first + 2)?),
    }))
}

impl Reader {
    /// Returns the first entry whose mount is known. An earlier version, which did not record mounts, may have
    /// recorded the entries before it.
    pub(super) fn mounts_known_from(&self) -> Result<EntryId, StateError> {
        self.query(settings::mounts_known_from)
    }

    /// Returns the location and the recorded identity of a directory. Needs a database of this version.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn directory_place(&self, id: EntryId) -> Result<Option<Place>, StateError> {
        let known_from = self.mounts_known_from()?;
        self.query(|connection| {
            let query = format!(
                "SELECT {ENTRY_COLUMNS}, {MOUNT_COLUMNS}
                 FROM entry LEFT JOIN mount ON mount.entry = entry.id
                 WHERE id = ?1 AND mode <> 0"
            );
            connection
                .prepare_cached(&query)?
                .query_row([stored(id.get())], |row| {
                    let entry = row::entry(row)?;
                    Ok(Place {
                        parent: entry.parent,
                        name: entry.name,
                        known: Some(KnownDirectory {
                            attributes: entry.attributes,
                            // The columns of an entry are 0 to 11.
                            mounted: mount(row, 12, id, known_from)?,
                        }),
                    })
                })
                .optional()
        })
    }

    /// Returns the recorded identity of the source folder itself. The database may be one of an earlier version.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn known_root(&self) -> Result<KnownDirectory, StateError> {
        let root = match self.knows_mounts()? {
            true => self
                .directory_place(EntryId::ROOT)?
                .and_then(|place| place.known),
            false => self.entry(EntryId::ROOT)?.map(|root| KnownDirectory {
                attributes: root.attributes,
                mounted: Mounted::Unknown,
            }),
        };
        root.ok_or_else(|| StateError::corrupt(self.database(), "the root entry is missing"))
    }

    /// Names and attributes of up to `at_most` entries of a directory, spread over its listing. Skips mount
    /// points. The database may be one of an earlier version.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn recorded_children(
        &self,
        directory: EntryId,
        at_most: u32,
    ) -> Result<Vec<(Vec<u8>, SourceAttributes)>, StateError> {
        let without_mounts = match self.knows_mounts()? {
            true => "AND NOT EXISTS (SELECT 1 FROM mount WHERE mount.entry = entry.id)",
            false => "",
        };
        let extents = self.rows(
            "SELECT first, count FROM extent WHERE directory = ?1 ORDER BY first",
            params![stored(directory.get())],
            |row| Ok((row::loaded(row.get(0)?), row::loaded(row.get(1)?))),
        )?;
        let query = format!(
            "SELECT {ENTRY_COLUMNS} FROM entry WHERE id = ?1 AND mode <> 0 {without_mounts}"
        );
        let mut children = Vec::new();
        for id in sample(&extents, at_most) {
            children.extend(self.rows(&query, params![stored(id)], |row| {
                row::entry(row).map(|entry| (entry.name, entry.attributes))
            })?);
        }
        Ok(children)
    }

    /// Returns whether an entry was a mount point when it was recorded.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn was_mount(&self, id: EntryId) -> Result<bool, StateError> {
        self.query(|connection| {
            connection
                .prepare_cached("SELECT 1 FROM mount WHERE entry = ?1")?
                .exists([stored(id.get())])
        })
    }

    /// Returns whether no entry of a directory is recorded.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn is_unread(&self, directory: EntryId) -> Result<bool, StateError> {
        self.query(|connection| {
            connection
                .prepare_cached("SELECT 1 FROM extent WHERE directory = ?1")?
                .exists([stored(directory.get())])
                .map(|exists| !exists)
        })
    }

    fn knows_mounts(&self) -> Result<bool, StateError> {
        self.query(schema::version)
            .map(|version| version != schema::WITHOUT_MOUNTS)
    }
}

/// Chooses up to `at_most` ids, evenly spread over runs of consecutive ids (first, count).
fn sample(extents: &[(u64, u64)], at_most: u32) -> Vec<u64> {
    let total = extents
        .iter()
        .fold(0_u64, |total, (_, count)| total.saturating_add(*count));
    let step = total.div_ceil(u64::from(at_most.max(1))).max(1);
    let mut ids = Vec::new();
    // Ids of the next run before the next chosen one.
    let mut skip = 0;
    for (first, count) in extents {
        while skip < *count && ids.len() < at_most as usize {
            ids.push(first.saturating_add(skip));
            skip = skip.saturating_add(step);
        }
        skip = skip.saturating_sub(*count);
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_all_extents() {
        assert!(sample(&[], 4).is_empty());
        assert_eq!(sample(&[(10, 3), (20, 1)], 4), [10, 11, 12, 20]);
        assert_eq!(sample(&[(10, 3), (20, 5)], 4), [10, 12, 21, 23]);
        assert_eq!(sample(&[(10, 1), (20, 1), (30, 100)], 3), [10, 62, 96]);
        assert_eq!(sample(&[(0, u64::MAX), (5, u64::MAX)], 2).len(), 2);
        let texts = [Some(uuid_text(7)), Some(b"fsid 0000000000000007".to_vec())];
        assert_eq!(texts.map(uuid), [Some(7), None]);
    }
}
