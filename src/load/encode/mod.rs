//! Converts entries into objects: reads the source, builds payloads and compresses them.
//!
//! The encoder runs on threads of its own, and passes finished objects to an [`ObjectSink`]. It requests
//! room from the sink *before* it reads, and never while it holds room for another object, so that
//! threads that wait for room cannot block each other.

mod attributes;
mod directory;
mod file;
mod large_file;
mod leftovers;
mod memory;
mod names;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clfs_format::{
    Compression, FileType, Filehandle, FormatError, Inode, Lz4Encoder, ObjectBuffer, ObjectName,
};

use crate::container::BlobName;
use crate::crash_point::{CrashPoint, crash_point};
use crate::entry::{Entry, EntryId, SourceAttributes};
use crate::identity::Identity;
use crate::problem::{Problem, Reason};
use crate::source::{CallKind, EntryStat, OpenCall, OpenError, SourceTree};
use crate::state::{Reader, StateError};

pub use large_file::{LargeFile, Remaining};
pub use leftovers::obsolete_blobs;
pub use memory::SegmentMemory;
pub use names::{bucket_name, entity_name, root_name};

/// An object as it is uploaded.
#[derive(Debug)]
pub struct EncodedObject {
    /// Its blob name.
    pub name: BlobName,
    /// Wrapper and payload.
    pub bytes: Bytes,
    /// The memory that `bytes` keeps allocated, in bytes: at least their length.
    pub memory: u64,
}

/// Takes the objects of one entity.
pub trait ObjectSink: Sync {
    /// Room for the bytes of an object; dropped when the object is in the container.
    type Room;

    /// Waits for room for `bytes`.
    fn room(&self, bytes: u64) -> Self::Room;

    /// Takes an object.
    fn put(&self, object: EncodedObject, room: Self::Room);
}

/// Why an entry could not be encoded.
#[derive(Debug)]
pub enum EncodeError {
    /// A problem of this entry.
    Problem(Problem),
    /// The file changed since the scan: these are its current attributes.
    Changed(SourceAttributes),
    /// An error of the run, not of the entry.
    State(StateError),
}

impl From<OpenError> for EncodeError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Problem(problem) => EncodeError::Problem(problem),
            OpenError::State(error) => EncodeError::State(error),
        }
    }
}

impl From<StateError> for EncodeError {
    fn from(error: StateError) -> Self {
        EncodeError::State(error)
    }
}

impl From<rustix::io::Errno> for EncodeError {
    fn from(errno: rustix::io::Errno) -> Self {
        OpenError::from(errno).into()
    }
}

impl From<FormatError> for EncodeError {
    /// Converts an error that the earlier checks of lengths and names missed: a problem of the entry, which must not
    /// stop the others.
    fn from(_: FormatError) -> Self {
        EncodeError::Problem(Problem::new(Reason::NotRepresentable))
    }
}

/// Rejects a name that belongs to another inode now. The other names of the entry may still be unchanged.
fn same_inode(
    entry: &Entry,
    encoded: Result<Encoded, EncodeError>,
) -> Result<Encoded, EncodeError> {
    match encoded {
        Err(EncodeError::Changed(found)) if found.inode != entry.attributes.inode => {
            Err(EncodeError::Problem(Problem::new(Reason::TypeChanged)))
        }
        encoded => encoded,
    }
}

/// Returns the problem if a mount replaced the recorded file of an entry. `was_mount`: a file was mounted there
/// when the entry was recorded.
fn mount_problem(entry: &Entry, was_mount: bool, seen: &EntryStat) -> Option<Reason> {
    match seen.mount.is_some() {
        false => was_mount.then_some(Reason::NotMounted),
        true => (!entry.attributes.same_inode(&seen.attributes)).then_some(Reason::Replaced),
    }
}

/// What all encoders of a run share.
#[derive(Debug)]
pub struct EncodeContext {
    /// The source of ids.
    pub identity: Identity,
    /// Compression of objects.
    pub compression: Compression,
    /// The tree that is read.
    pub source: SourceTree,
    /// Buffers for segments.
    pub memory: Arc<SegmentMemory>,
}

/// Which reads of a file are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadPolicy {
    /// Only those of a file that still has the recorded attributes.
    #[default]
    Unchanged,
    /// Also those of a file that changes during the read, if it is the same inode and has at least the
    /// recorded size. Only that number of bytes is read.
    SameInode,
}

/// Content that was read completely.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadContent {
    /// Number of bytes.
    pub bytes: u64,
    /// The file changed during the read: old and new content may be mixed.
    pub changed: bool,
}

/// The result of encoding an entry.
#[derive(Debug)]
pub enum Encoded {
    /// All objects are in the sink.
    Complete(ReadContent),
    /// A file of several segments, which any thread may read.
    Large(Box<LargeFile>),
}

/// The encoder of one thread, with its buffers and its connection to the state.
pub struct Encoder {
    context: Arc<EncodeContext>,
    reader: Reader,
    lz4: Lz4Encoder,
    /// A buffer that is reused for each small file.
    content: Vec<u8>,
    /// The directory of the last entry; most entries are in the same directory as the one before.
    last_directory: Option<(EntryId, Filehandle)>,
    /// Time that calls to the source took since the last [`take_source_time`](Self::take_source_time),
    /// without the time to transfer bytes.
    source_time: Duration,
    read_policy: ReadPolicy,
}

/// Time to transfer a byte from memory, or on the fastest networks. A source that needs no longer does not
/// make a thread wait.
const NANOSECONDS_A_BYTE: u64 = 1;

impl Encoder {
    /// Creates an encoder for one thread.
    pub fn new(context: Arc<EncodeContext>, reader: Reader) -> Self {
        Encoder {
            context,
            reader,
            lz4: Lz4Encoder::new(),
            content: Vec::new(),
            last_directory: None,
            source_time: Duration::ZERO,
            read_policy: ReadPolicy::default(),
        }
    }

    /// Sets which reads are accepted from the next entry on.
    pub fn set_read_policy(&mut self, read_policy: ReadPolicy) {
        self.read_policy = read_policy;
    }

    /// Returns the time that calls to the source took since the last call of this function. More threads would
    /// spend this time in parallel.
    pub fn take_source_time(&mut self) -> Duration {
        std::mem::take(&mut self.source_time)
    }

    /// Adds the time of a call to the source that returned `bytes`.
    fn add_source_time(&mut self, call: OpenCall<'_>, bytes: u64) {
        let moving = Duration::from_nanos(bytes.saturating_mul(NANOSECONDS_A_BYTE));
        self.source_time += call.end().saturating_sub(moving);
    }

    /// Encodes an entry other than the root that has one name.
    ///
    /// # Errors
    /// When it cannot be read, or changed since the scan.
    pub fn entry<S: ObjectSink>(
        &mut self,
        entry: &Entry,
        sink: &S,
    ) -> Result<Encoded, EncodeError> {
        let back = [self.directory_handle(entry.parent)?];
        match entry.attributes.file_type {
            FileType::Directory => self
                .directory(entry, sink)
                .map(|()| Encoded::Complete(ReadContent::default())),
            _ => {
                let encoded = self.inode(entry, &back, sink);
                self.same_mount(entry, encoded)
            }
        }
    }

    /// Refuses a changed file that is another one because of what is mounted on its name now, or is not:
    /// it is not a newer version of the recorded file.
    fn same_mount(
        &self,
        entry: &Entry,
        encoded: Result<Encoded, EncodeError>,
    ) -> Result<Encoded, EncodeError> {
        let Err(EncodeError::Changed(found)) = &encoded else {
            return encoded;
        };
        let was_mount = self.reader.was_mount(entry.id)?;
        if !was_mount && found.inode == entry.attributes.inode {
            return encoded;
        }
        let directory = self.context.source.directory(entry.parent)?;
        match mount_problem(entry, was_mount, &directory.examine(&entry.name)?) {
            Some(reason) => Err(EncodeError::Problem(Problem::new(reason))),
            None => encoded,
        }
    }

    /// Encodes an inode with all its names.
    ///
    /// # Errors
    /// As [`entry`](Self::entry).
    pub fn linked<S: ObjectSink>(
        &mut self,
        entry: &Entry,
        sink: &S,
    ) -> Result<Encoded, EncodeError> {
        crash_point(CrashPoint::LinkedInode);
        let mut back = Vec::new();
        for parent in self.reader.link_parents(entry.id)? {
            back.push(self.directory_handle(parent)?);
        }
        let encoded = self.inode(entry, &back, sink);
        let mut encoded = same_inode(entry, self.same_mount(entry, encoded));
        // If the first name was removed, the inode can be read by another one.
        let mut names = self.reader.link_places(entry.id)?.into_iter();
        while let Err(EncodeError::Problem(Problem {
            reason: Reason::Vanished | Reason::TypeChanged,
            ..
        })) = encoded
            && let Some((parent, name)) = names.next()
        {
            encoded = same_inode(entry, self.inode_at(entry, parent, &name, &back, sink));
        }
        encoded
    }

    /// Returns the current attributes and losses of an entry, if they differ from those in the state and the entry
    /// is still the same one. Access times are not compared, because reading changes them.
    ///
    /// `linked`: the entry has several names, so another inode under this one does not show that the entry changed.
    ///
    /// # Errors
    /// When the state cannot be read. Errors of the source are left to the encoding, which reports them.
    pub fn fresh_attributes(
        &self,
        entry: &Entry,
        linked: bool,
    ) -> Result<Option<SourceAttributes>, StateError> {
        let source = &self.context.source;
        let _call = source.begin_call(CallKind::Encoder, entry.id);
        let seen = source
            .directory(entry.parent)
            .and_then(|directory| directory.examine(&entry.name));
        let seen = match seen {
            Ok(seen) => seen,
            Err(OpenError::Problem(_)) => return Ok(None),
            Err(OpenError::State(error)) => return Err(error),
        };
        let was_mount = self.reader.was_mount(entry.id)?;
        let known = SourceAttributes {
            // A row has none: the state holds them in a table of their own.
            losses: self.reader.losses(entry.id)?,
            ..entry.attributes
        };
        let fresh = SourceAttributes {
            atime: known.atime,
            ..seen.attributes
        };
        let is_same = fresh.file_type == known.file_type
            && (!linked || fresh.inode == known.inode)
            && mount_problem(entry, was_mount, &seen).is_none();
        Ok((is_same && fresh != known).then_some(fresh))
    }

    /// Returns the filehandle of a directory.
    fn directory_handle(&mut self, id: EntryId) -> Result<Filehandle, EncodeError> {
        if id == EntryId::ROOT {
            return Ok(Filehandle::ROOT);
        }
        match self.last_directory {
            Some((last, handle)) if last == id => Ok(handle),
            _ => {
                let (parent, _) = self
                    .reader
                    .place(id)?
                    .ok_or(EncodeError::Problem(Problem::new(Reason::Vanished)))?;
                let handle = self
                    .context
                    .identity
                    .filehandle(id, parent, FileType::Directory);
                self.last_directory = Some((id, handle));
                Ok(handle)
            }
        }
    }

    /// Encodes an inode and puts it into the sink.
    fn put_inode<S: ObjectSink>(
        &mut self,
        name: &ObjectName,
        inode: &Inode<'_>,
        room: S::Room,
        sink: &S,
    ) -> Result<(), EncodeError> {
        let mut buffer = ObjectBuffer::with_capacity(inode.payload_capacity());
        inode.encode(&mut buffer)?;
        self.put(name, buffer, room, sink);
        Ok(())
    }

    fn put<S: ObjectSink>(
        &mut self,
        name: &ObjectName,
        buffer: ObjectBuffer,
        room: S::Room,
        sink: &S,
    ) {
        let bytes = self.lz4.wrap(buffer, self.context.compression);
        let object = EncodedObject {
            name: BlobName::from(name),
            memory: bytes.len() as u64,
            bytes: bytes.into(),
        };
        sink.put(object, room);
    }

    /// Does the same as [`put`](Self::put) for a segment in a buffer of the pool.
    fn put_segment<S: ObjectSink>(
        &mut self,
        name: &ObjectName,
        segment: ObjectBuffer,
        room: S::Room,
        sink: &S,
    ) {
        let memory = Arc::clone(&self.context.memory);
        let compression = self.context.compression;
        let second = match compression {
            Compression::Disabled => Vec::new(),
            Compression::Lz4 => memory.take(),
        };
        let wrapped = self.lz4.wrap_in(segment, compression, second);
        memory.give_back(wrapped.spare);
        let object = EncodedObject {
            name: BlobName::from(name),
            memory: wrapped.blob.capacity() as u64,
            bytes: memory.lend(wrapped.blob),
        };
        sink.put(object, room);
    }
}
