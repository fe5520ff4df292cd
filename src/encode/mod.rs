//! Entries into objects: reads the source, builds payloads, compresses them.
//!
//! The encoder runs on threads of its own. It hands finished objects to an [`ObjectSink`] and
//! asks it for room *before* it reads; it never asks while it holds room that is not handed
//! over, so that threads waiting for room cannot block each other.

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
use crate::source::{CallKind, OpenCall, OpenError, SourceTree};
use crate::state::{Reader, StateError};

pub(crate) use attributes::attributes;
pub use large_file::{LargeFile, SegmentEnd};
pub use leftovers::obsolete_blobs;
pub use memory::SegmentMemory;
pub use names::{bucket_name, entity_name, root_name};

/// An object as the container gets it.
#[derive(Debug)]
pub struct EncodedObject {
    /// Its blob name.
    pub name: BlobName,
    /// Wrapper and payload.
    pub bytes: Bytes,
    /// The memory that `bytes` holds on to, in bytes: at least their length.
    pub memory: u64,
}

/// Where objects go, one sink for each entity.
pub trait ObjectSink: Sync {
    /// Room for the bytes of an object; given back when it is in the container.
    type Room;

    /// Waits for room for `bytes`.
    fn room(&self, bytes: u64) -> Self::Room;

    /// Hands an object over.
    fn put(&self, object: EncodedObject, room: Self::Room);
}

/// Why an entry did not become objects.
#[derive(Debug)]
pub enum EncodeError {
    /// A problem of this entry.
    Problem(Problem),
    /// The file is not what the scan saw: these are its attributes now.
    Changed(SourceAttributes),
    /// The run cannot go on.
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
    /// The format refuses lengths and names that the scan and the encoder let pass: none should
    /// be left, and one that is must not stop the others.
    fn from(_: FormatError) -> Self {
        EncodeError::Problem(Problem::new(Reason::NotRepresentable))
    }
}

/// A name that leads to another inode now says nothing of the one that the other names have.
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

/// What every encoder of a run shares.
#[derive(Debug)]
pub struct EncodeContext {
    /// Where ids come from.
    pub identity: Identity,
    /// How objects are compressed.
    pub compression: Compression,
    /// What is read.
    pub source: SourceTree,
    /// What segments are built in.
    pub memory: Arc<SegmentMemory>,
}

/// Which reads of a file count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reading {
    /// Those of a file that stays as the scan saw it.
    #[default]
    Unchanged,
    /// Also those of one that changes meanwhile, as long as it is the same inode and has as many bytes
    /// as the scan saw: these are read, and no others.
    AsItIs,
}

/// Content that was read whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadContent {
    /// So many bytes.
    pub bytes: u64,
    /// The file changed meanwhile: old and new content may be mixed.
    pub changed: bool,
}

/// What became of an entry.
#[derive(Debug)]
pub enum Encoded {
    /// All objects are handed over.
    Whole(ReadContent),
    /// A file of several segments: they are still to be read, by whoever has time.
    Large(Box<LargeFile>),
}

/// One thread's encoder: its buffers and its connection.
pub struct Encoder {
    context: Arc<EncodeContext>,
    reader: Reader,
    lz4: Lz4Encoder,
    /// Reused from file to file.
    content: Vec<u8>,
    /// The directory of the last entry; the next one is mostly in the same.
    last_directory: Option<(EntryId, Filehandle)>,
    /// How long the source took since the caller asked, but for moving bytes.
    source_time: Duration,
    /// Which reads of a file count.
    reading: Reading,
}

/// What a byte takes from memory, or from the fastest networks: a source that needs no longer is
/// not waited for.
const NANOSECONDS_A_BYTE: u64 = 1;

impl Encoder {
    /// An encoder for one thread.
    pub fn new(context: Arc<EncodeContext>, reader: Reader) -> Self {
        Encoder {
            context,
            reader,
            lz4: Lz4Encoder::new(),
            content: Vec::new(),
            last_directory: None,
            source_time: Duration::ZERO,
            reading: Reading::default(),
        }
    }

    /// From the next entry on, says which reads of a file count.
    pub fn set_reading(&mut self, reading: Reading) {
        self.reading = reading;
    }

    /// How long the source took to answer since the last call of this: what many threads could wait
    /// for at the same time.
    pub fn take_source_time(&mut self) -> Duration {
        std::mem::take(&mut self.source_time)
    }

    /// The source answered, with so many bytes.
    fn answered(&mut self, call: OpenCall<'_>, bytes: u64) {
        let moving = Duration::from_nanos(bytes.saturating_mul(NANOSECONDS_A_BYTE));
        self.source_time += call.end().saturating_sub(moving);
    }

    /// Encodes an entry other than the root that has one name.
    ///
    /// # Errors
    /// When the source does not give it, or it changed.
    pub fn entry<S: ObjectSink>(
        &mut self,
        entry: &Entry,
        sink: &S,
    ) -> Result<Encoded, EncodeError> {
        let back = [self.directory_handle(entry.parent)?];
        match entry.attributes.file_type {
            FileType::Directory => self
                .directory(entry, sink)
                .map(|()| Encoded::Whole(ReadContent::default())),
            _ => {
                let encoded = self.inode(entry, &back, sink);
                self.still_mounted(entry, encoded)
            }
        }
    }

    /// Where a file was mounted by itself and is not any more, the file below it is no newer version.
    fn still_mounted(
        &self,
        entry: &Entry,
        encoded: Result<Encoded, EncodeError>,
    ) -> Result<Encoded, EncodeError> {
        match encoded {
            Err(EncodeError::Changed(_)) if self.is_unmounted(entry)? => {
                Err(EncodeError::Problem(Problem::new(Reason::NotMounted)))
            }
            encoded => encoded,
        }
    }

    fn is_unmounted(&self, entry: &Entry) -> Result<bool, EncodeError> {
        if !self.reader.was_mount(entry.id)? {
            return Ok(false);
        }
        let directory = self.context.source.directory(entry.parent)?;
        Ok(directory.look_at(&entry.name)?.mount.is_none())
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
        let mut encoded = same_inode(entry, self.still_mounted(entry, encoded));
        // Another name leads to the same inode when the first is gone.
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

    /// The attributes that an entry has now, if they are others than the state's and it is still
    /// the same: access times aside, which reading changes. `linked`: another inode under the name
    /// says nothing of the one that the other names have. What keeps one from looking is for the
    /// encoding to tell.
    pub fn fresh_attributes(&self, entry: &Entry, linked: bool) -> Option<SourceAttributes> {
        let source = &self.context.source;
        let _call = source.begin_call(CallKind::Encoder, entry.id);
        let directory = source.directory(entry.parent).ok()?;
        if self.is_unmounted(entry).unwrap_or(true) {
            return None;
        }
        let known = entry.attributes;
        let mut seen = directory.look_at(&entry.name).ok()?.attributes;
        let same = seen.file_type == known.file_type && (!linked || seen.inode == known.inode);
        seen.atime = known.atime;
        let losses = std::mem::replace(&mut seen.losses, known.losses);
        (same && seen != known).then_some(SourceAttributes { losses, ..seen })
    }

    /// The filehandle of a directory.
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

    /// Puts an inode that has its filehandle's type.
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

    /// [`put`](Self::put) for a segment whose memory came from the context's.
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
