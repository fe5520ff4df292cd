//! Everything but directories: content of one segment, links, devices, fifos, sockets.

use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use clfs_format::limits::SYMLINK_TARGET_BYTES;
use clfs_format::{
    BlockMap, Content, FILE_SEGMENT_BYTES, FIRST_SEGMENT_BYTES, FileType, Filehandle, Inode,
};
use rustix::io::{Errno, pread};

use super::attributes::attributes;
use super::large_file::LargeFile;
use super::{EncodeError, Encoded, Encoder, ObjectSink, ReadContent, Reading, entity_name};
use crate::entry::{Entry, EntryId, SourceAttributes};
use crate::problem::{Problem, Reason};
use crate::source::{CallKind, Seen, SourceTree};

/// What an inode takes besides content, name and back pointers: handles, attributes, block map.
const INODE_BYTES: u64 = 1024;
/// The BMAP's "other segment size" of entities that are not directories.
pub(super) const OTHER_SEGMENT: u32 = FILE_SEGMENT_BYTES as u32;

/// Where an entry's content is read: at its own name or, for a link, at another of its names.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) entry: &'a Entry,
    parent: EntryId,
    name: &'a [u8],
}

impl Place<'_> {
    pub(super) fn open(&self, source: &SourceTree) -> Result<OwnedFd, EncodeError> {
        Ok(source.directory(self.parent)?.open_file(self.name)?)
    }
}

impl Encoder {
    /// Encodes an inode whose names lie in the directories `back`.
    pub(super) fn inode<S: ObjectSink>(
        &mut self,
        entry: &Entry,
        back: &[Filehandle],
        sink: &S,
    ) -> Result<Encoded, EncodeError> {
        self.inode_at(entry, entry.parent, &entry.name, back, sink)
    }

    /// [`inode`](Self::inode), read from where the source has another of its names.
    pub(super) fn inode_at<S: ObjectSink>(
        &mut self,
        entry: &Entry,
        parent: EntryId,
        name: &[u8],
        back: &[Filehandle],
        sink: &S,
    ) -> Result<Encoded, EncodeError> {
        let attributes = &entry.attributes;
        let place = Place {
            entry,
            parent,
            name,
        };
        match attributes.file_type {
            FileType::Regular if attributes.size > FIRST_SEGMENT_BYTES => {
                let context = Arc::clone(&self.context);
                let call = context.source.begin_call(CallKind::Encoder, entry.id);
                let file = LargeFile::open(&context, place, back, self.reading)?;
                self.answered(call, FIRST_SEGMENT_BYTES);
                Ok(Encoded::Large(Box::new(file)))
            }
            FileType::Regular => self.small_file(place, back, sink),
            FileType::Symlink => self.symlink(place, back, sink),
            _ => {
                let room = sink.room(INODE_BYTES);
                self.put_single(entry, 0, Content::None, back, room, sink)?;
                Ok(Encoded::Whole(ReadContent::default()))
            }
        }
    }

    fn small_file<S: ObjectSink>(
        &mut self,
        place: Place<'_>,
        back: &[Filehandle],
        sink: &S,
    ) -> Result<Encoded, EncodeError> {
        let entry = place.entry;
        let size = entry.attributes.size;
        let room = sink.room(size + INODE_BYTES);
        let context = Arc::clone(&self.context);
        let call = context.source.begin_call(CallKind::Encoder, entry.id);
        let file = place.open(&context.source)?;
        let mut content = std::mem::take(&mut self.content);
        // One byte more than there should be: FUSE and the like may have a size that says nothing.
        content.resize(FIRST_SEGMENT_BYTES as usize + 1, 0);
        let wanted = content.get_mut(..size as usize + 1).unwrap_or_default();
        let count = read_at_least(&file, wanted, 0, size as usize)?;
        let changed = check_read(&file, &entry.attributes, self.reading)?;
        if (count as u64) < size || count as u64 != size && !changed {
            // The attributes say it is unchanged, the content does not fit them.
            return Err(EncodeError::Changed(Seen::examined_open(&file)?.attributes));
        }
        drop(file);
        self.answered(call, size);
        let data = content.get(..size as usize).unwrap_or_default();
        let data = Content::Data(Cow::Borrowed(data));
        let put = self.put_single(entry, size, data, back, room, sink);
        self.content = content;
        put?;
        Ok(Encoded::Whole(ReadContent {
            bytes: size,
            changed,
        }))
    }

    fn symlink<S: ObjectSink>(
        &mut self,
        place: Place<'_>,
        back: &[Filehandle],
        sink: &S,
    ) -> Result<Encoded, EncodeError> {
        let entry = place.entry;
        let room = sink.room(INODE_BYTES + SYMLINK_TARGET_BYTES as u64);
        let context = Arc::clone(&self.context);
        let call = context.source.begin_call(CallKind::Encoder, entry.id);
        let directory = context.source.directory(place.parent)?;
        let target = match directory.read_link(place.name) {
            Ok(target) => target,
            // readlink(2): EINVAL is "not a symbolic link".
            Err(Errno::INVAL) => {
                return Err(EncodeError::Problem(Problem::new(Reason::TypeChanged)));
            }
            Err(errno) => return Err(errno.into()),
        };
        // There is no descriptor to ask: what is there after the read was there before it, if it is
        // what the scan saw.
        same(&entry.attributes, directory.look_at(place.name)?.attributes)?;
        self.answered(call, 0);
        if target.len() > SYMLINK_TARGET_BYTES {
            return Err(EncodeError::Problem(Problem::new(
                Reason::LinkTargetTooLong,
            )));
        }
        let size = target.len() as u64;
        let target = Content::Data(Cow::Owned(target));
        self.put_single(entry, size, target, back, room, sink)?;
        Ok(Encoded::Whole(ReadContent {
            bytes: size,
            changed: false,
        }))
    }

    /// Puts an inode that holds all there is of its entity.
    fn put_single<S: ObjectSink>(
        &mut self,
        entry: &Entry,
        size: u64,
        content: Content<'_>,
        back: &[Filehandle],
        room: S::Room,
        sink: &S,
    ) -> Result<(), EncodeError> {
        let identity = &self.context.identity;
        let file_type = entry.attributes.file_type;
        let handle = identity.filehandle(entry.id, entry.parent, file_type);
        let inode = Inode {
            attributes: attributes(identity, &entry.attributes, size, back.len() as u32),
            block_map: BlockMap::single(handle, OTHER_SEGMENT),
            back: Cow::Borrowed(back),
            name: Cow::Borrowed(&entry.name),
            content,
        };
        let owner = back.first().copied().unwrap_or(Filehandle::ROOT);
        self.put_inode(&entity_name(handle, file_type, owner), &inode, room, sink)
    }
}

/// Reads until `buffer` is full or the file ends; returns how much there was.
pub(super) fn read_at(file: &OwnedFd, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let all = buffer.len();
    read_at_least(file, buffer, offset, all)
}

/// Reads once, and again until there is `enough` or the file ends; returns how much there was.
fn read_at_least(
    file: &OwnedFd,
    buffer: &mut [u8],
    offset: u64,
    enough: usize,
) -> Result<usize, Errno> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        if filled > 0 && filled >= enough {
            break;
        }
        match pread(file, rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

/// Checks that an open file is still what the scan saw.
pub(super) fn check_unchanged(
    file: &OwnedFd,
    attributes: &SourceAttributes,
) -> Result<(), EncodeError> {
    match same(attributes, Seen::open(file)?.attributes) {
        // What is stored next has the mode that its ACL allows.
        Err(EncodeError::Changed(_)) => {
            Err(EncodeError::Changed(Seen::examined_open(file)?.attributes))
        }
        checked => checked,
    }
}

/// Checks attributes of now against those of the scan. Another inode with the same size and time
/// is another file too, unless all else says that only its number changed.
fn same(known: &SourceAttributes, seen: SourceAttributes) -> Result<(), EncodeError> {
    if seen.file_type != known.file_type {
        return Err(EncodeError::Problem(Problem::new(Reason::TypeChanged)));
    }
    match known.same_content(&seen) && known.same_inode(&seen) {
        true => Ok(()),
        false => Err(EncodeError::Changed(seen)),
    }
}

/// Checks that what is read of an open file counts: that it is still what the scan saw or, where
/// [`Reading::AsItIs`] is asked for, the same inode. True when it changed.
pub(super) fn check_read(
    file: &OwnedFd,
    attributes: &SourceAttributes,
    reading: Reading,
) -> Result<bool, EncodeError> {
    match (check_unchanged(file, attributes), reading) {
        (Ok(()), _) => Ok(false),
        (Err(EncodeError::Changed(seen)), Reading::AsItIs) if seen.inode == attributes.inode => {
            Ok(true)
        }
        (Err(error), _) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_place_of_another_is_never_read_for_it() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, b"content").unwrap();
        let file = OwnedFd::from(file);
        let seen = Seen::open(&file).unwrap().attributes;
        let shorter = SourceAttributes {
            size: seen.size - 1,
            ..seen
        };
        let other = SourceAttributes {
            inode: seen.inode + 1,
            ..shorter
        };
        let both = [Reading::Unchanged, Reading::AsItIs];
        let read = |attributes: &SourceAttributes| {
            both.map(|reading| check_read(&file, attributes, reading).ok())
        };
        assert_eq!(read(&seen), [Some(false); 2]);
        assert_eq!(read(&shorter), [None, Some(true)]);
        assert_eq!(read(&other), [None; 2]);
    }
}
