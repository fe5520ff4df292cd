//! Filehandles (format.md §2).

use super::name::fnv1;
use super::{Kind, Rule};

/// The root directory's filehandle.
pub(crate) const ROOT: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x64];
const LENGTH: usize = 24;
const DIRECTORY_MANAGERS: u8 = 48;
const FIRST_SEQUENCE: u64 = 1000;

/// Returns the kind in a filehandle, or `None` if the bytes are not a filehandle.
pub(crate) fn kind_of(handle: &[u8]) -> Option<Kind> {
    if handle == ROOT {
        return Some(Kind::Directory);
    }
    (handle.len() == LENGTH).then(|| Kind::from_ftype(handle[6]))?
}

/// Returns the directory manager of an entity; 0 for the root.
pub(crate) fn directory_manager(handle: &[u8]) -> u8 {
    if handle.len() == LENGTH { handle[5] } else { 0 }
}

/// Returns the sequence number; `None` for the root.
pub(crate) fn sequence(handle: &[u8]) -> Option<u64> {
    (handle.len() == LENGTH).then(|| u64::from_le_bytes(handle[8..16].try_into().unwrap()))
}

/// Checks the rules that depend only on the handle.
pub(crate) fn check(handle: &[u8], broken: &mut Vec<(Rule, String)>) {
    let Some(sequence) = sequence(handle) else {
        return;
    };
    let mut must = |holds: bool, rule: Rule, text: &str| {
        if !holds {
            broken.push((rule, format!("{text}: {}", super::hex(handle))));
        }
    };
    must(
        handle[0] & 0x1f == 0x11 && handle[7] == 0 && kind_of(handle).is_some(),
        Rule::FilehandleLayout,
        "version, local, byte 7 or ftype",
    );
    let within = match kind_of(handle) {
        Some(Kind::Directory) => handle[5] < DIRECTORY_MANAGERS,
        _ => handle[5] == handle[4],
    };
    must(
        within && handle[4] < DIRECTORY_MANAGERS,
        Rule::FilehandleDirectoryManager,
        "directory managers",
    );
    must(
        sequence >= FIRST_SEQUENCE,
        Rule::FilehandleSequence,
        "sequence below 1000",
    );
    must(handle[16..] != [0; 8], Rule::FilehandleRandom, "random 0");
    must(fnv1(handle) != 0, Rule::FilehandleHash, "fnv1 is 0");
}

/// Returns bytes 0..4 of all filehandles of a container.
pub(crate) fn container_bits(container_id: u64) -> [u8; 4] {
    (((container_id as u32 & 0x07ff_ffff) << 5) | 0x11).to_le_bytes()
}
