//! One entity that is no directory: its inode, who names it, its content (docs/format.md section 6).

use std::collections::HashSet;
use std::sync::Arc;

use clfs_format::{
    Claim, Content, FILE_SEGMENT_BYTES, FIRST_SEGMENT_BYTES, FileType, Filehandle, Inode, Object,
    ObjectId, ObjectType, limits,
};
use futures::stream::{FuturesOrdered, StreamExt};

use super::blocks::{Blocks, Owner, inspected, mismatched};
use super::check::{Check, Counters, Depth, owner_hash};
use super::deviation::unreadable;
use super::finding::Found;
use super::inode::{Place, needed_segments};
use super::names::is_provisional;
use super::rule::{Rule, Severity};
use super::scratch::{Namings, Record};
use crate::monitor::Escaped;
use crate::read::ahead::Ahead;
use crate::read::index::Listed;
use crate::read::{Mismatch, ReadError};

/// Segments of one file that are fetched ahead.
const READ_AHEAD: usize = 4;
/// Segments of one file that are not read again when the block map names them again.
const RECENT: usize = 4096;

/// An entity in the index, and the entries that name it.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) listed: Listed,
    pub(super) handle: Filehandle,
    pub(super) file_type: FileType,
    pub(super) namings: Namings,
}

impl Check {
    /// Judges an entity. Orphans too: nothing names them, but somebody may want them back.
    ///
    /// # Errors
    /// When the container or the ledger fails.
    pub(super) async fn judge_entity(
        self: Arc<Self>,
        named: Named,
        rooted: bool,
    ) -> Result<(), ReadError> {
        let Named {
            listed,
            handle,
            file_type,
            namings,
        } = named;
        let mut records = Vec::new();
        if namings.count == 0 {
            match rooted {
                true => records.push(orphan(&listed, handle).into()),
                false => Counters::add(&self.counters.unnamed, 1),
            }
        }
        let fetched = match self.fetch(&listed).await? {
            Ok(fetched) => fetched,
            Err(error) => {
                records.push(unreadable(&error, &listed.name, Some(handle)).into());
                return self.records.send(records).await;
            }
        };
        let (object, found) = inspected(&fetched, file_type.object_type(), Some(handle));
        records.extend(found.into_iter().map(Record::from));
        let Some(Object::Inode(inode)) = object else {
            return self.records.send(records).await;
        };
        let place = Place {
            blob: &fetched.name,
            handle,
            file_type,
        };
        let mut found = self.judge_inode(place, &inode);
        links(place, &inode, &namings, &mut found);
        if let (FileType::Symlink, Content::Data(target)) = (file_type, &inode.content) {
            found.extend(symlink(place, inode.attributes.size, target));
        }
        records.extend(found.into_iter().map(Record::from));
        self.records.send(records).await?;
        if file_type == FileType::Regular {
            self.judge_content(place, &inode).await?;
        }
        Ok(())
    }

    /// Judges the segments of a regular file.
    async fn judge_content(
        self: &Arc<Self>,
        place: Place<'_>,
        inode: &Inode<'_>,
    ) -> Result<(), ReadError> {
        let size = inode.attributes.size;
        Counters::add(&self.counters.file_bytes, size);
        let needed = needed_segments(size);
        let owner = Owner {
            blob: *place.blob,
            handle: place.handle,
            ctime: inode.attributes.ctime.seconds,
        };
        let mut content = Lengths::default();
        if let Content::Data(data) = &inode.content {
            content.first(data.len() as u64);
        }
        let mut blocks = Blocks::new(self, owner, &inode.block_map);
        let mut ahead: FuturesOrdered<Ahead<Judged>> = FuturesOrdered::new();
        let mut count: u64 = 0;
        let mut recent = HashSet::new();
        let mut over = false;
        loop {
            while ahead.len() < READ_AHEAD && !over {
                let Some((number, id)) = blocks.next().await? else {
                    over = true;
                    break;
                };
                let offset = FIRST_SEGMENT_BYTES
                    .saturating_add((number - 1).saturating_mul(FILE_SEGMENT_BYTES));
                count = number;
                // A map of a few bytes may name one segment a thousand times: neither is it read
                // again, nor are more than the size needs. What is not there, and what is used
                // twice, is found when all uses are known.
                if recent.len() >= RECENT {
                    recent.clear();
                }
                let wanted = number <= needed && recent.insert(id);
                let listed = self.find(&ObjectId::Block(id))?;
                let read = match listed.filter(|_| wanted) {
                    Some(listed) if self.depth == Depth::Quick => {
                        let archived = self.archived(&listed, Some(owner.handle));
                        blocks.records.extend(archived.map(Record::from));
                        Counters::add(&self.counters.segments_unread, 1);
                        None
                    }
                    listed => listed,
                };
                let Some(listed) = read else {
                    content.incomplete = true;
                    blocks.send_many().await?;
                    continue;
                };
                let (check, last) = (Arc::clone(self), number == needed);
                ahead.push_back(Ahead::start(async move {
                    check.judge_segment(listed, owner, offset, last).await
                }));
            }
            let judged = ahead.next().await;
            let mut records = std::mem::take(&mut blocks.records);
            let over = judged.is_none();
            if let Some(judged) = judged {
                let (length, more) = judged?;
                content.other(length);
                records.extend(more);
            }
            self.records.send(records).await?;
            if over {
                break;
            }
        }
        let mut found = Vec::new();
        content.incomplete |= blocks.incomplete;
        if count != needed && !blocks.incomplete {
            let text = format!("{count} segments, where its {size} bytes need {needed}");
            found.push(place.found(Rule::BlockCount, text).into());
        }
        if let Some(text) = content.differs(size) {
            found.push(place.found(Rule::Size, text).into());
        }
        self.records.send(found).await
    }

    /// The bytes that a segment holds; none when it cannot be read.
    async fn judge_segment(
        &self,
        listed: Listed,
        owner: Owner,
        offset: u64,
        last: bool,
    ) -> Result<Judged, ReadError> {
        let mut records = Vec::new();
        let fetched = match self.fetch(&listed).await? {
            Ok(fetched) => fetched,
            Err(error) => {
                let found = unreadable(&error, &listed.name, Some(owner.handle));
                return Ok((None, vec![found.into()]));
            }
        };
        let object = owner.block(&fetched, ObjectType::Segment, &mut records);
        let segment = match object {
            Some(Object::FileSegment(segment)) => segment,
            Some(Object::DirectorySegment(segment)) => {
                let other = Mismatch::Other(Claim::DirectorySegment(segment.data_back));
                records.push(mismatched(other, &fetched.name, Some(owner.handle)).into());
                return Ok((None, records));
            }
            _ => return Ok((None, records)),
        };
        if !owner.data_back(&fetched.name, &segment.data_back, offset, &mut records) {
            return Ok((None, records));
        }
        let length = segment.data.len() as u64;
        // Too many are the decoder's to tell.
        if length == 0 || (!last && length < FILE_SEGMENT_BYTES) {
            let text = match last {
                true => "the last segment holds no bytes".to_owned(),
                false => format!("{length} bytes in a segment that is not the last"),
            };
            let found = Found::of(Rule::SegmentLength, &fetched.name, owner.handle, text);
            records.push(found.into());
        }
        Ok((Some(length), records))
    }
}

/// How many bytes a segment holds, and what was found.
type Judged = (Option<u64>, Vec<Record>);

/// What the segments of a file hold together.
#[derive(Debug, Default)]
struct Lengths {
    first: u64,
    sum: u64,
    /// Whether some were not read.
    incomplete: bool,
}

impl Lengths {
    fn first(&mut self, length: u64) {
        self.first = length;
        self.sum = length;
    }

    fn other(&mut self, length: Option<u64>) {
        match length {
            Some(length) => self.sum = self.sum.saturating_add(length),
            None => self.incomplete = true,
        }
    }

    /// Why they are not those of a file of this size. When not all are known, the first must do.
    fn differs(&self, size: u64) -> Option<String> {
        let first = size.min(FIRST_SEGMENT_BYTES);
        if self.first != first {
            let held = self.first;
            return Some(format!(
                "size is {size}, so the inode must hold {first} bytes; it holds {held}"
            ));
        }
        let sum = self.sum;
        (!self.incomplete && sum != size)
            .then(|| format!("size is {size}, the segments hold {sum} bytes"))
    }
}

/// Nothing names it.
pub(super) fn orphan(listed: &Listed, handle: Filehandle) -> Found {
    let text = "no directory entry names it";
    Found::of(Rule::Orphan, &listed.name, handle, text)
}

/// Link count, back pointers, NAME and owner against each other and the entries.
fn links(place: Place<'_>, inode: &Inode<'_>, namings: &Namings, found: &mut Vec<Found>) {
    let back = &*inode.back;
    let nlink = inode.attributes.nlink as usize;
    if nlink != back.len() || nlink == 0 || nlink > limits::LINKS {
        let text = format!(
            "nlink is {nlink}; back pointers: {}, of which there may be 1 to {}",
            back.len(),
            limits::LINKS
        );
        found.push(place.found(Rule::Links, text));
    }
    if let Some(first) = back.first() {
        owner(place, *first, found);
    }
    if namings.count == 0 {
        return;
    }
    let mut pointed = back.to_vec();
    let mut naming: Vec<Filehandle> = namings.first.iter().map(|n| n.parent).collect();
    pointed.sort_unstable();
    naming.sort_unstable();
    if namings.count != pointed.len() as u64 || naming != pointed {
        let text = match namings.count == pointed.len() as u64 {
            true => "its back pointers are not the directories whose entries name it".to_owned(),
            false => format!(
                "directory entries that name it: {}; back pointers: {}",
                namings.count,
                pointed.len()
            ),
        };
        found.push(place.found(Rule::BackPointers, text));
    }
    // An empty NAME, or none, is the decoder's to tell.
    let named = inode.name.is_empty() || namings.first.iter().any(|n| n.name == *inode.name);
    if !named {
        let text = format!(
            "its NAME is \"{}\", which no entry says",
            Escaped(&inode.name)
        );
        found.push(place.found(Rule::OwnName, text));
    }
}

/// The owner is the first back pointer.
fn owner(place: Place<'_>, first: Filehandle, found: &mut Vec<Found>) {
    let expected = first.hash64();
    match owner_hash(place.blob) {
        Some(hash) if hash != expected && !is_provisional(place.blob) => {
            let text = format!(
                "the owner in its name is {hash:016X}, but that of its first back pointer {expected:016X}"
            );
            found.push(place.found(Rule::Owner, text));
        }
        _ => {}
    }
    let manager = place.handle.as_bytes().get(4).copied().unwrap_or_default();
    if manager != first.directory_manager() {
        let text = format!(
            "byte 4 of its filehandle is {manager}, the directory manager of its owner {}",
            first.directory_manager()
        );
        // A cache that moves an entry cannot change its filehandle.
        found.push(Found {
            severity: Severity::Warning,
            ..place.found(Rule::DirectoryManager, text)
        });
    }
}

/// A target's length in bytes, or in characters: the original counts those (section 7).
fn symlink(place: Place<'_>, size: u64, target: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    if target.is_empty() || target.contains(&0) {
        let text = "its target is empty or holds a NUL";
        found.push(place.found(Rule::SymlinkTarget, text));
    }
    // Where bytes are no characters, the original counts each of them.
    let chunks = target.utf8_chunks();
    let characters: usize = chunks
        .map(|chunk| chunk.valid().chars().count() + chunk.invalid().len())
        .sum();
    if size != target.len() as u64 && size != characters as u64 {
        let text = format!("size is {size}, its target has {} bytes", target.len());
        found.push(place.found(Rule::Size, text));
    }
    found
}
