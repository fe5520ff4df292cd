//! Changes single fields of a finished container.

use std::collections::HashMap;
use std::ops::Range;

use clfsload_checker::{Name, hash64, hex, parse_handles, unwrap_blob};

/// A container to damage. Its objects are identified by id.
#[derive(Clone)]
pub(crate) struct Container {
    pub(crate) blobs: HashMap<String, Vec<u8>>,
}

/// The handles of a payload: type and data.
pub(crate) type Handles = Vec<(u32, Vec<u8>)>;

impl Container {
    /// Returns the blob of an object.
    pub(crate) fn blob_name(&self, id: &[u8]) -> String {
        let id = format!("_{}.", hex(id));
        let found = self.blobs.keys().find(|name| name.contains(&id));
        found.unwrap_or_else(|| panic!("no object {id}")).clone()
    }

    pub(crate) fn remove(&mut self, id: &[u8]) -> Vec<u8> {
        let name = self.blob_name(id);
        self.blobs.remove(&name).unwrap()
    }

    /// Renames the blob of an object.
    pub(crate) fn rename(&mut self, id: &[u8], change: impl Fn(&str) -> String) {
        let name = self.blob_name(id);
        let blob = self.blobs.remove(&name).unwrap();
        let changed = change(&name);
        assert_ne!(name, changed);
        self.blobs.insert(changed, blob);
    }

    /// Changes the bytes of a blob, including the wrapper.
    pub(crate) fn raw(&mut self, id: &[u8], change: impl Fn(&mut Vec<u8>)) {
        let name = self.blob_name(id);
        change(self.blobs.get_mut(&name).unwrap());
    }

    pub(crate) fn payload(&self, id: &[u8]) -> Vec<u8> {
        let (payload, broken) = unwrap_blob(&self.blobs[&self.blob_name(id)]);
        assert!(broken.is_empty());
        payload.unwrap()
    }

    /// Changes the payload and stores it uncompressed.
    pub(crate) fn payload_mut(&mut self, id: &[u8], change: impl Fn(&mut Vec<u8>)) {
        let mut payload = self.payload(id);
        let before = payload.clone();
        change(&mut payload);
        assert_ne!(before, payload, "the damage changes nothing");
        self.raw(id, |blob| {
            *blob = vec![0; 4];
            blob.extend_from_slice(&payload);
        });
    }

    /// Changes the list of handles.
    pub(crate) fn handles(&mut self, id: &[u8], change: impl Fn(&mut Handles)) {
        self.payload_mut(id, |payload| {
            let (found, broken) = parse_handles(payload);
            assert!(broken.is_empty());
            let mut handles = found
                .iter()
                .map(|handle| (handle.kind, payload[handle.data.clone()].to_vec()))
                .collect();
            change(&mut handles);
            *payload = handles
                .iter()
                .flat_map(|(kind, data)| handle(*kind, data))
                .collect();
        });
    }

    /// Changes the data of the first handle of a type.
    pub(crate) fn data(&mut self, id: &[u8], kind: u32, change: impl Fn(&mut Vec<u8>)) {
        self.handles(id, |handles| {
            let found = handles.iter_mut().find(|(found, _)| *found == kind);
            change(&mut found.unwrap().1);
        });
    }

    /// Overwrites bytes of the VATTR, counted from its start with the length word.
    pub(crate) fn attribute(&mut self, id: &[u8], at: Range<usize>, value: u64) {
        self.data(id, 4, |data| {
            let length = at.len();
            data[at.clone()].copy_from_slice(&value.to_le_bytes()[..length]);
        });
    }

    /// Changes the id of an object in names, owners and references.
    pub(crate) fn change_id(&mut self, from: &[u8], to: &[u8]) {
        assert_eq!(from.len(), to.len());
        for (name, mut blob) in std::mem::take(&mut self.blobs) {
            let Ok(parsed) = Name::parse(&name) else {
                self.blobs.insert(name, blob);
                continue;
            };
            let payload = unwrap_blob(&blob).0.unwrap();
            if let Some(changed) = replaced(&payload, from, to) {
                blob = vec![0; 4];
                blob.extend_from_slice(&changed);
            }
            let name = match parsed.v2 {
                Some((btype, owner)) => {
                    let own = parsed.id == from;
                    let id = if own { to } else { &parsed.id };
                    let owner = if owner == hash64(from) {
                        hash64(to)
                    } else {
                        owner
                    };
                    v2_name(id, btype, owner)
                }
                None => name,
            };
            self.blobs.insert(name, blob);
        }
    }
}

/// Returns an object name of version 9.
pub(crate) fn v2_name(id: &[u8], btype: u16, owner: u64) -> String {
    format!(
        "{:016X}_{}.{btype:04}.{owner:016X}.00000000009.FFFFFFFF.0002",
        hash64(id),
        hex(id)
    )
}

/// Returns the bytes of one handle in a payload.
pub(crate) fn handle(kind: u32, data: &[u8]) -> Vec<u8> {
    let padded = (20 + data.len()).next_multiple_of(8);
    let mut bytes = Vec::with_capacity(padded);
    for word in [0x0301_6005, padded as u32, data.len() as u32, kind, 0] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(data);
    bytes.resize(padded, 0);
    bytes
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let mut changed: Option<Vec<u8>> = None;
    for at in occurrences(bytes, from) {
        changed.get_or_insert_with(|| bytes.to_vec())[at..at + to.len()].copy_from_slice(to);
    }
    changed
}

fn occurrences<'b>(bytes: &'b [u8], from: &'b [u8]) -> impl Iterator<Item = usize> + 'b {
    let starts = bytes
        .iter()
        .enumerate()
        .filter(move |(_, byte)| **byte == from[0]);
    starts
        .map(|(at, _)| at)
        .filter(move |at| bytes[*at..].starts_with(from))
}

/// Returns the bytes of one directory entry.
pub(crate) fn entry(name: &[u8], handle: &[u8]) -> Vec<u8> {
    let mut bytes = (name.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&(handle.len() as u16).to_le_bytes());
    bytes.extend_from_slice(handle);
    bytes
}
