//! Inodes other than directories: files of one segment, symlinks, devices, fifos and sockets.

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
use super::{EncodeError, Encoded, Encoder, ObjectSink, ReadContent, ReadPolicy, entity_name};
use crate::entry::{Entry, EntryId, SourceAttributes};
use crate::problem::{Problem, Reason};
use crate::source::{CallKind, EntryStat, SourceTree};

/// Room for an inode without content, name and back pointers: handles, attributes, block map.
const INODE_BYTES: u64 = 1024;
/// The BMAP's "other segment size" of entities that are not directories.
pub(super) const OTHER_SEGMENT: u32 = FILE_SEGMENT_BYTES as u32;

/// The name by which an entry is read: its own or, of a hard link, a further one.
#[derive(Clone, Copy)]
pub(super) struct ReadName<'a> {
    pub(super) entry: &'a Entry,
    parent: EntryId,
    name: &'a [u8],
}

impl ReadName<'_> {
    pub(super) fn open(&self, source: &SourceTree) -> Result<OwnedFd, EncodeError> {
        Ok(source.directory(self.parent)?.open_file(self.name)?)
    }
}

impl Encoder {
    /// Encodes an inode that has names in the directories `back`.
    pub(super) fn inode<S: ObjectSink>(
        &mut self,
        entry: &Entry,
        back: &[Filehandle],
        sink: &S,
    ) -> Result<Encoded, EncodeError> {
        self.inode_at(entry, entry.parent, &entry.name, back, sink)
    }

    /// Does the same as [`inode`](Self::inode), but reads by the given name, which may be a further one.
    pub(super) fn inode_at<S: ObjectSink>(
        &mut self,
        entry: &Entry,
        parent: EntryId,
        name: &[u8],
        back: &[Filehandle],
        sink: &S,
    ) -> Result<Encoded, EncodeError> {
        let attributes = &entry.attributes;
        let name = ReadName {
            entry,
            parent,
            name,
        };
        match attributes.file_type {
            FileType::Regular if attributes.size > FIRST_SEGMENT_BYTES => {
                let context = Arc::clone(&self.context);
                let call = context.source.begin_call(CallKind::Encoder, entry.id);
                let file = LargeFile::open(&context, name, back, self.read_policy)?;
                self.add_source_time(call, FIRST_SEGMENT_BYTES);
                Ok(Encoded::Large(Box::new(file)))
            }
            FileType::Regular => self.small_file(name, back, sink),
            FileType::Symlink => self.symlink(name, back, sink),
            _ => {
                let room = sink.room(INODE_BYTES);
                self.put_single(entry, 0, Content::None, back, room, sink)?;
                Ok(Encoded::Complete(ReadContent::default()))
            }
        }
    }

    fn small_file<S: ObjectSink>(
        &mut self,
        name: ReadName<'_>,
        back: &[Filehandle],
        sink: &S,
    ) -> Result<Encoded, EncodeError> {
        let entry = name.entry;
        let size = entry.attributes.size;
        let room = sink.room(size + INODE_BYTES);
        let context = Arc::clone(&self.context);
        let call = context.source.begin_call(CallKind::Encoder, entry.id);
        let file = name.open(&context.source)?;
        let mut content = std::mem::take(&mut self.content);
        // One byte more than the size, because the sizes of some FUSE file systems are not the real ones.
        content.resize(FIRST_SEGMENT_BYTES as usize + 1, 0);
        let wanted = content.get_mut(..size as usize + 1).unwrap_or_default();
        let count = read_at_least(&file, wanted, 0, size as usize)?;
        let changed = check_read(&file, &entry.attributes, self.read_policy)?;
        if (count as u64) < size || count as u64 != size && !changed {
            // The length of the content is not the size, although the attributes did not change.
            return Err(EncodeError::Changed(
                EntryStat::examined_open(&file)?.attributes,
            ));
        }
        drop(file);
        self.add_source_time(call, size);
        let data = content.get(..size as usize).unwrap_or_default();
        let data = Content::Data(Cow::Borrowed(data));
        let put = self.put_single(entry, size, data, back, room, sink);
        self.content = content;
        put?;
        Ok(Encoded::Complete(ReadContent {
            bytes: size,
            changed,
        }))
    }

    fn symlink<S: ObjectSink>(
        &mut self,
        name: ReadName<'_>,
        back: &[Filehandle],
        sink: &S,
    ) -> Result<Encoded, EncodeError> {
        let entry = name.entry;
        let room = sink.room(INODE_BYTES + SYMLINK_TARGET_BYTES as u64);
        let context = Arc::clone(&self.context);
        let call = context.source.begin_call(CallKind::Encoder, entry.id);
        let directory = context.source.directory(name.parent)?;
        let target = match directory.read_link(name.name) {
            Ok(target) => target,
            // readlink(2): EINVAL is "not a symbolic link".
            Err(Errno::INVAL) => {
                return Err(EncodeError::Problem(Problem::new(Reason::TypeChanged)));
            }
            Err(errno) => return Err(errno.into()),
        };
        let seen = directory.examine(name.name)?.attributes;
        let attributes = symlink_attributes(&entry.attributes, seen)?;
        // Another symlink may have taken name and inode number between the two calls.
        if attributes != entry.attributes && directory.read_link(name.name)? != target {
            return Err(EncodeError::Changed(seen));
        }
        self.add_source_time(call, 0);
        if target.len() > SYMLINK_TARGET_BYTES {
            return Err(EncodeError::Problem(Problem::new(
                Reason::LinkTargetTooLong,
            )));
        }
        let size = target.len() as u64;
        let target = Content::Data(Cow::Owned(target));
        let entry = Entry {
            attributes,
            ..entry.clone()
        };
        self.put_single(&entry, size, target, back, room, sink)?;
        Ok(Encoded::Complete(ReadContent {
            bytes: size,
            changed: false,
        }))
    }

    /// Puts an inode whose entity has no other objects.
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

/// Reads until `buffer` is full or the file ends, and returns the number of bytes.
pub(super) fn read_at(file: &OwnedFd, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let all = buffer.len();
    read_at_least(file, buffer, offset, all)
}

/// Reads until at least `enough` bytes are in `buffer` or the file ends, and returns their number.
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

/// Checks that an open file still has the recorded attributes.
pub(super) fn check_unchanged(
    file: &OwnedFd,
    attributes: &SourceAttributes,
) -> Result<(), EncodeError> {
    match same(attributes, EntryStat::open(file)?.attributes) {
        // These are stored next, so the mode must be the one that the ACL allows.
        Err(EncodeError::Changed(_)) => Err(EncodeError::Changed(
            EntryStat::examined_open(file)?.attributes,
        )),
        checked => checked,
    }
}

/// Compares current attributes with recorded ones. Another inode with the same size and time is another
/// file too, unless all other attributes agree, so that only the inode number changed.
fn same(known: &SourceAttributes, seen: SourceAttributes) -> Result<(), EncodeError> {
    if seen.file_type != known.file_type {
        return Err(EncodeError::Problem(Problem::new(Reason::TypeChanged)));
    }
    match known.same_content(&seen) && known.same_inode(&seen) {
        true => Ok(()),
        false => Err(EncodeError::Changed(seen)),
    }
}

/// Returns the attributes to store for a symlink whose target was read just before its attributes were `seen`.
///
/// A target cannot change in place, so type and inode number decide. Times do not, because some file
/// systems return other ones at each call. If they differ, what was seen is stored: it belongs to the
/// target that was read, even where a new symlink has the inode number of a removed one.
fn symlink_attributes(
    known: &SourceAttributes,
    seen: SourceAttributes,
) -> Result<SourceAttributes, EncodeError> {
    match same(known, seen) {
        Ok(()) => Ok(*known),
        Err(EncodeError::Changed(_)) if seen.inode == known.inode => Ok(seen),
        Err(error) => Err(error),
    }
}

/// Checks an open file after a read, and returns whether it changed: with [`ReadPolicy::Unchanged`], a
/// change is an error; with [`ReadPolicy::SameInode`], only another inode is.
pub(super) fn check_read(
    file: &OwnedFd,
    attributes: &SourceAttributes,
    policy: ReadPolicy,
) -> Result<bool, EncodeError> {
    match (check_unchanged(file, attributes), policy) {
        (Ok(()), _) => Ok(false),
        (Err(EncodeError::Changed(seen)), ReadPolicy::SameInode)
            if seen.inode == attributes.inode =>
        {
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
    fn a_symlink_is_the_same_by_its_inode_and_gets_the_attributes_of_its_target() {
        let file = OwnedFd::from(tempfile::tempfile().unwrap());
        let known = SourceAttributes {
            file_type: FileType::Symlink,
            ..EntryStat::open(&file).unwrap().attributes
        };
        let stored = |seen| symlink_attributes(&known, seen).ok();
        // The access time differs because the target was read.
        let mut read = known;
        read.atime.seconds += 1;
        assert_eq!(stored(read), Some(known));
        let mut later = read;
        later.mtime.seconds += 1;
        later.uid += 1;
        assert_eq!(stored(later), Some(later));
        // Only the number differs, where numbers are not stable.
        let renumbered = SourceAttributes {
            inode: known.inode + 1,
            ..read
        };
        assert_eq!(stored(renumbered), Some(known));
        let other = SourceAttributes {
            inode: known.inode + 1,
            ..later
        };
        assert!(matches!(
            symlink_attributes(&known, other),
            Err(EncodeError::Changed(changed)) if changed == other
        ));
        let file = SourceAttributes {
            file_type: FileType::Regular,
            ..known
        };
        assert!(matches!(
            symlink_attributes(&known, file),
            Err(EncodeError::Problem(_))
        ));
    }

    #[test]
    fn a_file_in_the_place_of_another_is_never_read_for_it() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, b"content").unwrap();
        let file = OwnedFd::from(file);
        let seen = EntryStat::open(&file).unwrap().attributes;
        let shorter = SourceAttributes {
            size: seen.size - 1,
            ..seen
        };
        let other = SourceAttributes {
            inode: seen.inode + 1,
            ..shorter
        };
        let both = [ReadPolicy::Unchanged, ReadPolicy::SameInode];
        let read = |attributes: &SourceAttributes| {
            both.map(|policy| check_read(&file, attributes, policy).ok())
        };
        assert_eq!(read(&seen), [Some(false); 2]);
        assert_eq!(read(&shorter), [None, Some(true)]);
        assert_eq!(read(&other), [None; 2]);
        // Another file of the same size and time; and the same file with another number.
        let mut exchanged = SourceAttributes {
            inode: seen.inode + 1,
            ..seen
        };
        assert_eq!(read(&exchanged), [Some(false); 2]);
        exchanged.ctime.seconds += 1;
        assert_eq!(read(&exchanged), [None; 2]);
    }
}
