//! The walk from the root through all references.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;

use super::filehandle::ROOT;
use super::handles::{Handle, parse_handles};
use super::index::Index;
use super::inode::Inode;
use super::name::Name;
use super::wrapper::unwrap_blob;
use super::{Blobs, Checked, Kind, Rule, Strictness};

/// The maximum number of back pointers (format.md §6).
const LINKS: usize = 1023;

/// A directory to read.
#[derive(Debug)]
pub(crate) struct Visit {
    pub handle: Vec<u8>,
    pub parent: Vec<u8>,
    pub name: Vec<u8>,
    pub path: Vec<u8>,
    /// The blob of the directory that contains its entry.
    pub from: String,
}

/// A directory entry that names an entity other than a directory.
#[derive(Debug)]
pub(crate) struct Naming {
    pub parent: Vec<u8>,
    pub name: Vec<u8>,
    pub path: Vec<u8>,
    pub from: String,
}

/// A blob that was read, split into handles.
#[derive(Debug)]
pub(crate) struct Object {
    pub blob: String,
    pub name: Name,
    payload: Vec<u8>,
    handles: Vec<Handle>,
}

impl Object {
    /// Returns the data of the first handle of a type.
    pub(crate) fn handle(&self, kind: u32) -> Option<&[u8]> {
        let handle = self.handles.iter().find(|handle| handle.kind == kind)?;
        self.payload.get(handle.data.clone())
    }
}

/// The state of the walk.
pub(crate) struct Walk<'a> {
    blobs: &'a dyn Blobs,
    pub strictness: Strictness,
    pub index: Index,
    pub out: Checked,
    pub fsid: Option<u64>,
    pub container_id: Option<u64>,
    pub queue: Vec<Visit>,
    pub directories: HashSet<Vec<u8>>,
    pub named: BTreeMap<Vec<u8>, Vec<Naming>>,
    opened: HashSet<Vec<u8>>,
}

impl<'a> Walk<'a> {
    pub(crate) fn run(blobs: &'a dyn Blobs, strictness: Strictness) -> Checked {
        let mut out = Checked::default();
        let index = Index::build(blobs.names(), strictness, &mut out);
        let mut walk = Walk {
            blobs,
            strictness,
            index,
            out,
            fsid: None,
            container_id: None,
            queue: Vec::new(),
            directories: HashSet::new(),
            named: BTreeMap::new(),
            opened: HashSet::new(),
        };
        walk.bucket();
        walk.tree();
        walk.orphans();
        walk.out
    }

    pub(crate) fn add(&mut self, rule: Rule, place: impl Display, text: impl Display) {
        self.out.add(rule, place, text);
    }

    /// Reads an object by id and marks it as referenced.
    pub(crate) fn open(&mut self, id: &[u8], from: &str) -> Option<Object> {
        let Some(entry) = self.index.objects.get(id).cloned() else {
            let text = format!("{} is not there", super::hex(id));
            self.add(Rule::Dangling, from, text);
            return None;
        };
        if !self.opened.insert(id.to_vec()) {
            let text = format!("{} is referred to again by {from}", super::hex(id));
            self.add(Rule::BlockTwice, &entry.blob, text);
            return None;
        }
        let (payload, mut broken) = unwrap_blob(&self.blobs.blob(&entry.blob));
        let (handles, more) = parse_handles(payload.as_deref().unwrap_or_default());
        broken.extend(more);
        for (rule, text) in broken {
            self.add(rule, &entry.blob, text);
        }
        Some(Object {
            blob: entry.blob,
            name: entry.name,
            payload: payload?,
            handles,
        })
    }

    pub(crate) fn expect_order(&mut self, object: &Object, expected: &[u32]) {
        let found: Vec<u32> = object.handles.iter().map(|handle| handle.kind).collect();
        if found != expected {
            let text = format!("handles {found:?}, not {expected:?}");
            self.add(Rule::HandleOrder, &object.blob, text);
        }
    }

    /// Walks the directories first, so that all entries are known when back pointers are compared.
    fn tree(&mut self) {
        if !self.index.objects.contains_key(ROOT.as_slice()) {
            self.add(Rule::RootMissing, "the container", "no root directory");
            return;
        }
        self.directories.insert(ROOT.to_vec());
        self.queue.push(Visit {
            handle: ROOT.to_vec(),
            parent: ROOT.to_vec(),
            name: Vec::new(),
            path: Vec::new(),
            from: "the container".into(),
        });
        while let Some(visit) = self.queue.pop() {
            self.directory(&visit);
        }
        for (handle, namings) in std::mem::take(&mut self.named) {
            if let Some(inode) = self.inode(&handle, &namings[0].from) {
                self.entity(&inode, &namings);
            }
        }
    }

    /// Checks an entity other than a directory.
    fn entity(&mut self, inode: &Inode, namings: &[Naming]) {
        let blob = inode.object.blob.clone();
        let sorted = |mut handles: Vec<Vec<u8>>| {
            handles.sort();
            handles
        };
        let parents = sorted(namings.iter().map(|n| n.parent.clone()).collect());
        if sorted(inode.back.clone()) != parents {
            let (has, named) = (inode.back.len(), parents.len());
            let text = format!("{has} back pointers are not the {named} naming directories");
            self.add(Rule::BackPointers, &blob, text);
        }
        let nlink = inode.attributes.nlink as usize;
        if nlink != inode.back.len() || nlink > LINKS || nlink == 0 {
            let text = format!("nlink {nlink}, {} back pointers", inode.back.len());
            self.add(Rule::AttributeLinks, &blob, text);
        }
        if let Some(first) = inode.back.first() {
            self.check_owner(inode, first);
        }
        if !namings.iter().any(|naming| naming.name == inode.name) {
            let text = String::from_utf8_lossy(&inode.name).into_owned();
            self.add(Rule::EntityName, &blob, text);
        }
        let mut node = inode.node();
        match inode.kind {
            Kind::Regular => node.sha256 = self.file(inode),
            Kind::Symlink => node.target = self.symlink(inode),
            _ => self.only_block(inode),
        }
        for naming in namings {
            self.out.tree.insert(naming.path.clone(), node.clone());
        }
    }

    fn orphans(&mut self) {
        let mut left: Vec<String> = self
            .index
            .objects
            .iter()
            .filter(|(id, _)| !self.opened.contains(*id))
            .map(|(_, entry)| entry.blob.clone())
            .collect();
        left.sort();
        for blob in left {
            self.add(Rule::Orphan, blob, "nothing refers to it");
        }
    }
}
