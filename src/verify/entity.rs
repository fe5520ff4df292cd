//! Checks one entity that is not a directory: its inode, the entries that name it, its content
//! (format.md §6).

use std::sync::Arc;

use clfs_format::{
    Claim, Content, FILE_SEGMENT_BYTES, FIRST_SEGMENT_BYTES, FileType, Filehandle, Inode, Object,
    ObjectType, file_segment_count, file_segment_range, limits,
};
use futures::stream::{FuturesOrdered, StreamExt};

use super::blocks::{BlockOwner, BlockWalk, decode, mismatch_finding};
use super::checker::{Checker, Counters, Depth, owner_hash};
use super::finding::{NewFinding, unreadable_finding};
use super::inode::InodeRef;
use super::names::is_provisional;
use super::rule::{Rule, Severity};
use super::scratch::{ParentEntries, Record};
use crate::read::index::Listed;
use crate::read::{Ahead, Mismatch, ReadError};
use crate::text::Escaped;

/// Segments of a file that are downloaded ahead.
const READ_AHEAD: usize = 4;

/// Whether the entries of all directories are known. If not, an object that no known entry names need
/// not be an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entries {
    AllKnown,
    SomeUnknown,
}

/// An entity in the index, and the entries that name it.
#[derive(Debug)]
pub(super) struct NamedEntity {
    pub(super) listed: Listed,
    pub(super) handle: Filehandle,
    pub(super) file_type: FileType,
    pub(super) parents: ParentEntries,
}

impl Checker {
    /// Checks an entity. Orphans are checked as well, because users may want to recover them.
    ///
    /// # Errors
    /// If the container or the recorder fails.
    pub(super) async fn check_entity(
        self: Arc<Self>,
        named: NamedEntity,
        entries: Entries,
    ) -> Result<(), ReadError> {
        let NamedEntity {
            listed,
            handle,
            file_type,
            parents,
        } = named;
        let mut records = Vec::new();
        match (parents.count, entries) {
            (0, Entries::AllKnown) => records.push(orphan(&listed, handle).into()),
            (0, Entries::SomeUnknown) => Counters::add(&self.counters.possible_orphans, 1),
            _ => {}
        }
        let fetched = self.fetch(&listed).await?.map_err(|error| {
            records.push(unreadable_finding(&error, &listed.name, Some(handle)).into());
        });
        let object = fetched.as_ref().ok().and_then(|fetched| {
            let (object, findings) = decode(fetched, file_type.object_type(), Some(handle));
            records.extend(findings.into_iter().map(Record::from));
            object
        });
        let (Ok(fetched), Some(Object::Inode(inode))) = (&fetched, object) else {
            if file_type == FileType::Regular {
                Counters::add(&self.counters.partial_block_maps, 1);
            }
            return self.recorder.send(records).await;
        };
        let at = InodeRef {
            blob: &fetched.name,
            handle,
            file_type,
        };
        let mut findings = self.check_inode(at, &inode);
        check_links(at, &inode, &parents, entries, &mut findings);
        if let (FileType::Symlink, Content::Data(target)) = (file_type, &inode.content) {
            check_symlink(at, inode.attributes.size, target, &mut findings);
        }
        records.extend(findings.into_iter().map(Record::from));
        self.recorder.send(records).await?;
        if file_type == FileType::Regular {
            self.check_content(at, &inode).await?;
        }
        Ok(())
    }

    /// Checks the segments of a regular file.
    async fn check_content(
        self: &Arc<Self>,
        at: InodeRef<'_>,
        inode: &Inode<'_>,
    ) -> Result<(), ReadError> {
        let size = inode.attributes.size;
        Counters::add(&self.counters.file_bytes, size);
        let needed = file_segment_count(size);
        let owner = BlockOwner {
            blob: *at.blob,
            handle: at.handle,
            ctime: inode.attributes.ctime.seconds,
        };
        let mut content = ContentLength::new(match &inode.content {
            Content::Data(data) => data.len() as u64,
            _ => 0,
        });
        let mut blocks = BlockWalk::new(self, owner, &inode.block_map);
        let mut ahead: FuturesOrdered<Ahead<CheckedSegment>> = FuturesOrdered::new();
        let mut count: u64 = 0;
        let mut at_end = false;
        loop {
            while ahead.len() < READ_AHEAD && !at_end {
                let Some(segment) = blocks.next().await? else {
                    at_end = true;
                    break;
                };
                count = segment.number;
                // Segments that the size does not need are not read.
                let mut listed = segment.listed.filter(|_| count <= needed);
                if self.depth == Depth::Quick
                    && let Some(unread) = listed.take()
                {
                    let archived = self.archived(&unread, Some(owner.handle));
                    blocks.records.extend(archived.map(Record::from));
                    Counters::add(&self.counters.segments_unread, 1);
                }
                let Some(listed) = listed else {
                    content.incomplete = true;
                    blocks.send_batch().await?;
                    continue;
                };
                let (checker, number, is_last) = (Arc::clone(self), count, count == needed);
                ahead.push_back(Ahead::start(async move {
                    checker.check_segment(listed, owner, number, is_last).await
                }));
            }
            let checked = ahead.next().await.transpose()?;
            let mut records = std::mem::take(&mut blocks.records);
            let Some((length, more)) = checked else {
                self.recorder.send(records).await?;
                break;
            };
            content.add(length);
            records.extend(more);
            self.recorder.send(records).await?;
        }
        let mut records = Vec::new();
        if blocks.incomplete {
            content.incomplete = true;
            Counters::add(&self.counters.partial_block_maps, 1);
        } else if count != needed {
            let text = format!("segments: {count}; its {size} bytes need {needed}");
            records.push(at.finding(Rule::BlockCount, text).into());
        }
        if let Some(text) = content.mismatch(size) {
            records.push(at.finding(Rule::Size, text).into());
        }
        self.recorder.send(records).await
    }

    /// Checks a segment; returns its bytes, or none if it cannot be read.
    async fn check_segment(
        &self,
        listed: Listed,
        owner: BlockOwner,
        number: u64,
        is_last: bool,
    ) -> Result<CheckedSegment, ReadError> {
        let mut records = Vec::new();
        let fetched = match self.fetch(&listed).await? {
            Ok(fetched) => fetched,
            Err(error) => {
                let found = unreadable_finding(&error, &listed.name, Some(owner.handle));
                return Ok((None, vec![found.into()]));
            }
        };
        let segment = match owner.decode(&fetched, ObjectType::Segment, &mut records) {
            Some(Object::FileSegment(segment)) => segment,
            Some(Object::DirectorySegment(segment)) => {
                let other = Mismatch::Other(Claim::DirectorySegment(segment.data_back));
                records.push(mismatch_finding(other, &fetched.name, Some(owner.handle)).into());
                return Ok((None, records));
            }
            _ => return Ok((None, records)),
        };
        let offset = file_segment_range(number, u64::MAX).start;
        if !owner.check_data_back(&fetched.name, &segment.data_back, offset, &mut records) {
            return Ok((None, records));
        }
        let length = segment.data.len() as u64;
        // The decoder reports a segment that is too long.
        if length == 0 || (!is_last && length < FILE_SEGMENT_BYTES) {
            let text = match is_last {
                true => "the last segment has no bytes".to_owned(),
                false => format!("{length} bytes in a segment that is not the last"),
            };
            let found = NewFinding::entity(Rule::SegmentLength, &fetched.name, owner.handle, text);
            records.push(found.into());
        }
        Ok((Some(length), records))
    }
}

/// The bytes of a segment, if it could be read, and its records.
type CheckedSegment = (Option<u64>, Vec<Record>);

/// The length of a file's content, by its segments.
#[derive(Debug)]
struct ContentLength {
    /// Bytes in the inode.
    first: u64,
    sum: u64,
    /// Whether some segments were not read.
    incomplete: bool,
}

impl ContentLength {
    fn new(first: u64) -> Self {
        Self {
            first,
            sum: first,
            incomplete: false,
        }
    }

    fn add(&mut self, length: Option<u64>) {
        match length {
            Some(length) => self.sum = self.sum.saturating_add(length),
            None => self.incomplete = true,
        }
    }

    /// Returns how the content differs from a size. If it is incomplete, only the inode is compared.
    fn mismatch(&self, size: u64) -> Option<String> {
        let (first, expected) = (self.first, size.min(FIRST_SEGMENT_BYTES));
        if first != expected {
            return Some(format!(
                "size is {size}, so the inode must hold {expected} bytes, but it holds {first}"
            ));
        }
        let sum = self.sum;
        (!self.incomplete && sum != size)
            .then(|| format!("size is {size}, but the segments hold {sum} bytes"))
    }
}

/// Returns the finding for an inode that no entry names.
pub(super) fn orphan(listed: &Listed, handle: Filehandle) -> NewFinding {
    let text = "no directory entry names it";
    NewFinding::entity(Rule::Orphan, &listed.name, handle, text)
}

/// Checks link count, back pointers, NAME and owner against each other and the entries.
fn check_links(
    at: InodeRef<'_>,
    inode: &Inode<'_>,
    parents: &ParentEntries,
    entries: Entries,
    findings: &mut Vec<NewFinding>,
) {
    let back = &*inode.back;
    let nlink = inode.attributes.nlink as usize;
    if nlink != back.len() || nlink == 0 || nlink > limits::LINKS {
        let text = format!(
            "nlink is {nlink}, but the number of back pointers is {} (1 to {} are allowed)",
            back.len(),
            limits::LINKS
        );
        findings.push(at.finding(Rule::Links, text));
    }
    if let Some(first) = back.first() {
        check_owner(at, *first, findings);
    }
    // An entry that is missing may be in a directory that could not be read.
    let some_missing = parents.count < back.len() as u64;
    if parents.count == 0 || (some_missing && entries == Entries::SomeUnknown) {
        return;
    }
    let mut pointed = back.to_vec();
    let mut naming: Vec<Filehandle> = parents.first.iter().map(|entry| entry.parent).collect();
    pointed.sort_unstable();
    naming.sort_unstable();
    if parents.count != pointed.len() as u64 {
        let text = format!(
            "directory entries that name it: {}; back pointers: {}",
            parents.count,
            pointed.len()
        );
        findings.push(at.finding(Rule::BackPointers, text));
    } else if naming != pointed {
        let text = "its back pointers are not the directories whose entries name it";
        findings.push(at.finding(Rule::BackPointers, text));
    }
    // The decoder reports a NAME that is empty or missing.
    let name = &*inode.name;
    if !name.is_empty() && !parents.first.iter().any(|entry| entry.name == *name) {
        let text = format!("its NAME is \"{}\", which no entry has", Escaped(name));
        findings.push(at.finding(Rule::OwnName, text));
    }
}

/// Checks that the owner is the first back pointer.
fn check_owner(at: InodeRef<'_>, first: Filehandle, findings: &mut Vec<NewFinding>) {
    let expected = first.hash64();
    match owner_hash(at.blob) {
        Some(hash) if hash != expected && !is_provisional(at.blob) => {
            let text = format!(
                "the owner in its name is {hash:016X}, but its first back pointer has {expected:016X}"
            );
            findings.push(at.finding(Rule::Owner, text));
        }
        _ => {}
    }
    let manager = at.handle.as_bytes().get(4).copied().unwrap_or_default();
    if manager != first.directory_manager() {
        let text = format!(
            "byte 4 of its filehandle is {manager}, but the directory manager of its owner is {}",
            first.directory_manager()
        );
        // A cache that moves an entry cannot change its filehandle.
        let found = at.finding(Rule::DirectoryManager, text);
        findings.push(found.with_severity(Severity::Warning));
    }
}

/// Checks a symlink's target. Its size may also be in characters, as the original loader counts it
/// (format.md §7).
fn check_symlink(at: InodeRef<'_>, size: u64, target: &[u8], findings: &mut Vec<NewFinding>) {
    if target.is_empty() || target.contains(&0) {
        let text = "its target is empty or contains a NUL";
        findings.push(at.finding(Rule::SymlinkTarget, text));
    }
    // The original counts each byte that is not part of a character.
    let characters: usize = target
        .utf8_chunks()
        .map(|chunk| chunk.valid().chars().count() + chunk.invalid().len())
        .sum();
    if size != target.len() as u64 && size != characters as u64 {
        let text = format!("size is {size}, but its target has {} bytes", target.len());
        findings.push(at.finding(Rule::Size, text));
    }
}
