//! An in-memory file system with fewer features than the disks of this machine, mounted with FUSE: names fold, owners
//! are rejected, and so on.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite, Request, SessionACL,
    TimeOrNow, WriteFlags,
};

const NOT_CACHED: Duration = Duration::ZERO;

/// The missing features.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// Names that differ only in the case of ASCII letters are the same.
    pub(crate) folds_case: bool,
    /// Rejects `:`, `?`, bytes that are not UTF-8, and a dot at the end.
    pub(crate) refuses_names: bool,
    /// Directories list other inode numbers than `stat` returns.
    pub(crate) lists_other_inodes: bool,
    /// Rejects permissions other than 0755 and hard links, symlinks, fifos.
    pub(crate) is_simple: bool,
    /// renameat2(2) accepts no flags.
    pub(crate) has_no_flags: bool,
    /// The number of calls of chown(2) that succeed; negative: all.
    pub(crate) chowns: Option<AtomicI64>,
    /// The names under which entries were created.
    pub(crate) created: Mutex<Vec<Vec<u8>>>,
}

struct Node {
    attributes: FileAttr,
    content: Vec<u8>,
    names: BTreeMap<Vec<u8>, u64>,
}

struct Tree {
    nodes: BTreeMap<u64, Node>,
    next: u64,
    limits: Arc<Limits>,
}

struct Mounted(Arc<Mutex<Tree>>);

impl Mounted {
    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tree {
    fn add(&mut self, kind: FileType, mode: u32) -> u64 {
        let number = self.next;
        self.next += 1;
        let now = SystemTime::now();
        let attributes = FileAttr {
            ino: INodeNo(number),
            size: 0,
            blocks: 0,
            atime: now,
            mtime: now,
            ctime: now,
            crtime: now,
            kind,
            perm: (mode & 0o7777) as u16,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        };
        let node = Node {
            attributes,
            content: Vec::new(),
            names: BTreeMap::new(),
        };
        self.nodes.insert(number, node);
        number
    }

    /// Returns the stored name and the inode for a name.
    fn find(&self, parent: u64, name: &[u8]) -> Option<(Vec<u8>, u64)> {
        let names = &self.nodes[&parent].names;
        let is_it = |stored: &[u8]| match self.limits.folds_case {
            true => stored.eq_ignore_ascii_case(name),
            false => stored == name,
        };
        let found = names.iter().find(|(stored, _)| is_it(stored));
        found.map(|(stored, number)| (stored.clone(), *number))
    }

    fn check(&self, name: &[u8]) -> Result<(), Errno> {
        let odd = name.contains(&b':') || name.contains(&b'?') || name.ends_with(b".");
        match self.limits.refuses_names && (odd || std::str::from_utf8(name).is_err()) {
            true => Err(Errno::EINVAL),
            false => Ok(()),
        }
    }

    fn make(&mut self, parent: u64, name: &[u8], kind: FileType, mode: u32) -> Result<u64, Errno> {
        if self.find(parent, name).is_some() {
            return Err(Errno::EEXIST);
        }
        self.check(name)?;
        let simple = matches!(kind, FileType::RegularFile | FileType::Directory);
        if self.limits.is_simple && !simple {
            return Err(Errno::EPERM);
        }
        let number = self.add(kind, mode);
        self.put(parent, name, number);
        self.limits.created.lock().unwrap().push(name.to_vec());
        Ok(number)
    }

    fn put(&mut self, parent: u64, name: &[u8], number: u64) {
        let parent = self.nodes.get_mut(&parent).unwrap();
        parent.names.insert(name.to_vec(), number);
        parent.attributes.mtime = SystemTime::now();
    }

    fn take(&mut self, parent: u64, name: &[u8]) -> Result<u64, Errno> {
        let (stored, number) = self.find(parent, name).ok_or(Errno::ENOENT)?;
        self.nodes.get_mut(&parent).unwrap().names.remove(&stored);
        Ok(number)
    }

    fn unlink(&mut self, parent: u64, name: &[u8]) -> Result<(), Errno> {
        let number = self.take(parent, name)?;
        self.nodes.get_mut(&number).unwrap().attributes.nlink -= 1;
        Ok(())
    }
}

fn entry(tree: &Tree, made: Result<u64, Errno>, reply: ReplyEntry) {
    match made {
        Ok(number) => reply.entry(&NOT_CACHED, &tree.nodes[&number].attributes, Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

fn empty(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

fn time(time: TimeOrNow) -> SystemTime {
    match time {
        TimeOrNow::SpecificTime(time) => time,
        TimeOrNow::Now => SystemTime::now(),
    }
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let tree = self.tree();
        let found = tree.find(parent.0, name.as_bytes());
        let found = found.map(|(_, number)| number).ok_or(Errno::ENOENT);
        entry(&tree, found, reply);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&NOT_CACHED, &self.tree().nodes[&number.0].attributes);
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut tree = self.tree();
        let limits = Arc::clone(&tree.limits);
        let node = tree.nodes.get_mut(&number.0).unwrap();
        let owner = uid.or(gid).is_some();
        if owner && let Some(left) = &limits.chowns {
            // Rejected if no calls remain.
            if left.load(SeqCst) == 0 {
                return reply.error(Errno::EPERM);
            }
            left.fetch_sub(1, SeqCst);
        }
        if limits.is_simple && mode.is_some_and(|mode| mode & 0o7777 != 0o755) {
            return reply.error(Errno::EPERM);
        }
        let attributes = &mut node.attributes;
        attributes.perm = mode.map_or(attributes.perm, |mode| (mode & 0o7777) as u16);
        attributes.uid = uid.unwrap_or(attributes.uid);
        attributes.gid = gid.unwrap_or(attributes.gid);
        if let Some(size) = size {
            node.content.resize(size as usize, 0);
            attributes.size = size;
        }
        attributes.atime = atime.map_or(attributes.atime, time);
        attributes.mtime = mtime.map_or(attributes.mtime, time);
        reply.attr(&NOT_CACHED, attributes);
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        reply.data(&self.tree().nodes[&number.0].content);
    }

    fn mknod(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        let kind = match mode & 0o170_000 {
            0o100_000 => FileType::RegularFile,
            _ => FileType::NamedPipe,
        };
        let mut tree = self.tree();
        let made = tree.make(parent.0, name.as_bytes(), kind, mode);
        entry(&tree, made, reply);
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        let mut tree = self.tree();
        let made = tree.make(parent.0, name.as_bytes(), FileType::Directory, mode);
        entry(&tree, made, reply);
    }

    fn symlink(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let mut tree = self.tree();
        let made = tree.make(parent.0, name.as_bytes(), FileType::Symlink, 0o777);
        if let Ok(number) = made {
            let node = tree.nodes.get_mut(&number).unwrap();
            node.content = target.as_os_str().as_bytes().to_vec();
            node.attributes.size = node.content.len() as u64;
        }
        entry(&tree, made, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.tree().unlink(parent.0, name.as_bytes()), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.tree().unlink(parent.0, name.as_bytes()), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut tree = self.tree();
        let to = new_name.as_bytes();
        if !flags.is_empty() && tree.limits.has_no_flags {
            return reply.error(Errno::EINVAL);
        }
        if let Err(errno) = tree.check(to) {
            return reply.error(errno);
        }
        if tree.find(new_parent.0, to).is_some() {
            if !flags.is_empty() {
                return reply.error(Errno::EEXIST);
            }
            tree.unlink(new_parent.0, to).unwrap();
        }
        let taken = tree.take(parent.0, name.as_bytes());
        empty(
            taken.map(|number| tree.put(new_parent.0, to, number)),
            reply,
        );
    }

    fn link(&self, _: &Request, number: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut tree = self.tree();
        let linked = match tree.find(parent.0, name.as_bytes()) {
            Some(_) => Err(Errno::EEXIST),
            None if tree.limits.is_simple => Err(Errno::EPERM),
            None => Ok(number.0),
        };
        if linked.is_ok() {
            tree.put(parent.0, name.as_bytes(), number.0);
            tree.nodes.get_mut(&number.0).unwrap().attributes.nlink += 1;
        }
        entry(&tree, linked, reply);
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let tree = self.tree();
        let content = &tree.nodes[&number.0].content;
        let from = content.len().min(offset as usize);
        let to = content.len().min(from + size as usize);
        reply.data(&content[from..to]);
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut tree = self.tree();
        let node = tree.nodes.get_mut(&number.0).unwrap();
        let end = offset as usize + data.len();
        if node.content.len() < end {
            node.content.resize(end, 0);
        }
        node.content[offset as usize..end].copy_from_slice(data);
        node.attributes.size = node.content.len() as u64;
        reply.written(data.len() as u32);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let tree = self.tree();
        let names = &tree.nodes[&number.0].names;
        for ((name, child), next) in names.iter().zip(1..).skip(offset as usize) {
            let kind = tree.nodes[child].attributes.kind;
            let listed = match tree.limits.lists_other_inodes {
                true => child + (1 << 32),
                false => *child,
            };
            if reply.add(INodeNo(listed), next, kind, OsStr::from_bytes(name)) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1000, 1000, 1000, 1000, 1000, 4096, 255, 4096);
    }
}

/// The mounted file system. It is unmounted on drop.
pub(crate) struct LimitedDisk {
    path: PathBuf,
    pub(crate) limits: Arc<Limits>,
    session: Option<BackgroundSession>,
}

impl LimitedDisk {
    pub(crate) fn mount(at: &Path, limits: Limits) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let limits = Arc::new(limits);
        let mut tree = Tree {
            nodes: BTreeMap::new(),
            next: 1,
            limits: Arc::clone(&limits),
        };
        tree.add(FileType::Directory, 0o755);
        tree.nodes.get_mut(&1).unwrap().attributes.mtime = UNIX_EPOCH;
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("limited".to_owned())];
        config.acl = SessionACL::All;
        let mounted = Mounted(Arc::new(Mutex::new(tree)));
        let session = fuser::spawn_mount(mounted, at, &config).unwrap();
        LimitedDisk {
            path: at.to_path_buf(),
            limits,
            session: Some(session),
        }
    }
}

impl Drop for LimitedDisk {
    fn drop(&mut self) {
        let mut detach = Command::new("umount");
        detach.arg("-l").arg(&self.path).stderr(Stdio::null());
        drop(detach.status());
        drop(self.session.take());
    }
}
