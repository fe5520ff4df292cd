//! Reads a complete container and checks every rule of format.md.
//!
//! The checker decodes names, wrappers and handles itself and does not call `clfs-format`. A defect that the
//! encoder and the decoder of that crate share would otherwise not be detected.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attributes;
mod blobs;
mod bucket;
pub mod compare;
mod content;
mod directory;
mod filehandle;
mod handles;
mod index;
mod inode;
mod name;
mod rules;
pub mod source_tree;
mod walk;
mod wrapper;

use std::collections::BTreeMap;
use std::fmt;

pub use blobs::{Blobs, FolderBlobs, FromFn};
pub use compare::{CompareOptions, compare};
pub use handles::{Handle, parse_handles};
pub use name::{Name, hash64};
pub use rules::Rule;
pub use wrapper::unwrap_blob;

/// The loader that wrote the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// This project: every rule applies.
    Ours,
    /// The original loader. It may also have written versions above 9 (rewritten inodes) and symlink sizes counted
    /// in characters (format.md §7). The bucket object may name log blobs that are missing from the copy of the
    /// container.
    Original,
}

/// A violation of one rule at one place.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule. [`Rule::section`] returns the section that defines it.
    pub rule: Rule,
    /// The blob or path.
    pub place: String,
    /// A description of the violation.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} (section {}) at {}: {}",
            self.rule,
            self.rule.section(),
            self.place,
            self.text
        )
    }
}

/// The type of a filesystem entity. The number is the *ftype* of filehandles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Directory.
    Directory = 1,
    /// Regular file.
    Regular = 2,
    /// Symbolic link.
    Symlink = 3,
    /// Block device.
    Block = 4,
    /// Character device.
    Character = 5,
    /// Unix socket.
    Socket = 6,
    /// Named pipe.
    Fifo = 7,
}

impl Kind {
    /// Returns the kind for the *ftype* in byte 6 of a filehandle.
    pub fn from_ftype(ftype: u8) -> Option<Kind> {
        use Kind::{Block, Character, Directory, Fifo, Regular, Socket, Symlink};
        [Directory, Regular, Symlink, Block, Character, Socket, Fifo]
            .into_iter()
            .find(|kind| *kind as u8 == ftype)
    }

    /// Returns the kind for the type bits of `st_mode`.
    pub fn from_mode(mode: u32) -> Option<Kind> {
        Some(match mode & 0o170_000 {
            0o040_000 => Kind::Directory,
            0o100_000 => Kind::Regular,
            0o120_000 => Kind::Symlink,
            0o060_000 => Kind::Block,
            0o020_000 => Kind::Character,
            0o140_000 => Kind::Socket,
            0o010_000 => Kind::Fifo,
            _ => return None,
        })
    }

    /// Returns the *btype* of object names and attributes.
    pub fn btype(self) -> u8 {
        match self {
            Kind::Regular => 1,
            Kind::Directory => 2,
            Kind::Block => 3,
            Kind::Character => 4,
            Kind::Symlink => 5,
            Kind::Socket => 6,
            Kind::Fifo => 7,
        }
    }
}

/// Seconds since 1970 and nanoseconds, as stored in the format.
pub type Time = (u32, u32);

/// One path of the container's tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// Type of the entity.
    pub kind: Kind,
    /// The complete `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes, from the attributes.
    pub size: u64,
    /// SHA-256 of a regular file's content.
    pub sha256: Option<[u8; 32]>,
    /// A symlink's target.
    pub target: Option<Vec<u8>>,
    /// Major number of `st_rdev`.
    pub major: u32,
    /// Minor number of `st_rdev`.
    pub minor: u32,
    /// Number of links, from the attributes.
    pub nlink: u32,
    /// `st_ino` of the source.
    pub file_id: u64,
    /// The filehandle. Paths with the same filehandle are hard links of one object.
    pub object: Vec<u8>,
    /// Modification time.
    pub mtime: Time,
    /// Change time.
    pub ctime: Time,
    /// Access time.
    pub atime: Time,
}

/// The result of checking a container.
#[derive(Debug, Default)]
pub struct Checked {
    /// The violations; empty for a valid container.
    pub findings: Vec<Finding>,
    /// Every reachable path (bytes, `/` between components; the root is empty).
    pub tree: BTreeMap<Vec<u8>, Node>,
}

impl Checked {
    /// Panics with the first findings, if there are any.
    pub fn assert_clean(&self) {
        let shown: Vec<String> = self
            .findings
            .iter()
            .take(20)
            .map(ToString::to_string)
            .collect();
        assert!(
            self.findings.is_empty(),
            "{} findings:\n{}",
            self.findings.len(),
            shown.join("\n")
        );
    }

    /// Returns whether a rule is violated.
    pub fn has(&self, rule: Rule) -> bool {
        self.findings.iter().any(|finding| finding.rule == rule)
    }

    fn add(&mut self, rule: Rule, place: impl fmt::Display, text: impl fmt::Display) {
        self.findings.push(Finding {
            rule,
            place: place.to_string(),
            text: text.to_string(),
        });
    }
}

/// Checks a container that this project wrote.
pub fn check(blobs: &dyn Blobs) -> Checked {
    check_as(blobs, Strictness::Ours)
}

/// Checks a container with the exceptions of `strictness`.
pub fn check_as(blobs: &dyn Blobs, strictness: Strictness) -> Checked {
    walk::Walk::run(blobs, strictness)
}

/// Returns upper-case hex, as in blob names.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
