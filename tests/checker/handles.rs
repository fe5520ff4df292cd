//! The handles of a payload, and a cursor that reads their fields (format.md §5).

use super::Rule;

pub(crate) const DATA: u32 = 2;
pub(crate) const DIRENTS: u32 = 3;
pub(crate) const VATTR: u32 = 4;
pub(crate) const BMAP: u32 = 5;
pub(crate) const INDIR: u32 = 7;
pub(crate) const BACK: u32 = 9;
pub(crate) const DATABACK: u32 = 10;
pub(crate) const EXTATTRS: u32 = 12;
pub(crate) const NAME: u32 = 16;
const KNOWN: [u32; 9] = [
    DATA, DIRENTS, VATTR, BMAP, INDIR, BACK, DATABACK, EXTATTRS, NAME,
];

const MAGIC: u32 = 0x0301_6005;
const HEADER: usize = 20;

/// One handle: its type, and the position of its data in the payload.
#[derive(Clone, Debug)]
pub struct Handle {
    /// The type number.
    pub kind: u32,
    /// The range of the `real` bytes.
    pub data: std::ops::Range<usize>,
}

/// Splits a payload into handles. Stops at the first invalid header.
pub fn parse_handles(payload: &[u8]) -> (Vec<Handle>, Vec<(Rule, String)>) {
    let mut found = Vec::new();
    let mut broken = Vec::new();
    let mut at = 0;
    while at < payload.len() {
        let mut cursor = Cursor::new(&payload[at..]);
        let header = (|| {
            Some([
                cursor.u32()?,
                cursor.u32()?,
                cursor.u32()?,
                cursor.u32()?,
                cursor.u32()?,
            ])
        })();
        let Some([magic, padded, real, kind, zero]) = header else {
            broken.push((Rule::HandleHeader, format!("header at {at} is cut off")));
            break;
        };
        let (padded, real) = (padded as usize, real as usize);
        let fits = padded == (HEADER + real).next_multiple_of(8) && padded <= payload.len() - at;
        if magic != MAGIC || !fits {
            broken.push((
                Rule::HandleHeader,
                format!("at {at}: magic {magic:08x}, padded {padded}, real {real}"),
            ));
            break;
        }
        if zero != 0 {
            broken.push((Rule::HandleHeader, format!("at {at}: last word {zero}")));
        }
        let data = at + HEADER..at + HEADER + real;
        if payload[data.end..at + padded].iter().any(|byte| *byte != 0) {
            broken.push((Rule::HandlePadding, format!("at {}", data.end)));
        }
        if KNOWN.contains(&kind) {
            found.push(Handle { kind, data });
        } else {
            broken.push((Rule::HandleUnknown, format!("type {kind} at {at}")));
        }
        at += padded;
    }
    (found, broken)
}

/// Reads little-endian fields. Returns `None` past the end.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take(2)
            .map(|b| u16::from_le_bytes(b.try_into().unwrap()))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take(4)
            .map(|b| u32::from_le_bytes(b.try_into().unwrap()))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take(8)
            .map(|b| u64::from_le_bytes(b.try_into().unwrap()))
    }

    /// Reads an id or a filehandle: a `u16` length and bytes.
    pub(crate) fn id(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// Reads a name, data, or an attribute's key or value: a `u32` length and bytes.
    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    /// Reads a `u32` count and that many ids.
    pub(crate) fn ids(&mut self) -> Option<Vec<Vec<u8>>> {
        let count = self.u32()?;
        (0..count).map(|_| self.id().map(<[u8]>::to_vec)).collect()
    }

    /// Returns the value if no bytes are left.
    pub(crate) fn end<T>(&self, value: T) -> Option<T> {
        self.is_empty().then_some(value)
    }
}

/// Parses DATA and NAME: a `u32` length and exactly that many bytes.
pub(crate) fn exact_string(data: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(data);
    let bytes = cursor.string()?;
    cursor.end(bytes)
}

/// Parses BACK: filehandles.
pub(crate) fn back(data: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut cursor = Cursor::new(data);
    let handles = cursor.ids()?;
    cursor.end(handles)
}

/// Parses INDIR: block ids of 16 bytes.
pub(crate) fn indirect(data: &[u8]) -> Option<Vec<Vec<u8>>> {
    back(data).filter(|ids| ids.iter().all(|id| id.len() == 16))
}

/// DATABACK.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DataBack {
    pub ctime: u32,
    pub offset: u64,
    pub owner: Vec<u8>,
}

impl DataBack {
    pub(crate) fn parse(data: &[u8]) -> Option<DataBack> {
        let mut cursor = Cursor::new(data);
        let value = DataBack {
            ctime: cursor.u32()?,
            offset: cursor.u64()?,
            owner: cursor.id()?.to_vec(),
        };
        cursor.end(value)
    }
}

/// BMAP.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BlockMap {
    pub first: u32,
    pub other: u32,
    pub direct: Vec<Vec<u8>>,
    pub roots: Vec<Vec<u8>>,
}

impl BlockMap {
    pub(crate) fn parse(data: &[u8]) -> Option<BlockMap> {
        let mut cursor = Cursor::new(data);
        let value = BlockMap {
            first: cursor.u32()?,
            other: cursor.u32()?,
            direct: cursor.ids()?,
            roots: cursor.ids()?,
        };
        let valid = value.roots.len() == 4
            && value.roots.iter().all(|id| id.len() == 16)
            && value.direct.iter().skip(1).all(|id| id.len() == 16);
        cursor.end(value).filter(|_| valid)
    }
}

/// Parses EXTATTRS: pairs of UTF-8 strings, in order.
pub(crate) fn extended_attributes(data: &[u8]) -> Option<Vec<(String, String)>> {
    let mut cursor = Cursor::new(data);
    let count = cursor.u32()?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let mut pairs = Vec::new();
    for _ in 0..count {
        pairs.push((text(cursor.string()?)?, text(cursor.string()?)?));
    }
    cursor.end(pairs)
}
