//! The settings of a transfer, which cannot be changed on resume, and its milestones.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clfs_format::Compression;
use rusqlite::{Connection, OptionalExtension, params};

use super::{State, StateError, mounts};
use crate::entry::{EntryId, MountBelow, NewEntry};
use crate::identity::Seed;

/// The settings that `--new` records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The seed of all ids.
    pub seed: Seed,
    /// The absolute path of the source folder, without symlinks.
    pub source: PathBuf,
    /// The container, as `ContainerLocation::identity` returns it, without secrets.
    pub container: String,
    /// The compression of objects.
    pub compression: Compression,
    /// Whether the names of one inode share one object.
    pub preserve_hardlinks: bool,
    /// Whether the ACL and the extended attributes of each entry are examined. False if a version that did not
    /// do that started the transfer.
    pub examines: bool,
    /// Mounts below the source when the transfer was started, in the order of their paths.
    pub mounts: Vec<MountBelow>,
    /// The root directory of the source. `name` is the last component of its path.
    pub root: NewEntry,
}

const SEED: &str = "seed";
const SOURCE: &str = "source";
const CONTAINER: &str = "container";
const COMPRESSION: &str = "compression";
const HARDLINKS: &str = "preserve_hardlinks";
const EXAMINES: &str = "examines";
/// The bucket object is in the container, which marks it as this transfer's.
const BEGUN: &str = "begun";
/// Everything except log and root is in the container, and maybe these, too.
const FINISHING: &str = "finishing";
/// The root is in the container, so the transfer is finished.
const FINISHED: &str = "finished";

impl Settings {
    pub(super) fn store(&self, connection: &Connection) -> rusqlite::Result<()> {
        put(connection, SEED, self.seed.as_bytes())?;
        put(connection, SOURCE, self.source.as_os_str().as_bytes())?;
        put(connection, CONTAINER, self.container.as_bytes())?;
        put(
            connection,
            COMPRESSION,
            compression_name(self.compression).as_bytes(),
        )?;
        if self.examines {
            put(connection, EXAMINES, &[1])?;
        }
        for mount in &self.mounts {
            mounts::record_below(connection, mount)?;
        }
        put(connection, HARDLINKS, &[u8::from(self.preserve_hardlinks)])
    }

    pub(super) fn load(connection: &Connection, path: &Path) -> Result<Self, StateError> {
        let failed = |error| StateError::query(path, error);
        let value = |name: &'static str| {
            get(connection, name)
                .map_err(failed)?
                .ok_or_else(|| StateError::corrupt(path, format!("the setting {name} is missing")))
        };
        let wrong = |name| StateError::corrupt(path, format!("the setting {name} cannot be read"));
        let seed = value(SEED)?.try_into().map_err(|_| wrong(SEED))?;
        let compression = match value(COMPRESSION)?.as_slice() {
            b"LZ4" => Compression::Lz4,
            b"DISABLED" => Compression::Disabled,
            _ => return Err(wrong(COMPRESSION)),
        };
        let preserve_hardlinks = match value(HARDLINKS)?.as_slice() {
            [0] => false,
            [1] => true,
            _ => return Err(wrong(HARDLINKS)),
        };
        Ok(Settings {
            seed: Seed::from_bytes(seed),
            source: OsString::from_vec(value(SOURCE)?).into(),
            container: String::from_utf8(value(CONTAINER)?).map_err(|_| wrong(CONTAINER))?,
            compression,
            preserve_hardlinks,
            examines: get(connection, EXAMINES).map_err(failed)?.is_some(),
            mounts: mounts::below(connection).map_err(failed)?,
            root: super::recording::load_root(connection)
                .map_err(failed)?
                .ok_or_else(|| StateError::corrupt(path, "the root entry is missing"))?,
        })
    }
}

/// A digest of the entries that the directories in the container may miss.
const MISSING: &str = "left_out";

pub(super) fn missing_digest(connection: &Connection) -> rusqlite::Result<Option<Vec<u8>>> {
    get(connection, MISSING)
}

pub(super) fn set_missing_digest(connection: &Connection, digest: &[u8]) -> rusqlite::Result<()> {
    put(connection, MISSING, digest)
}

/// The first entry whose mount is known, as decimal digits. Only set by a migration; otherwise, all are known.
const MOUNTS_KNOWN_FROM: &str = "mounts_known_from";
/// The first name with the inode number of another file and other attributes.
const FIRST_UNLIKE: &str = "first_unlike_name";

pub(super) fn mounts_known_from(connection: &Connection) -> rusqlite::Result<EntryId> {
    id(connection, MOUNTS_KNOWN_FROM).map(|id| id.unwrap_or(EntryId::new(0)))
}

pub(super) fn first_unlike(connection: &Connection) -> rusqlite::Result<Option<EntryId>> {
    id(connection, FIRST_UNLIKE)
}

pub(super) fn note_unlike(connection: &Connection, name: EntryId) -> rusqlite::Result<()> {
    match first_unlike(connection)? {
        Some(_) => Ok(()),
        None => put(connection, FIRST_UNLIKE, name.to_string().as_bytes()),
    }
}

fn id(connection: &Connection, name: &str) -> rusqlite::Result<Option<EntryId>> {
    let Some(digits) = get(connection, name)? else {
        return Ok(None);
    };
    let number = std::str::from_utf8(&digits)
        .ok()
        .and_then(|digits| digits.parse().ok());
    let wrong = || {
        let text = format!("the setting {name} is not a number");
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, text.into())
    };
    number.map(EntryId::new).map(Some).ok_or_else(wrong)
}

/// Returns whether the root is in the container.
pub(super) fn is_finished(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(get(connection, FINISHED)?.is_some())
}

/// Returns the name of a compression as a value of the option `--compression`.
pub fn compression_name(compression: Compression) -> &'static str {
    match compression {
        Compression::Lz4 => "LZ4",
        Compression::Disabled => "DISABLED",
    }
}

impl State {
    /// Returns whether the bucket object was uploaded.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn has_bucket_object(&self) -> Result<bool, StateError> {
        self.flag(BEGUN)
    }

    /// Records that the bucket object was uploaded.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn record_bucket_object(&self) -> Result<(), StateError> {
        self.write(|transaction| put(transaction, BEGUN, &[1]))
    }

    /// Returns whether everything except log and root is in the container.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn is_finishing(&self) -> Result<bool, StateError> {
        self.flag(FINISHING)
    }

    /// Records that everything except log and root is in the container.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_finishing(&self) -> Result<(), StateError> {
        self.write(|transaction| put(transaction, FINISHING, &[1]))
    }

    /// Returns whether the transfer is finished.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn is_finished(&self) -> Result<bool, StateError> {
        self.flag(FINISHED)
    }

    /// Records that the transfer is finished.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_finished(&self) -> Result<(), StateError> {
        self.write(|transaction| put(transaction, FINISHED, &[1]))
    }

    fn flag(&self, name: &str) -> Result<bool, StateError> {
        get(&self.lock(), name)
            .map(|value| value.is_some())
            .map_err(|error| StateError::query(&self.folder.database(), error))
    }
}

fn put(connection: &Connection, name: &str, value: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO setting (name, value) VALUES (?1, ?2)")?
        .execute(params![name, value])
        .map(drop)
}

fn get(connection: &Connection, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT value FROM setting WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}
