//! A small container, and its mutation by an input of bytes.

use std::collections::BTreeMap;

use clfs_format::{FileType, ObjectName};

use super::synthetic::Builder;

pub(crate) type Blobs = BTreeMap<String, Vec<u8>>;

/// The bytes of one mutation.
const STEP: usize = 6;
/// The maximum number of mutations of one input. More would only hide each other.
const STEPS: usize = 32;
/// A wrapper without encryption and compression.
const PLAIN: [u8; 4] = [0; 4];

/// Returns a container with one small object of each kind: a directory with an indirect block, links, a symlink,
/// special files, nested directories. Blobs are uncompressed, so that a changed byte is a changed field.
pub(crate) fn base() -> Blobs {
    let mut build = Builder::new();
    let mut root = build.root();
    let mut a = build.directory(&mut root, "a");
    let mut b = build.directory(&mut a, "b");
    let mut thin = build.directory(&mut root, "thin");
    let linked = build.handle(a.handle, FileType::Regular);
    a.add("linked", linked);
    b.add("linked-2", linked).add("linked-3", linked);
    build.entity(linked, &[a.handle, b.handle, b.handle], "linked", b"text");
    for (name, file_type, content) in [
        ("small", FileType::Regular, &b"small text"[..]),
        ("two", FileType::Regular, &[7; 20_000]),
        ("symlink", FileType::Symlink, b"../a"),
        ("fifo", FileType::Fifo, b""),
        ("block", FileType::Block, b""),
    ] {
        let handle = build.handle(b.handle, file_type);
        b.add(name, handle);
        build.entity(handle, &[b.handle], name, content);
    }
    for number in 0..4 {
        let handle = build.handle(thin.handle, FileType::Socket);
        thin.add(format!("{number}"), handle);
        build.entity(handle, &[thin.handle], &format!("{number}"), b"");
    }
    for directory in [&root, &a, &b] {
        build.finish_directory(directory);
    }
    build.finish_directory_one_entry_per_segment(&thin);
    build.finish_bucket();
    let plain = |blob: Vec<u8>| match clfs_format::unwrap(&blob, 1 << 20) {
        Ok(payload) => [&PLAIN[..], &payload].concat(),
        Err(_) => blob,
    };
    build
        .blobs
        .into_iter()
        .map(|(name, blob)| (name, plain(blob)))
        .collect()
}

/// Applies an input: six bytes per mutation.
pub(crate) fn mutate(base: &Blobs, input: &[u8]) -> Blobs {
    let mut blobs = base.clone();
    for step in input.chunks_exact(STEP).take(STEPS) {
        let [what, which, at_low, at_high, value, other] = *step else {
            continue;
        };
        let at = usize::from(u16::from_le_bytes([at_low, at_high]));
        let Some(name) = nth(&blobs, which) else {
            continue;
        };
        match what % 10 {
            0 => change(&mut blobs, &name, |blob| {
                if let Some(byte) = index(blob, at) {
                    blob[byte] ^= value.max(1);
                }
            }),
            1 => change(&mut blobs, &name, |blob| {
                let value = u32::from_le_bytes([value, other, value, other]).to_le_bytes();
                let from = at / 4 * 4 % blob.len().max(1);
                for (to, byte) in blob.iter_mut().skip(from).zip(value) {
                    *to = byte;
                }
            }),
            2 => change(&mut blobs, &name, |blob| {
                blob.truncate(at % (blob.len() + 1))
            }),
            3 => change(&mut blobs, &name, |blob| {
                blob.extend(vec![value; at % 4096])
            }),
            4 => drop(blobs.remove(&name)),
            5 => {
                if let Some(from) = nth(&blobs, other) {
                    let content = blobs[&from].clone();
                    blobs.insert(name, content);
                }
            }
            6 => rename(&mut blobs, &name, at, value),
            7 => next_version(&mut blobs, &name, other),
            8 => exchange(&mut blobs, &name, at, other),
            _ => compress(&mut blobs, &name),
        }
    }
    blobs
}

fn nth(blobs: &Blobs, number: u8) -> Option<String> {
    let number = usize::from(number) % blobs.len().max(1);
    blobs.keys().nth(number).cloned()
}

fn index(bytes: &[u8], at: usize) -> Option<usize> {
    at.checked_rem(bytes.len())
}

fn change(blobs: &mut Blobs, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    if let Some(blob) = blobs.get_mut(name) {
        change(blob);
    }
}

/// Changes a character of a blob's name.
fn rename(blobs: &mut Blobs, name: &str, at: usize, value: u8) {
    let mut changed = name.as_bytes().to_vec();
    if let Some(at) = index(&changed, at) {
        changed[at] = b"0123456789ABCDEF._xZ"[usize::from(value) % 20];
    }
    if let (Ok(changed), Some(blob)) = (String::from_utf8(changed), blobs.remove(name)) {
        blobs.insert(changed, blob);
    }
}

/// Adds a newer version of an object with the content of another.
fn next_version(blobs: &mut Blobs, name: &str, other: u8) {
    let Ok(parsed) = ObjectName::parse(name) else {
        return;
    };
    let newer = ObjectName {
        version: parsed.version + 1,
        ..parsed
    };
    if let Some(from) = nth(blobs, other) {
        let content = blobs[&from].clone();
        blobs.insert(newer.to_string(), content);
    }
}

/// Replaces an id with that of another object. Causes cycles, duplicate names and wrong owners.
fn exchange(blobs: &mut Blobs, name: &str, at: usize, other: u8) {
    let ids: Vec<Vec<u8>> = blobs
        .keys()
        .filter_map(|name| ObjectName::parse(name).ok())
        .map(|name| name.id.as_bytes().to_vec())
        .collect();
    change(blobs, name, |blob| {
        let places: Vec<(usize, usize)> = ids
            .iter()
            .flat_map(|id| {
                let windows = blob.windows(id.len()).enumerate();
                let found = windows.filter(|(_, bytes)| bytes == id);
                found.map(|(at, _)| (at, id.len())).collect::<Vec<_>>()
            })
            .collect();
        let Some(&(from, length)) = index_of(&places, at) else {
            return;
        };
        let fitting: Vec<&Vec<u8>> = ids.iter().filter(|id| id.len() == length).collect();
        if let Some(id) = index_of(&fitting, usize::from(other)) {
            blob[from..from + length].copy_from_slice(id);
        }
    });
}

fn index_of<T>(list: &[T], at: usize) -> Option<&T> {
    list.get(at.checked_rem(list.len())?)
}

/// Compresses the payload into an LZ4 frame.
fn compress(blobs: &mut Blobs, name: &str) {
    change(blobs, name, |blob| {
        let Some(payload) = blob.strip_prefix(&PLAIN[..]) else {
            return;
        };
        let mut framed = vec![0, 0, 1, 0];
        let mut encoder = lz4_flex::frame::FrameEncoder::new(&mut framed);
        let written = std::io::Write::write_all(&mut encoder, payload).is_ok();
        if written && encoder.finish().is_ok() {
            *blob = framed;
        }
    });
}
