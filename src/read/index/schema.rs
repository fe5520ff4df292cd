//! The tables of an index, and the layout of keys and rows.

use clfs_format::{NameKind, ObjectId, ObjectName, ObjectType};
use rusqlite::{Connection, Row, params};

use super::{IndexError, Listed, Offline};
use crate::container::{Availability, Stamp};

/// `PRAGMA application_id`: "CLFI" in ASCII.
const APPLICATION_ID: i64 = 0x434c_4649;
/// `PRAGMA user_version`.
const VERSION: i64 = 2;
/// Snapshot number of an object that does not belong to a snapshot (format.md §4).
pub(super) const NO_SNAPSHOT: u32 = u32::MAX;
const HASH_BYTES: usize = 8;

/// - `object`: the current name of each object; the name of its blob is computed from the row. The key
///   is hash64 (big-endian) and the id, the order in which a container lists its blobs, so that
///   building the index appends. `offline` is 0, 1 (archived) or 2 (being rehydrated).
/// - `aside`: blobs that are not current objects, with the reason.
const TABLES: &str = "
CREATE TABLE about (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE object (
    key BLOB PRIMARY KEY,
    type INTEGER NOT NULL,
    owner INTEGER NOT NULL,
    version INTEGER NOT NULL,
    size INTEGER NOT NULL,
    offline INTEGER NOT NULL,
    stamp INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE aside (
    id INTEGER PRIMARY KEY,
    reason INTEGER NOT NULL,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    detail TEXT NOT NULL
) STRICT;
";

pub(super) fn create(connection: &Connection, container: &str) -> Result<(), IndexError> {
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.execute_batch(TABLES)?;
    connection.execute(
        "INSERT INTO about VALUES ('container', ?1)",
        params![container],
    )?;
    Ok(())
}

/// Stores the number of offline objects: counting them later would read the complete index.
pub(super) fn set_offline(connection: &Connection, offline: Offline) -> Result<(), IndexError> {
    let mut insert = connection.prepare("INSERT INTO about VALUES (?1, ?2)")?;
    insert.execute(params!["archived", offline.archived.to_string()])?;
    insert.execute(params!["rehydrating", offline.rehydrating.to_string()])?;
    Ok(())
}

pub(super) fn offline(connection: &Connection) -> Result<Offline, IndexError> {
    let number = |name: &str| {
        let value: String = connection.query_row(
            "SELECT value FROM about WHERE name = ?1",
            params![name],
            |row| row.get(0),
        )?;
        value.parse().map_err(|_| IndexError::Row)
    };
    Ok(Offline {
        archived: number("archived")?,
        rehydrating: number("rehydrating")?,
    })
}

pub(super) fn offline_code(availability: Availability) -> u8 {
    match availability {
        Availability::Online => 0,
        Availability::Archived => 1,
        Availability::Rehydrating => 2,
    }
}

/// Refuses a database that is not an index, and an index of another version or another container.
pub(super) fn check(connection: &Connection, container: &str) -> Result<(), IndexError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if pragma("application_id")? != APPLICATION_ID {
        return Err(IndexError::NotAnIndex);
    }
    let version = pragma("user_version")?;
    if version != VERSION {
        return Err(IndexError::Version(version));
    }
    let of: String = connection.query_row(
        "SELECT value FROM about WHERE name = 'container'",
        [],
        |row| row.get(0),
    )?;
    if of != container {
        return Err(IndexError::OtherContainer(of));
    }
    Ok(())
}

/// The key of an object: its hash64 (big-endian) and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    bytes: [u8; HASH_BYTES + 24],
    length: u8,
}

impl ObjectKey {
    /// Returns the key of `id`.
    pub fn new(id: &ObjectId) -> Self {
        let id_bytes = id.as_bytes();
        let mut bytes = [0; HASH_BYTES + 24];
        let (hash, rest) = bytes.split_at_mut(HASH_BYTES);
        hash.copy_from_slice(&id.hash64().to_be_bytes());
        // An id has 16 or 24 bytes (format.md §1).
        for (to, from) in rest.iter_mut().zip(id_bytes) {
            *to = *from;
        }
        let length = HASH_BYTES + id_bytes.len().min(24);
        Self {
            bytes,
            length: length as u8,
        }
    }

    /// Returns the 24 or 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or(&self.bytes)
    }

    /// Returns the id of a stored key.
    ///
    /// # Errors
    /// If the bytes are not a key.
    pub fn id(bytes: &[u8]) -> Result<ObjectId, IndexError> {
        let id = bytes.get(HASH_BYTES..).ok_or(IndexError::Row)?;
        ObjectId::from_bytes(id).map_err(|_| IndexError::Row)
    }
}

/// Decodes a row with `key, type, owner, version, size, offline, stamp`.
pub(super) fn listed(row: &Row<'_>) -> Result<Listed, IndexError> {
    let key = row.get_ref(0)?.as_blob().map_err(|_| IndexError::Row)?;
    let id = ObjectKey::id(key)?;
    let code: u16 = row.get(1)?;
    let object_type = ObjectType::from_code(code).ok_or(IndexError::Row)?;
    let owner: i64 = row.get(2)?;
    let known = matches!(id, ObjectId::WellKnown(known) if known.has_v1_name());
    let kind = match known {
        true => NameKind::V1,
        false => NameKind::V2 {
            object_type,
            owner_hash: owner as u64,
        },
    };
    Ok(Listed {
        name: ObjectName {
            id,
            kind,
            version: row.get::<_, i64>(3)? as u64,
            snapshot: NO_SNAPSHOT,
        },
        size: row.get::<_, i64>(4)? as u64,
        availability: match row.get::<_, u8>(5)? {
            0 => Availability::Online,
            1 => Availability::Archived,
            2 => Availability::Rehydrating,
            _ => return Err(IndexError::Row),
        },
        stamp: stamp(row, 6)?,
    })
}

fn stamp(row: &Row<'_>, column: usize) -> Result<Option<Stamp>, IndexError> {
    let bits: Option<i64> = row.get(column)?;
    Ok(bits.map(|bits| Stamp::from_bits(bits as u64)))
}

/// Returns type and owner hash as they are stored.
pub(super) fn type_and_owner(name: &ObjectName) -> (u8, i64) {
    match name.kind {
        NameKind::V1 => (ObjectType::Special.code(), 0),
        NameKind::V2 {
            object_type,
            owner_hash,
        } => (object_type.code(), owner_hash as i64),
    }
}
