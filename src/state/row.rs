//! Conversion of attributes into the values of a row, and back with checks.

use clfs_format::{FileType, Timestamp};
use rusqlite::Row;
use rusqlite::types::Type;

use crate::entry::{DeviceNumber, Entry, EntryId, SourceAttributes};
use crate::loss::Losses;

/// The columns of `entry` that [`entry`] reads, in its order.
pub(super) const ENTRY_COLUMNS: &str =
    "id, parent, name, mode, uid, gid, size, mtime, ctime, atime, inode, device";

/// Returns [`ENTRY_COLUMNS`] for queries in which other tables have columns of the same names.
pub(super) fn columns_of_entry() -> String {
    let columns: Vec<String> = ENTRY_COLUMNS
        .split(", ")
        .map(|column| format!("entry.{column}"))
        .collect();
    columns.join(", ")
}

const NANOSECONDS: i64 = 1_000_000_000;

/// Converts a number for SQLite, which stores signed integers of 64 bits; inode and device numbers are unsigned.
pub(super) fn stored(number: u64) -> i64 {
    number.cast_signed()
}

pub(super) fn loaded(number: i64) -> u64 {
    number.cast_unsigned()
}

/// Nanoseconds since 1970: at most 2^32 * 10^9, which fits in 63 bits.
pub(super) fn stored_time(time: Timestamp) -> i64 {
    i64::from(time.seconds) * NANOSECONDS + i64::from(time.nanoseconds)
}

pub(super) fn stored_device(device: DeviceNumber, file_type: FileType) -> Option<i64> {
    match file_type {
        FileType::Block | FileType::Character => Some(stored(
            u64::from(device.major) << 32 | u64::from(device.minor),
        )),
        _ => None,
    }
}

fn wrong(column: usize, what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, what.into())
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let stored: i64 = row.get(column)?;
    Ok(Timestamp {
        seconds: u32::try_from(stored.div_euclid(NANOSECONDS))
            .map_err(|_| wrong(column, "a time outside the format's range"))?,
        // The remainder of a division by 10^9 fits.
        nanoseconds: stored.rem_euclid(NANOSECONDS) as u32,
    })
}

pub(super) fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<EntryId> {
    row.get(column).map(|id: i64| EntryId::new(loaded(id)))
}

/// Reads an entry from [`ENTRY_COLUMNS`], which must be the first columns. Its attributes must be known.
pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let mode: u16 = row.get(3)?;
    let file_type =
        FileType::from_mode(u32::from(mode)).ok_or_else(|| wrong(3, "not the mode of a file"))?;
    let device = loaded(row.get::<_, Option<i64>>(11)?.unwrap_or(0));
    Ok(Entry {
        id: id(row, 0)?,
        parent: id(row, 1)?,
        name: row.get(2)?,
        attributes: SourceAttributes {
            file_type,
            mode,
            uid: row.get(4)?,
            gid: row.get(5)?,
            size: loaded(row.get(6)?),
            mtime: time(row, 7)?,
            ctime: time(row, 8)?,
            atime: time(row, 9)?,
            inode: loaded(row.get(10)?),
            device: DeviceNumber {
                major: (device >> 32) as u32,
                minor: device as u32,
            },
            losses: Losses::NONE,
        },
    })
}
