//! Checks one directory: its inode, its segments, its entries (format.md §6 "Directory").

use std::sync::Arc;

use clfs_format::{
    Claim, Content, DirEntries, FileType, Filehandle, Inode, Object, ObjectType,
    directory_segment_offset,
};
use futures::stream::{FuturesOrdered, StreamExt};

use super::blocks::{BlockOwner, BlockWalk, decode, mismatch_finding};
use super::checker::{Checker, Counters};
use super::container_objects::check_root_attributes;
use super::deviation::rule_of;
use super::finding::{NewFinding, unreadable_finding};
use super::inode::InodeRef;
use super::rule::Rule;
use super::scratch::Record;
use crate::read::index::Listed;
use crate::read::{Ahead, Fetched, Mismatch, ReadError};
use crate::text::Escaped;

/// Segments of a directory that are downloaded ahead.
const READ_AHEAD: usize = 4;
/// Maximum payload of a directory's segment: 256 KiB of entries, a DATABACK, and room for what a cache
/// may add.
const SEGMENT_PAYLOAD_BYTES: usize = 320 << 10;

impl Checker {
    /// Checks a directory and records its entries.
    ///
    /// # Errors
    /// If the container or the recorder fails.
    pub(super) async fn check_directory(
        self: Arc<Self>,
        listed: Listed,
        handle: Filehandle,
    ) -> Result<(), ReadError> {
        let mut records = Vec::new();
        let fetched = self.fetch(&listed).await?.map_err(|error| {
            records.push(unreadable_finding(&error, &listed.name, Some(handle)).into());
        });
        let object = fetched.as_ref().ok().and_then(|fetched| {
            let (object, findings) = decode(fetched, ObjectType::Directory, Some(handle));
            records.extend(findings.into_iter().map(Record::from));
            object
        });
        let (Ok(fetched), Some(Object::Inode(inode))) = (&fetched, object) else {
            Counters::add(&self.counters.partial_directories, 1);
            Counters::add(&self.counters.partial_block_maps, 1);
            return self.recorder.send(records).await;
        };
        let at = InodeRef {
            blob: &fetched.name,
            handle,
            file_type: FileType::Directory,
        };
        let findings = self.check_inode(at, &inode);
        records.extend(findings.into_iter().map(Record::from));
        let mut listing = Listing::new(&self, at, &inode, records);
        match &inode.content {
            Content::Directory(entries) => listing.add_entries(fetched, entries),
            Content::Root(entries, attributes) => {
                let found = check_root_attributes(at, attributes);
                listing.records.extend(found.map(Record::from));
                listing.add_entries(fetched, entries);
            }
            _ => {}
        }
        listing.read_segments(&inode).await?;
        listing.finish(at, &inode);
        self.recorder.send(listing.records).await
    }
}

/// A directory whose entries are being read.
struct Listing {
    checker: Arc<Checker>,
    owner: BlockOwner,
    /// Number of entries so far; `.` and `..` are the first two.
    position: u64,
    dotdot: Option<Filehandle>,
    subdirectories: u64,
    /// The size that the directory must have.
    size: u64,
    /// Whether a segment could not be read.
    incomplete: bool,
    /// Whether an entry could not be decoded.
    bad_entry: bool,
    records: Vec<Record>,
}

impl Listing {
    fn new(
        checker: &Arc<Checker>,
        at: InodeRef<'_>,
        inode: &Inode<'_>,
        records: Vec<Record>,
    ) -> Self {
        Self {
            checker: Arc::clone(checker),
            owner: BlockOwner {
                blob: *at.blob,
                handle: at.handle,
                ctime: inode.attributes.ctime.seconds,
            },
            position: 0,
            dotdot: None,
            subdirectories: 0,
            size: 0,
            incomplete: false,
            bad_entry: false,
            records,
        }
    }

    async fn read_segments(&mut self, inode: &Inode<'_>) -> Result<(), ReadError> {
        let mut blocks = BlockWalk::new(&self.checker, self.owner, &inode.block_map);
        let mut ahead: FuturesOrdered<Ahead<DownloadedSegment>> = FuturesOrdered::new();
        let mut at_end = false;
        loop {
            while ahead.len() < READ_AHEAD && !at_end {
                let Some(segment) = blocks.next().await? else {
                    at_end = true;
                    break;
                };
                let Some(listed) = segment.listed else {
                    self.incomplete = true;
                    blocks.send_batch().await?;
                    continue;
                };
                let offset = directory_segment_offset(segment.number);
                let checker = Arc::clone(&self.checker);
                ahead.push_back(Ahead::start(async move {
                    let fetched = checker.fetch(&listed).await?;
                    Ok((listed, offset, fetched.and_then(check_payload_size)))
                }));
            }
            let Some(downloaded) = ahead.next().await else {
                break;
            };
            let (listed, offset, fetched) = downloaded?;
            match fetched {
                Ok(fetched) => self.incomplete |= !self.add_segment(&fetched, offset),
                Err(error) => {
                    self.incomplete = true;
                    let found = unreadable_finding(&error, &listed.name, Some(self.owner.handle));
                    self.records.push(found.into());
                }
            }
            self.records.append(&mut blocks.records);
            let records = std::mem::take(&mut self.records);
            self.checker.recorder.send(records).await?;
        }
        self.records.append(&mut blocks.records);
        self.incomplete |= blocks.incomplete;
        if blocks.incomplete {
            Counters::add(&self.checker.counters.partial_block_maps, 1);
        }
        Ok(())
    }

    /// Adds the entries of a segment outside the inode. Returns whether the segment could be used.
    fn add_segment(&mut self, fetched: &Fetched, offset: u64) -> bool {
        let records = &mut self.records;
        let segment = match self.owner.decode(fetched, ObjectType::Segment, records) {
            Some(Object::DirectorySegment(segment)) => segment,
            Some(Object::FileSegment(segment)) => {
                let other = Mismatch::Other(Claim::FileSegment(segment.data_back));
                let found = mismatch_finding(other, &fetched.name, Some(self.owner.handle));
                records.push(found.into());
                return false;
            }
            _ => return false,
        };
        let back = &segment.data_back;
        if !self
            .owner
            .check_data_back(&fetched.name, back, offset, records)
        {
            return false;
        }
        if segment.entries.as_bytes().is_empty() {
            let text = "a segment of a directory without entries";
            self.add_finding(Rule::SegmentLength, fetched, text);
        }
        self.add_entries(fetched, &segment.entries);
        true
    }

    fn add_finding(&mut self, rule: Rule, fetched: &Fetched, text: impl Into<String>) {
        let found = NewFinding::entity(rule, &fetched.name, self.owner.handle, text);
        self.records.push(found.into());
    }

    fn add_entries(&mut self, fetched: &Fetched, entries: &DirEntries<'_>) {
        self.size += entries.size();
        for entry in entries.iter_raw() {
            let position = self.position;
            self.position += 1;
            match entry {
                Ok(entry) => self.add_entry(fetched, position, entry.name, entry.handle),
                Err(bad) => {
                    self.bad_entry = true;
                    let handle = bad
                        .handle
                        .and_then(|bytes| Filehandle::from_bytes(bytes).ok());
                    self.count_subdirectory(handle);
                    let name = match bad.name {
                        Some(name) => format!(" \"{}\"", Escaped(name)),
                        None => String::new(),
                    };
                    let text = format!("entry {position}{name}: {}", bad.error);
                    self.add_finding(rule_of(&bad.error), fetched, text);
                }
            }
        }
    }

    fn count_subdirectory(&mut self, handle: Option<Filehandle>) {
        let directory = handle.and_then(|handle| handle.file_type()) == Some(FileType::Directory);
        self.subdirectories += u64::from(directory && self.position > 2);
    }

    fn add_entry(&mut self, fetched: &Fetched, position: u64, name: &[u8], handle: Filehandle) {
        match (position, name) {
            (0, b".") if handle == self.owner.handle => return,
            (0, _) => {
                let text = format!("the first entry is \"{}\": {handle}", Escaped(name));
                return self.add_finding(Rule::Dots, fetched, text);
            }
            (1, b"..") => {
                self.dotdot = Some(handle);
                return;
            }
            (1, _) => {
                let text = format!("the second entry is \"{}\", not \"..\"", Escaped(name));
                return self.add_finding(Rule::Dots, fetched, text);
            }
            (_, b"." | b"..") => {
                self.count_subdirectory(Some(handle));
                let text = format!("entry {position} is another \"{}\"", Escaped(name));
                return self.add_finding(Rule::EntryName, fetched, text);
            }
            _ => self.count_subdirectory(Some(handle)),
        }
        if handle.file_type().is_none() {
            let text = format!("its filehandle {handle} has no type");
            let blob = Some(fetched.name.to_string());
            let (directory, name) = (self.owner.handle, name.to_vec());
            let found = NewFinding::entry(Rule::Entry, blob, directory, name, text);
            return self.records.push(found.into());
        }
        self.records.push(Record::Entry {
            child: handle,
            parent: self.owner.handle,
            name: name.to_vec(),
        });
    }

    /// Checks what needs all entries.
    fn finish(&mut self, at: InodeRef<'_>, inode: &Inode<'_>) {
        self.records.push(Record::Directory {
            handle: at.handle,
            dotdot: self.dotdot,
            name: inode.name.to_vec(),
        });
        if self.position < 2 {
            let found = at.finding(Rule::Dots, "it has no entries \".\" and \"..\"");
            self.records.push(found.into());
        }
        if self.incomplete || self.bad_entry {
            Counters::add(&self.checker.counters.partial_directories, 1);
        }
        // The size of the segments that could not be read is unknown.
        if self.incomplete {
            return;
        }
        let attributes = &inode.attributes;
        if attributes.size != self.size {
            let text = format!(
                "size is {}, but its entries need {}",
                attributes.size, self.size
            );
            self.records.push(at.finding(Rule::Size, text).into());
        }
        let links = self.subdirectories.saturating_add(2);
        if u64::from(attributes.nlink) != links {
            let text = format!(
                "nlink is {}; with {} it must be {links}",
                attributes.nlink,
                match self.subdirectories {
                    1 => "1 subdirectory".to_owned(),
                    count => format!("{count} subdirectories"),
                }
            );
            self.records.push(at.finding(Rule::Links, text).into());
        }
    }
}

/// A segment's blob, its offset in the directory, and the result of the download.
type DownloadedSegment = (Listed, u64, Result<Fetched, ReadError>);

/// Refuses a payload that is larger than a directory's segment, so that the read-ahead stays small.
fn check_payload_size(fetched: Fetched) -> Result<Fetched, ReadError> {
    match fetched.payload.len() > SEGMENT_PAYLOAD_BYTES {
        true => Err(ReadError::TooLarge {
            blob: fetched.name.to_string(),
            size: fetched.payload.len() as u64,
        }),
        false => Ok(fetched),
    }
}
