//! The content of a source tree, read relative to directory descriptors, since paths may be longer than PATH_MAX.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

/// Seconds since 1970, possibly negative, and nanoseconds.
pub type UnixTime = (i64, u32);

/// The `lstat` data of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceNode {
    /// The complete `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// `st_size`.
    pub size: u64,
    /// SHA-256 of a regular file's content.
    pub sha256: Option<[u8; 32]>,
    /// A symlink's target.
    pub target: Option<Vec<u8>>,
    /// Major number of `st_rdev`.
    pub major: u32,
    /// Minor number of `st_rdev`.
    pub minor: u32,
    /// `st_nlink`.
    pub nlink: u64,
    /// `st_dev`.
    pub dev: u64,
    /// `st_ino`.
    pub ino: u64,
    /// Modification time.
    pub mtime: UnixTime,
    /// Change time.
    pub ctime: UnixTime,
}

impl SourceNode {
    fn new(stat: &Stat) -> SourceNode {
        SourceNode {
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: stat.st_size as u64,
            sha256: None,
            target: None,
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
            // Narrower on some architectures.
            #[allow(clippy::unnecessary_cast)]
            nlink: stat.st_nlink as u64,
            dev: stat.st_dev,
            ino: stat.st_ino,
            mtime: (stat.st_mtime, stat.st_mtime_nsec as u32),
            ctime: (stat.st_ctime, stat.st_ctime_nsec as u32),
        }
    }
}

/// Returns all paths below `root`, with `/` between components. The path of the root is empty.
pub fn walk_source(root: &Path) -> BTreeMap<Vec<u8>, SourceNode> {
    let mut found = BTreeMap::new();
    let root = open(
        rustix::fs::CWD,
        root.as_os_str().as_encoded_bytes(),
        OFlags::DIRECTORY,
    );
    found.insert(Vec::new(), SourceNode::new(&fstat(&root).unwrap()));
    directory(&root, &mut Vec::new(), &mut found);
    found
}

/// Opens a file, without changing the access time if that is permitted (for the owner and root).
fn open(at: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> OwnedFd {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(at, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(at, name, flags, Mode::empty()).unwrap(),
        opened => opened.unwrap(),
    }
}

fn directory(at: &OwnedFd, path: &mut Vec<u8>, found: &mut BTreeMap<Vec<u8>, SourceNode>) {
    for entry in Dir::read_from(at).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let stat = statat(at, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let mut node = SourceNode::new(&stat);
        let parent_length = path.len();
        if parent_length > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        match stat.st_mode & 0o170_000 {
            0o100_000 => node.sha256 = Some(content(open(at.as_fd(), name, OFlags::empty()))),
            0o120_000 => {
                let target = readlinkat(at, name, Vec::new()).unwrap();
                node.target = Some(target.into_bytes());
            }
            0o040_000 => directory(&open(at.as_fd(), name, OFlags::DIRECTORY), path, found),
            _ => {}
        }
        found.insert(path.clone(), node);
        path.truncate(parent_length);
    }
}

fn content(file: OwnedFd) -> [u8; 32] {
    let mut file = File::from(file);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return hash.finalize().into(),
            got => hash.update(&buffer[..got]),
        }
    }
}
