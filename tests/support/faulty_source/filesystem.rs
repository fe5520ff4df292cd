//! The FUSE side of a faulty source: applies the faults to every request, then replies, fails or holds it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use fuser::{
    Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen, ReplyXattr,
    Request,
};

use super::tree::Body;
use super::{Call, Shared};

/// Disables caching in the kernel, so that each call of the command reaches the file system.
const NOT_CACHED: Duration = Duration::ZERO;

pub(super) struct Mounted(pub(super) Arc<Shared>);

/// Replies with a list or value, or with its length if `size` is 0 (getxattr(2)).
fn reply_with(bytes: &[u8], size: u32, reply: ReplyXattr) {
    match size as usize {
        0 => reply.size(bytes.len() as u32),
        size if size < bytes.len() => reply.error(Errno::ERANGE),
        _ => reply.data(bytes),
    }
}

impl Filesystem for Mounted {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // Without it the kernel looks up the names of a directory one at a time.
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (shared, parent, name) = (Arc::clone(&self.0), parent.0, name.as_bytes().to_vec());
        self.0.look_up(parent, &name.clone(), move |outcome| {
            let tree = shared.tree();
            match outcome.and(tree.child(parent, &name).ok_or(Errno::ENOENT)) {
                Ok(number) => reply.entry(&NOT_CACHED, &tree.attributes(number), Generation(0)),
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let shared = Arc::clone(&self.0);
        self.0
            .serve(number.0, Call::Stat, 0, move |outcome| match outcome {
                Ok(()) => reply.attr(&NOT_CACHED, &shared.tree().shown_attributes(number.0)),
                Err(errno) => reply.error(errno),
            });
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        let shared = Arc::clone(&self.0);
        self.0.serve(number.0, Call::ReadLink, 0, move |outcome| {
            match (outcome, &shared.tree().node(number.0).body) {
                (Ok(()), Body::Symlink(target)) => reply.data(target),
                (Ok(()), _) => reply.error(Errno::EINVAL),
                (Err(errno), _) => reply.error(errno),
            }
        });
    }

    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.0
            .serve(number.0, Call::Open, 0, move |outcome| match outcome {
                Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
                Err(errno) => reply.error(errno),
            });
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
        let shared = Arc::clone(&self.0);
        let end = offset + u64::from(size);
        self.0
            .serve(number.0, Call::Read, end, move |outcome| match outcome {
                Ok(()) => {
                    let content = shared.tree().content(number.0, offset, u64::from(size));
                    reply.data(&content);
                }
                Err(errno) => reply.error(errno),
            });
    }

    fn listxattr(&self, _: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        let tree = self.0.tree();
        if !tree.has_xattrs() {
            // The kernel makes no further xattr requests after ENOSYS.
            return reply.error(Errno::ENOSYS);
        }
        let names = tree.node(number.0).xattrs.keys();
        let list: Vec<u8> = names.flat_map(|name| [name, &b"\0"[..]].concat()).collect();
        reply_with(&list, size, reply);
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let tree = self.0.tree();
        if !tree.has_xattrs() {
            return reply.error(Errno::ENOSYS);
        }
        match tree.node(number.0).xattrs.get(name.as_bytes()) {
            // Some servers list an ACL and then fail to return it, with this error.
            Some(value) if value.is_empty() => reply.error(Errno::EIO),
            Some(value) => reply_with(value, size, reply),
            None => reply.error(Errno::ENODATA),
        }
    }

    fn opendir(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.0
            .serve(number.0, Call::Open, 0, move |outcome| match outcome {
                Ok(()) => reply.opened(FileHandle(0), FopenFlags::empty()),
                Err(errno) => reply.error(errno),
            });
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let shared = Arc::clone(&self.0);
        self.0.serve(number.0, Call::List, offset, move |outcome| {
            if let Err(errno) = outcome {
                return reply.error(errno);
            }
            // A reply ends before the next fault, so that the names before it are delivered.
            let limit = shared.next_fault(number.0, Call::List, offset);
            let tree = shared.tree();
            let Body::Directory(names) = &tree.node(number.0).body else {
                return reply.error(Errno::ENOTDIR);
            };
            let rest = names.iter().zip(1..).skip(offset as usize);
            for ((name, child), next) in rest {
                let kind = tree.attributes(*child).kind;
                if next > limit || reply.add(INodeNo(*child), next, kind, OsStr::from_bytes(name)) {
                    break;
                }
            }
            reply.ok();
        });
    }
}
