//! The FUSE file system of the slow source, which serves an existing tree.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, Request,
};

use super::timer::Timer;

/// The time for which the kernel may cache names and attributes, as an NFS client does.
const CACHE_TIME: Duration = Duration::from_secs(3);
/// The inode number of the root, defined by FUSE.
const ROOT: usize = 1;

#[derive(Debug)]
struct Node {
    path: PathBuf,
    parent: u64,
}

/// All names that were looked up since the mount.
#[derive(Debug)]
struct Nodes {
    /// Indexed by inode number minus 1.
    all: Vec<Node>,
    /// The inode number of each name.
    numbers: HashMap<PathBuf, u64>,
}

/// The state that calls share.
#[derive(Debug)]
struct Tree {
    nodes: Mutex<Nodes>,
    /// Open files by handle.
    files: Mutex<Vec<Option<Arc<File>>>>,
}

pub(super) struct Mounted {
    tree: Arc<Tree>,
    timer: Arc<Timer>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mounted {
    pub(super) fn new(root: PathBuf, timer: Arc<Timer>) -> Self {
        let root = Node {
            path: root,
            parent: ROOT as u64,
        };
        Mounted {
            tree: Arc::new(Tree {
                nodes: Mutex::new(Nodes {
                    all: vec![root],
                    numbers: HashMap::new(),
                }),
                files: Mutex::default(),
            }),
            timer,
        }
    }
}

impl Tree {
    fn path(&self, number: INodeNo) -> Result<PathBuf, Errno> {
        let nodes = locked(&self.nodes);
        let node = nodes.all.get((number.0 as usize).wrapping_sub(1));
        node.map(|node| node.path.clone()).ok_or(Errno::ENOENT)
    }

    fn attributes(&self, number: INodeNo) -> Result<FileAttr, Errno> {
        let metadata = fs::symlink_metadata(self.path(number)?)?;
        Ok(attributes(number, &metadata))
    }

    fn look_up(&self, parent: INodeNo, name: &OsStr) -> Result<FileAttr, Errno> {
        let path = self.path(parent)?.join(name);
        let metadata = fs::symlink_metadata(&path)?;
        let mut nodes = locked(&self.nodes);
        let number = match nodes.numbers.get(&path) {
            Some(number) => *number,
            None => {
                let (path, parent) = (path.clone(), parent.0);
                nodes.all.push(Node { path, parent });
                nodes.all.len() as u64
            }
        };
        nodes.numbers.insert(path, number);
        Ok(attributes(INodeNo(number), &metadata))
    }

    fn open(&self, number: INodeNo) -> Result<FileHandle, Errno> {
        let file = File::open(self.path(number)?)?;
        let mut files = locked(&self.files);
        files.push(Some(Arc::new(file)));
        Ok(FileHandle(files.len() as u64 - 1))
    }

    fn read(&self, handle: FileHandle, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let file = locked(&self.files).get(handle.0 as usize).cloned();
        let file = file.flatten().ok_or(Errno::EBADF)?;
        let mut bytes = vec![0; size as usize];
        let mut read = 0;
        while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Returns inode numbers, types and names, with `.` and `..` first.
    fn list(&self, number: INodeNo) -> Result<Vec<(u64, FileType, OsString)>, Errno> {
        let path = self.path(number)?;
        let parent = {
            let nodes = locked(&self.nodes);
            nodes
                .all
                .get((number.0 as usize).wrapping_sub(1))
                .map_or(ROOT as u64, |node| node.parent)
        };
        let mut names = vec![
            (number.0, FileType::Directory, ".".into()),
            (parent, FileType::Directory, "..".into()),
        ];
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // The inode number in a listing is only a hint; that of a lookup is used.
            names.push((
                entry.metadata()?.ino(),
                kind(entry.file_type()?),
                entry.file_name(),
            ));
        }
        Ok(names)
    }
}

fn kind(file_type: fs::FileType) -> FileType {
    if file_type.is_dir() {
        FileType::Directory
    } else if file_type.is_symlink() {
        FileType::Symlink
    } else if file_type.is_fifo() {
        FileType::NamedPipe
    } else {
        FileType::RegularFile
    }
}

fn attributes(number: INodeNo, metadata: &Metadata) -> FileAttr {
    let time = |time: std::io::Result<std::time::SystemTime>| time.unwrap_or(std::time::UNIX_EPOCH);
    FileAttr {
        ino: number,
        size: metadata.len(),
        blocks: metadata.blocks(),
        atime: time(metadata.accessed()),
        mtime: time(metadata.modified()),
        ctime: std::time::UNIX_EPOCH
            + Duration::new(
                metadata.ctime().unsigned_abs(),
                metadata.ctime_nsec().unsigned_abs() as u32,
            ),
        crtime: std::time::UNIX_EPOCH,
        kind: kind(metadata.file_type()),
        perm: (metadata.mode() & 0o7777) as u16,
        nlink: metadata.nlink() as u32,
        uid: metadata.uid(),
        gid: metadata.gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (tree, name) = (Arc::clone(&self.tree), name.to_owned());
        self.timer.delay(move || match tree.look_up(parent, &name) {
            Ok(attributes) => reply.entry(&CACHE_TIME, &attributes, Generation(0)),
            Err(errno) => reply.error(errno),
        });
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let tree = Arc::clone(&self.tree);
        self.timer.delay(move || match tree.attributes(number) {
            Ok(attributes) => reply.attr(&CACHE_TIME, &attributes),
            Err(errno) => reply.error(errno),
        });
    }

    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let tree = Arc::clone(&self.tree);
        self.timer.delay(move || match tree.open(number) {
            Ok(handle) => reply.opened(handle, FopenFlags::empty()),
            Err(errno) => reply.error(errno),
        });
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let tree = Arc::clone(&self.tree);
        self.timer
            .delay(move || match tree.read(handle, offset, size) {
                Ok(bytes) => reply.data(&bytes),
                Err(errno) => reply.error(errno),
            });
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        // The kernel does not wait for this call, so it is not delayed.
        if let Some(file) = locked(&self.tree.files).get_mut(handle.0 as usize) {
            *file = None;
        }
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // The kernel sends no further flush after ENOSYS. An NFS client sends none either for a file that
        // was only read.
        reply.error(Errno::ENOSYS);
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let tree = Arc::clone(&self.tree);
        self.timer.delay(move || {
            let names = match tree.list(number) {
                Ok(names) => names,
                Err(errno) => return reply.error(errno),
            };
            for ((child, kind, name), next) in names.into_iter().zip(1..).skip(offset as usize) {
                if reply.add(INodeNo(child), next, kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }
}
