//! Bits that no rule of the format covers. A change to them is not detectable, since the format has no checksums.
//! docs/verify.md lists them.

use std::ops::Range;

use clfsload_checker::parse_handles;

const DATA: u32 = 2;
const VATTR: u32 = 4;
const EXTATTRS: u32 = 12;
const NAME: u32 = 16;

/// Fields of the attributes, as offsets from the length word before them.
const MODE: Range<usize> = 4..6;
const OWNER: Range<usize> = 12..20;
const MTIME: Range<usize> = 36..44;
const CTIME_SECONDS: Range<usize> = 44..48;
const CTIME_NANOSECONDS: Range<usize> = 48..52;
const ATIME: Range<usize> = 52..60;
const FILE_ID: Range<usize> = 76..84;
const DEVICE: Range<usize> = 84..92;

/// Properties of the object whose bits are flipped.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Nature {
    /// Its ctime is also stored in segments.
    pub(crate) segments: bool,
    /// It is a block or character device.
    pub(crate) device: bool,
    /// It is the root, whose name is not stored elsewhere.
    pub(crate) root: bool,
}

/// Returns whether the change of a payload may remain undetected.
pub(crate) fn may_remain_undetected(before: &[u8], after: &[u8], nature: Nature) -> bool {
    let pairs = before.iter().zip(after).enumerate();
    let mut changed = pairs.filter(|(_, (before, after))| before != after);
    before.len() == after.len()
        && changed.all(|(at, (one, other))| is_free(before, at, one ^ other, nature))
}

fn is_free(payload: &[u8], at: usize, bits: u8, nature: Nature) -> bool {
    let (handles, _) = parse_handles(payload);
    let Some(handle) = handles.iter().find(|handle| handle.data.contains(&at)) else {
        return false;
    };
    let within = at - handle.data.start;
    match handle.kind {
        // Content after the length is not checked.
        DATA => within >= 4,
        VATTR => is_free_attribute(within, bits, nature),
        NAME => nature.root && within >= 4,
        EXTATTRS => is_uuid(&payload[handle.data.clone()], within),
        _ => false,
    }
}

fn is_free_attribute(at: usize, bits: u8, nature: Nature) -> bool {
    match at {
        // The permissions. The upper four bits are the type.
        at if at == MODE.start => true,
        at if MODE.contains(&at) => bits & 0xf0 == 0,
        at if CTIME_SECONDS.contains(&at) => !nature.segments,
        at if DEVICE.contains(&at) => nature.device,
        at => [OWNER, MTIME, CTIME_NANOSECONDS, ATIME, FILE_ID]
            .iter()
            .any(|field| field.contains(&at)),
    }
}

/// Returns whether a byte belongs to a UUID: 36 bytes after their length.
fn is_uuid(attributes: &[u8], at: usize) -> bool {
    let starts = attributes.windows(4).enumerate();
    let mut uuids = starts.filter(|(_, length)| *length == 36u32.to_le_bytes());
    uuids.any(|(start, _)| (start + 4..start + 40).contains(&at))
}
