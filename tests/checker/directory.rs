//! Directories and the root (format.md §6).

use std::collections::HashSet;

use super::bucket::is_uuid;
use super::filehandle::{ROOT, kind_of};
use super::handles::{
    Cursor, DATA, DATABACK, DIRENTS, EXTATTRS, exact_string, extended_attributes,
};
use super::inode::{Inode, other_segment};
use super::walk::{Naming, Visit, Walk};
use super::{Kind, Rule};

const FIRST_SEGMENT: usize = 16384;

type Entry = (Vec<u8>, Vec<u8>);

/// Returns the entries of a segment up to the first malformed one, and whether all were well-formed.
fn entries(segment: &[u8]) -> (Vec<Entry>, bool) {
    let mut cursor = Cursor::new(segment);
    let mut found = Vec::new();
    while !cursor.is_empty() {
        let mut entry = || Some((cursor.string()?.to_vec(), cursor.id()?.to_vec()));
        match entry() {
            Some(entry) => found.push(entry),
            None => return (found, false),
        }
    }
    (found, true)
}

impl Walk<'_> {
    /// Checks one directory, and queues its subdirectories and records its other entries.
    pub(crate) fn directory(&mut self, visit: &Visit) {
        let Some(inode) = self.inode(&visit.handle, &visit.from) else {
            return;
        };
        self.check_owner(&inode, &visit.parent);
        let blob = inode.object.blob.clone();
        let root = visit.handle == ROOT;
        if root {
            self.root_attributes(&inode);
            // The name is empty if the source is `/`, which has no last component.
            if inode.name.iter().any(|b| matches!(b, 0 | b'/')) {
                self.add(Rule::EntityName, &blob, "NUL or / in the root's name");
            }
        } else if inode.name != visit.name {
            let text = format!("{:?}, the entry has {:?}", inode.name, visit.name);
            self.add(Rule::EntityName, &blob, text);
        }
        self.out.tree.insert(visit.path.clone(), inode.node());

        let (all, size) = self.directory_entries(&inode);
        if inode.attributes.size != size {
            let text = format!("size {}, the segments need {size}", inode.attributes.size);
            self.add(Rule::AttributeSize, &blob, text);
        }
        let dots = [
            (b".".to_vec(), visit.handle.clone()),
            (b"..".to_vec(), visit.parent.clone()),
        ];
        if !all.starts_with(&dots) {
            self.add(Rule::DirectoryDots, &blob, "first two entries");
        }
        let children = &all[all.len().min(2)..];
        let links = 2 + children
            .iter()
            .filter(|(_, handle)| kind_of(handle) == Some(Kind::Directory))
            .count();
        if inode.attributes.nlink as usize != links {
            let text = format!("nlink {}, not {links}", inode.attributes.nlink);
            self.add(Rule::AttributeLinks, &blob, text);
        }
        let mut seen = HashSet::new();
        for (name, handle) in children {
            if !seen.insert(name) {
                let text = String::from_utf8_lossy(name).into_owned();
                self.add(Rule::DirectoryDuplicate, &blob, text);
                continue;
            }
            self.entry(visit, &blob, name, handle);
        }
    }

    fn entry(&mut self, visit: &Visit, blob: &str, name: &[u8], handle: &[u8]) {
        if matches!(name, b"" | b"." | b"..") || name.iter().any(|b| matches!(b, 0 | b'/')) {
            self.add(Rule::DirectoryEntryName, blob, format!("{name:?}"));
            return;
        }
        let mut path = visit.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        match kind_of(handle) {
            None => {
                let text = format!("filehandle {}", super::hex(handle));
                self.add(Rule::DirectoryEntry, blob, text);
            }
            Some(Kind::Directory) => {
                if !self.directories.insert(handle.to_vec()) {
                    let text = format!("{} is named again", super::hex(handle));
                    self.add(Rule::DirectoryTwice, blob, text);
                    return;
                }
                self.queue.push(Visit {
                    handle: handle.to_vec(),
                    parent: visit.handle.clone(),
                    name: name.to_vec(),
                    path,
                    from: blob.to_owned(),
                });
            }
            Some(_) => self.named.entry(handle.to_vec()).or_default().push(Naming {
                parent: visit.handle.clone(),
                name: name.to_vec(),
                path,
                from: blob.to_owned(),
            }),
        }
    }

    /// Returns all entries in order, and the expected size of the directory.
    fn directory_entries(&mut self, inode: &Inode) -> (Vec<Entry>, u64) {
        let blob = inode.object.blob.clone();
        let first = inode.object.handle(DIRENTS).unwrap_or_default();
        let mut size = 4 + first.len() as u64;
        if first.len() > FIRST_SEGMENT {
            let text = format!("first segment of {} bytes", first.len());
            self.add(Rule::SegmentSize, &blob, text);
        }
        let mut all = self.segment_entries(&blob, first);
        for (at, id) in self.blocks(inode).iter().enumerate() {
            let handles = [DIRENTS, DATA, DATABACK];
            let Some(object) = self.open_segment(inode, id, at + 1, &handles) else {
                continue;
            };
            if object.handle(DATA).and_then(exact_string) != Some(b"") {
                self.add(Rule::HandleContent, &object.blob, "DATA is not empty");
            }
            let segment = object.handle(DIRENTS).unwrap_or_default();
            let length = segment.len();
            if length == 0 || length > other_segment(Kind::Directory) as usize {
                self.add(Rule::SegmentSize, &object.blob, format!("{length} bytes"));
            }
            size += 4 + length as u64;
            all.extend(self.segment_entries(&object.blob, segment));
        }
        (all, size)
    }

    fn segment_entries(&mut self, blob: &str, segment: &[u8]) -> Vec<Entry> {
        let (found, complete) = entries(segment);
        if !complete {
            let text = format!("entry {} of the segment is cut off", found.len());
            self.add(Rule::DirectoryEntry, blob, text);
        }
        found
    }

    fn root_attributes(&mut self, inode: &Inode) {
        let pairs = inode.object.handle(EXTATTRS).and_then(extended_attributes);
        let pairs = pairs.unwrap_or_default();
        let right = match pairs.as_slice() {
            [(epoch, two), (mass, mass_uuid), (wipe, wipe_uuid)] => {
                (epoch.as_str(), two.as_str()) == ("containeridEpoch", "2")
                    && (mass == "massUUID" && is_uuid(mass_uuid))
                    && (wipe == "wipeEpoch" && is_uuid(wipe_uuid))
            }
            _ => false,
        };
        if !right {
            self.add(
                Rule::RootAttributes,
                &inode.object.blob,
                format!("{pairs:?}"),
            );
        }
    }
}
