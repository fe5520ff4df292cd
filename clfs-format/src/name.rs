//! Object names: the names of blobs (format.md §4).

use std::fmt;

use crate::error::{Corrupt, FormatError, Part, Place, Unsupported};
use crate::filehandle::Filehandle;
use crate::hash;
use crate::id::{BlockId, ObjectId, ObjectType, WellKnownId};
use crate::limits::{FIRST_VERSION, NO_SNAPSHOT};

const V1: u64 = 1;
const V2: u64 = 2;
/// Length of the longest id, a filehandle.
const MAX_ID_BYTES: usize = 24;

/// The name of a blob, parsed. [`fmt::Display`] formats it as in format.md §4:
///
/// - V1: `%08X_%s.%011u.%08X.%04u`: fnv1(id), hex(id), version, snapshot, 1;
/// - V2: `%016X_%s.%04u.%016X.%011u.%08X.%04u`: hash64(id), hex(id), object type, owner hash,
///   version, snapshot, 2.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The id of the object.
    pub id: ObjectId,
    /// V1 or V2, with the fields that only V2 has.
    pub kind: NameKind,
    /// The version. Of several blobs of one object, the one with the highest version is valid.
    pub version: u64,
    /// The snapshot number; [`NO_SNAPSHOT`] for an object that belongs to no snapshot.
    pub snapshot: u32,
}

/// The two kinds of object names (format.md §4).
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NameKind {
    /// The kind for the ids 0x63, 0x65, 0x66 and 0x67.
    V1,
    /// The kind for all other ids.
    V2 {
        /// The type of the object.
        object_type: ObjectType,
        /// The [`hash64`](crate::hash64) of the owner's id.
        owner_hash: u64,
    },
}

impl ObjectName {
    /// Returns the name of a new inode. `owner` is its parent directory: of several, the first back
    /// pointer (format.md §6).
    pub fn entity(handle: Filehandle, object_type: ObjectType, owner: Filehandle) -> Self {
        Self::v2(ObjectId::Entity(handle), object_type, owner)
    }

    /// Returns the name of a new segment or indirect block. `owner` is its file or directory.
    pub fn block(id: BlockId, object_type: ObjectType, owner: Filehandle) -> Self {
        Self::v2(ObjectId::Block(id), object_type, owner)
    }

    /// Returns the name of the bucket object.
    pub fn bucket() -> Self {
        Self {
            id: ObjectId::WellKnown(WellKnownId::Bucket),
            kind: NameKind::V1,
            version: FIRST_VERSION,
            snapshot: NO_SNAPSHOT,
        }
    }

    /// Returns the name of the root directory's inode, which is its own owner.
    pub fn root() -> Self {
        Self::entity(Filehandle::ROOT, ObjectType::Directory, Filehandle::ROOT)
    }

    fn v2(id: ObjectId, object_type: ObjectType, owner: Filehandle) -> Self {
        Self {
            id,
            kind: NameKind::V2 {
                object_type,
                owner_hash: owner.hash64(),
            },
            version: FIRST_VERSION,
            snapshot: NO_SNAPSHOT,
        }
    }

    /// Returns the type of the object; [`ObjectType::Special`] for a V1 name.
    pub fn object_type(&self) -> ObjectType {
        match self.kind {
            NameKind::V1 => ObjectType::Special,
            NameKind::V2 { object_type, .. } => object_type,
        }
    }

    /// Parses the name of a blob. `to_string` of the result returns the same bytes.
    ///
    /// # Errors
    /// - [`FormatError::Corrupt`] if the number of fields, their widths or digits (hex is upper
    ///   case), the hash of the id, or the kind of name for the id is wrong.
    /// - [`FormatError::Unsupported`] if the object type is unknown.
    ///
    /// Offsets count bytes of the name.
    pub fn parse(name: impl AsRef<[u8]>) -> Result<Self, FormatError> {
        let name = name.as_ref();
        let mut fields = Fields::new(name)?;
        let hash_and_id = fields.next()?;
        let hash = hash_and_id.slice(0, hash_and_id.find(b'_')?);
        let id_field = hash_and_id.slice(hash.bytes.len() + 1, hash_and_id.bytes.len());
        let id = id_field.id()?;
        if fields.count == 4 {
            Self::parse_v1(hash, id, id_field.place, fields)
        } else {
            Self::parse_v2(hash, id, id_field.place, fields)
        }
    }

    fn parse_v1(
        hash: Field<'_>,
        id: ObjectId,
        id_place: Place,
        mut fields: Fields<'_>,
    ) -> Result<Self, FormatError> {
        if hash.hex(8)? != u64::from(hash::fnv1(id.as_bytes())) {
            return Err(hash.place.corrupt(Corrupt::NameHash));
        }
        if !has_v1_name(&id) {
            return Err(id_place.corrupt(Corrupt::NameVersion));
        }
        let (version, snapshot) = fields.version_and_snapshot(V1)?;
        Ok(Self {
            id,
            kind: NameKind::V1,
            version,
            snapshot,
        })
    }

    fn parse_v2(
        hash: Field<'_>,
        id: ObjectId,
        id_place: Place,
        mut fields: Fields<'_>,
    ) -> Result<Self, FormatError> {
        if hash.hex(16)? != id.hash64() {
            return Err(hash.place.corrupt(Corrupt::NameHash));
        }
        if has_v1_name(&id) {
            return Err(id_place.corrupt(Corrupt::NameVersion));
        }
        let type_field = fields.next()?;
        let code = type_field.decimal(4)?;
        let code = u16::try_from(code).map_err(|_| type_field.corrupt(Corrupt::NameWidth))?;
        let object_type = ObjectType::from_code(code)
            .ok_or_else(|| type_field.place.unsupported(Unsupported::ObjectType(code)))?;
        let owner_hash = fields.next()?.hex(16)?;
        let (version, snapshot) = fields.version_and_snapshot(V2)?;
        Ok(Self {
            id,
            kind: NameKind::V2 {
                object_type,
                owner_hash,
            },
            version,
            snapshot,
        })
    }
}

fn has_v1_name(id: &ObjectId) -> bool {
    matches!(id, ObjectId::WellKnown(known) if known.has_v1_name())
}

impl fmt::Display for ObjectName {
    /// Formats the name of the blob.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            version,
            snapshot,
            ..
        } = self;
        match self.kind {
            NameKind::V1 => {
                let hash = hash::fnv1(id.as_bytes());
                write!(f, "{hash:08X}_{id}.{version:011}.{snapshot:08X}.{V1:04}")
            }
            NameKind::V2 {
                object_type,
                owner_hash,
            } => {
                let (hash, code) = (id.hash64(), object_type.code());
                write!(
                    f,
                    "{hash:016X}_{id}.{code:04}.{owner_hash:016X}.{version:011}.{snapshot:08X}.{V2:04}"
                )
            }
        }
    }
}

/// The dot-separated fields of a name, read in sequence.
struct Fields<'a> {
    rest: Option<Field<'a>>,
    count: usize,
}

impl<'a> Fields<'a> {
    /// Fails unless the name has 4 fields (V1) or 6 (V2).
    fn new(name: &'a [u8]) -> Result<Self, FormatError> {
        let place = Place::new(Part::ObjectName, 0);
        let count = name.iter().filter(|byte| **byte == b'.').count() + 1;
        if count != 4 && count != 6 {
            return Err(place.corrupt(Corrupt::NameFields));
        }
        let rest = Some(Field { bytes: name, place });
        Ok(Self { rest, count })
    }

    fn next(&mut self) -> Result<Field<'a>, FormatError> {
        let Some(rest) = self.rest.take() else {
            return Err(Place::new(Part::ObjectName, 0).corrupt(Corrupt::NameFields));
        };
        let Ok(dot) = rest.find(b'.') else {
            return Ok(rest);
        };
        self.rest = Some(rest.slice(dot + 1, rest.bytes.len()));
        Ok(rest.slice(0, dot))
    }

    /// Parses the last three fields, which both kinds have.
    fn version_and_snapshot(&mut self, kind: u64) -> Result<(u64, u32), FormatError> {
        let version = self.next()?.decimal(11)?;
        let snapshot_field = self.next()?;
        let snapshot = u32::try_from(snapshot_field.hex(8)?)
            .map_err(|_| snapshot_field.corrupt(Corrupt::NameWidth))?;
        let kind_field = self.next()?;
        if kind_field.decimal(4)? != kind {
            return Err(kind_field.corrupt(Corrupt::NameVersion));
        }
        Ok((version, snapshot))
    }
}

#[derive(Copy, Clone)]
struct Field<'a> {
    bytes: &'a [u8],
    place: Place,
}

impl<'a> Field<'a> {
    fn corrupt(&self, kind: Corrupt) -> FormatError {
        self.place.corrupt(kind)
    }

    fn find(&self, separator: u8) -> Result<usize, FormatError> {
        let position = self.bytes.iter().position(|byte| *byte == separator);
        position.ok_or_else(|| self.corrupt(Corrupt::NameFields))
    }

    fn slice(&self, from: usize, to: usize) -> Self {
        Self {
            bytes: self.bytes.get(from..to).unwrap_or_default(),
            place: Place {
                offset: self.place.offset + from as u64,
                ..self.place
            },
        }
    }

    /// Parses exactly `width` upper-case hex digits; `width` is at most 16.
    fn hex(&self, width: usize) -> Result<u64, FormatError> {
        if self.bytes.len() != width {
            return Err(self.corrupt(Corrupt::NameWidth));
        }
        self.bytes.iter().try_fold(0, |value: u64, byte| {
            Ok(value << 4 | u64::from(self.hex_digit(*byte)?))
        })
    }

    fn hex_digit(&self, byte: u8) -> Result<u8, FormatError> {
        match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'A'..=b'F' => Ok(byte - b'A' + 10),
            _ => Err(self.corrupt(Corrupt::NameDigit)),
        }
    }

    /// Parses `width` decimal digits, or more if the first is not zero (as printf's `%0*u` writes).
    fn decimal(&self, width: usize) -> Result<u64, FormatError> {
        let leading_zero = self.bytes.first() == Some(&b'0');
        if self.bytes.len() < width || (self.bytes.len() > width && leading_zero) {
            return Err(self.corrupt(Corrupt::NameWidth));
        }
        self.bytes.iter().try_fold(0, |value: u64, byte| {
            if !byte.is_ascii_digit() {
                return Err(self.corrupt(Corrupt::NameDigit));
            }
            value
                .checked_mul(10)
                .and_then(|value| value.checked_add(u64::from(byte - b'0')))
                .ok_or_else(|| self.corrupt(Corrupt::NameWidth))
        })
    }

    fn id(&self) -> Result<ObjectId, FormatError> {
        let (pairs, []) = self.bytes.as_chunks::<2>() else {
            return Err(self.corrupt(Corrupt::NameWidth));
        };
        let mut bytes = [0; MAX_ID_BYTES];
        let Some(id) = bytes.get_mut(..pairs.len()) else {
            return Err(self.corrupt(Corrupt::NameWidth));
        };
        for (byte, [high, low]) in id.iter_mut().zip(pairs) {
            *byte = self.hex_digit(*high)? << 4 | self.hex_digit(*low)?;
        }
        ObjectId::from_bytes(id).map_err(|error| match error {
            FormatError::Corrupt { kind, .. } => self.corrupt(kind),
            other => other,
        })
    }
}
