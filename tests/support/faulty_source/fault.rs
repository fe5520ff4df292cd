//! What a test asks of the source: the call to meet, and what becomes of it.

use fuser::Errno;

/// What the kernel asks for on behalf of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Any call that names the entry: one of these for each statx(2), openat(2), readlinkat(2).
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

/// What happens at a call.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// It fails.
    Fail(Errno),
    /// It does not return until [`super::FaultySource::release`].
    Hang,
    /// The file has another size first.
    Resize(u64),
    /// The file's content and mtime change first.
    Change,
    /// The file has so many bytes more or fewer at its end first, and a later mtime.
    Append(i64),
    /// The entry shows another inode number first.
    Renumber(u64),
    /// The symlink has another target and a later mtime first.
    Target(&'static [u8]),
    /// The name is gone first.
    Remove,
    /// A directory stands there first.
    BecomeDirectory,
}

/// When something happens.
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
    /// At each `call` on `path`.
    pub fn new(path: &str, call: Call, act: Act) -> Self {
        Self::at_bytes(path.as_bytes(), call, act)
    }

    /// The same for a path that is not UTF-8.
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

    /// Only when a read goes beyond that byte, or a listing reaches that entry.
    pub fn at(self, at: u64) -> Self {
        Fault { at, ..self }
    }

    /// Not the first `skip` times.
    pub fn after(self, skip: u64) -> Self {
        Fault { skip, ..self }
    }

    /// Only once.
    pub fn once(self) -> Self {
        Fault { times: 1, ..self }
    }
}
