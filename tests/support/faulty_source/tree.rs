//! The in-memory tree of a faulty source.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};

/// The root's inode number, which FUSE defines.
pub(super) const ROOT: u64 = 1;
/// The initial times of every inode: 2020-09-13, with nanoseconds.
const BEGIN: Duration = Duration::new(1_600_000_000, 123_456_789);

/// The type of an inode, with its content.
#[derive(Debug)]
pub(super) enum Body {
    Directory(BTreeMap<Vec<u8>, u64>),
    File { size: u64 },
    Symlink(Vec<u8>),
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) body: Body,
    links: u32,
    /// The number of content changes. Each gives other bytes and a later mtime.
    changes: u32,
    /// The extended attributes.
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The number of size changes at the end. Each gives a later mtime.
    appends: u32,
    /// The number of changes of the ctime alone. Each gives a later ctime.
    moves: u32,
}

/// The inodes by number.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// False inode numbers that statx(2) returns, by true number.
    shown: BTreeMap<u64, u64>,
    /// Removed names that can be restored: directory, name, inode.
    removed: Vec<(u64, Vec<u8>, u64)>,
}

impl Tree {
    pub(super) fn new() -> Self {
        let root = Node {
            body: Body::Directory(BTreeMap::new()),
            links: 2,
            changes: 0,
            xattrs: BTreeMap::new(),
            appends: 0,
            moves: 0,
        };
        Tree {
            nodes: vec![root],
            shown: BTreeMap::new(),
            removed: Vec::new(),
        }
    }

    pub(super) fn node(&self, number: u64) -> &Node {
        &self.nodes[number as usize - 1]
    }

    fn node_mut(&mut self, number: u64) -> &mut Node {
        &mut self.nodes[number as usize - 1]
    }

    fn names(&mut self, directory: u64) -> &mut BTreeMap<Vec<u8>, u64> {
        match &mut self.node_mut(directory).body {
            Body::Directory(names) => names,
            body => panic!("{body:?} is not a directory"),
        }
    }

    pub(super) fn child(&self, directory: u64, name: &[u8]) -> Option<u64> {
        match &self.node(directory).body {
            Body::Directory(names) => names.get(name).copied(),
            _ => None,
        }
    }

    /// Returns the inode at a path, with its directory and name.
    pub(super) fn resolve(&self, path: &[u8]) -> Option<(u64, u64, Vec<u8>)> {
        let mut at = (ROOT, ROOT, Vec::new());
        for name in path
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
        {
            at = (self.child(at.0, name)?, at.0, name.to_vec());
        }
        Some(at)
    }

    /// Adds an inode and its missing parent directories.
    pub(super) fn add(&mut self, path: &[u8], body: Body) {
        let (directory, name) = self.parent(path);
        self.nodes.push(Node {
            links: if matches!(body, Body::Directory(_)) {
                2
            } else {
                1
            },
            body,
            changes: 0,
            xattrs: BTreeMap::new(),
            appends: 0,
            moves: 0,
        });
        let number = self.nodes.len() as u64;
        let before = self.names(directory).insert(name, number);
        assert!(before.is_none(), "added twice");
    }

    pub(super) fn link(&mut self, path: &[u8], to: &[u8]) {
        let (number, ..) = self.resolve(to).unwrap();
        let (directory, name) = self.parent(path);
        self.names(directory).insert(name, number);
        self.node_mut(number).links += 1;
    }

    fn parent(&mut self, path: &[u8]) -> (u64, Vec<u8>) {
        let Some(slash) = path.iter().rposition(|byte| *byte == b'/') else {
            return (ROOT, path.to_vec());
        };
        let (directory, name) = (&path[..slash], path[slash + 1..].to_vec());
        if self.resolve(directory).is_none() {
            self.add(directory, Body::Directory(BTreeMap::new()));
        }
        (self.resolve(directory).unwrap().0, name)
    }

    /// Changes the content, keeps the size, and sets a later mtime.
    pub(super) fn touch(&mut self, number: u64) {
        self.node_mut(number).changes += 1;
    }

    /// Keeps the content and the mtime, and sets a later ctime.
    pub(super) fn change_ctime(&mut self, number: u64) {
        self.node_mut(number).moves += 1;
    }

    pub(super) fn resize(&mut self, number: u64, to: u64) {
        self.touch(number);
        self.node_mut(number).body = Body::File { size: to };
    }

    pub(super) fn set_target(&mut self, number: u64, to: &[u8]) {
        self.touch(number);
        self.node_mut(number).body = Body::Symlink(to.to_vec());
    }

    pub(super) fn set_xattr(&mut self, number: u64, name: &str, value: Vec<u8>) {
        let xattrs = &mut self.node_mut(number).xattrs;
        xattrs.insert(name.as_bytes().to_vec(), value);
    }

    /// Returns whether any inode has extended attributes.
    pub(super) fn has_xattrs(&self) -> bool {
        self.nodes.iter().any(|node| !node.xattrs.is_empty())
    }

    /// Adds or removes bytes at the end, keeps the others, and sets a later mtime.
    pub(super) fn append(&mut self, number: u64, by: i64) {
        let node = self.node_mut(number);
        node.appends += 1;
        if let Body::File { size } = &mut node.body {
            *size = size.saturating_add_signed(by);
        }
    }

    /// Replaces the inode with a directory.
    pub(super) fn replace_by_directory(&mut self, number: u64) {
        self.node_mut(number).body = Body::Directory(BTreeMap::new());
    }

    pub(super) fn show_number(&mut self, number: u64, shown: u64) {
        self.shown.insert(number, shown);
    }

    /// Returns the attributes that statx(2) reports: those of [`attributes`](Self::attributes), from which the kernel
    /// identifies the node, with the inode number that is shown.
    pub(super) fn shown_attributes(&self, number: u64) -> FileAttr {
        let shown = self.shown.get(&number).copied().unwrap_or(number);
        FileAttr {
            ino: INodeNo(shown),
            ..self.attributes(number)
        }
    }

    /// Removes a name. Its directory and the inode keep their times, so that a later comparison shows only the
    /// missing name.
    pub(super) fn remove(&mut self, directory: u64, name: &[u8]) {
        if let Some(number) = self.names(directory).remove(name) {
            self.node_mut(number).links -= 1;
            self.removed.push((directory, name.to_vec(), number));
        }
    }

    /// Restores the removed names and returns them.
    pub(super) fn restore(&mut self) -> Vec<(u64, Vec<u8>)> {
        let mut restored = Vec::new();
        for (directory, name, number) in std::mem::take(&mut self.removed) {
            self.names(directory).insert(name.clone(), number);
            self.node_mut(number).links += 1;
            restored.push((directory, name));
        }
        restored
    }

    pub(super) fn attributes(&self, number: u64) -> FileAttr {
        let node = self.node(number);
        let (kind, size, perm) = match &node.body {
            Body::Directory(_) => (FileType::Directory, 4096, 0o755),
            Body::File { size } => (FileType::RegularFile, *size, 0o644),
            Body::Symlink(target) => (FileType::Symlink, target.len() as u64, 0o777),
        };
        let changed: SystemTime =
            UNIX_EPOCH + BEGIN + Duration::from_secs((node.changes + node.appends).into());
        FileAttr {
            ino: INodeNo(number),
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH + BEGIN,
            mtime: changed,
            ctime: changed + Duration::from_secs(u64::from(node.moves)),
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: node.links,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    /// Returns a range of a file's content: bytes that do not compress and that differ after each change.
    pub(super) fn content(&self, number: u64, offset: u64, length: u64) -> Vec<u8> {
        let node = self.node(number);
        let Body::File { size } = node.body else {
            return Vec::new();
        };
        let end = size.min(offset.saturating_add(length));
        let mut bytes = Vec::with_capacity(length as usize + 16);
        let mut word = offset / 8;
        while word * 8 < end {
            // splitmix64
            let mut mixed = (number << 48 ^ u64::from(node.changes) << 40 ^ word)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            bytes.extend_from_slice(&(mixed ^ mixed >> 31).to_le_bytes());
            word += 1;
        }
        let skip = (offset % 8) as usize;
        let wanted = end.saturating_sub(offset) as usize;
        bytes.drain(..skip.min(bytes.len()));
        bytes.truncate(wanted);
        bytes
    }
}
