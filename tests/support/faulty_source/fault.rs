//! Faults that a test injects into the source: the call that triggers a fault and its effect.

use fuser::Errno;

/// A request of the kernel to the file system on behalf of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// A lookup of the entry's name. Each statx(2), openat(2) and readlinkat(2) causes one.
    Lookup,
    /// statx(2), after the lookup of its name.
    Stat,
    /// openat(2) of a file or directory, without `O_PATH`.
    Open,
    /// pread(2).
    Read,
    /// getdents64(2).
    List,
    /// readlinkat(2).
    ReadLink,
}

/// The effect of a fault.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// The call fails.
    Fail(Errno),
    /// The call does not return until [`super::FaultySource::release`].
    Hang,
    /// Changes the size of the file before the call.
    Resize(u64),
    /// Changes the content and the mtime of the file before the call.
    Change,
    /// Adds (or, if negative, removes) this many bytes at the end of the file before the call. The mtime changes.
    Append(i64),
    /// Shows another inode number for the entry from this call on.
    Renumber(u64),
    /// Changes the target and the mtime of the symlink before the call.
    Target(&'static [u8]),
    /// Removes the name before the call.
    Remove,
    /// Replaces the entry with a directory before the call.
    BecomeDirectory,
}

/// A fault at a path, with the calls that trigger it.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(super) path: Vec<u8>,
    pub(super) call: Call,
    pub(super) act: Act,
    pub(super) at: u64,
    pub(super) skip: u64,
    pub(super) times: u64,
}

impl Fault {
    /// Creates a fault at each `call` on `path`.
    pub fn new(path: &str, call: Call, act: Act) -> Self {
        Self::at_bytes(path.as_bytes(), call, act)
    }

    /// Does the same for a path that is not UTF-8.
    pub fn at_bytes(path: &[u8], call: Call, act: Act) -> Self {
        Fault {
            path: path.to_vec(),
            call,
            act,
            at: 0,
            skip: 0,
            times: u64::MAX,
        }
    }

    /// Limits the fault to reads beyond this byte, or to listings that reach this entry.
    pub fn at(self, at: u64) -> Self {
        Fault { at, ..self }
    }

    /// Skips the first `skip` calls.
    pub fn after(self, skip: u64) -> Self {
        Fault { skip, ..self }
    }

    /// Limits the fault to one call.
    pub fn once(self) -> Self {
        Fault { times: 1, ..self }
    }
}
