//! One directory: its inode, its segments, its entries (docs/format.md section 6 "Directory").

use std::collections::HashSet;
use std::sync::Arc;

use clfs_format::{
    Claim, Content, DirEntries, FileType, Filehandle, Inode, Object, ObjectId, ObjectType,
    directory_segment_offset,
};
use futures::stream::{FuturesOrdered, StreamExt};

use super::blocks::{Blocks, Owner, inspected, mismatched};
use super::check::Check;
use super::container_objects::root_attributes;
use super::deviation::{rule_of, unreadable};
use super::finding::{Found, PathOf};
use super::inode::Place;
use super::rule::Rule;
use super::scratch::Record;
use crate::monitor::Escaped;
use crate::read::ahead::Ahead;
use crate::read::index::Listed;
use crate::read::{Fetched, Mismatch, ReadError};

/// Segments of one directory that are fetched ahead.
const READ_AHEAD: usize = 4;
/// More than any payload of a directory's segment: 256 KiB of entries, a DATABACK, and what a cache may add.
const SEGMENT_PAYLOAD_BYTES: usize = 320 << 10;
/// Segments that are remembered, so that none is read twice.
const RECENT: usize = 8192;

impl Check {
    /// Judges a directory and records what it names.
    ///
    /// # Errors
    /// When the container or the ledger fails.
    pub(super) async fn judge_directory(
        self: Arc<Self>,
        listed: Listed,
        handle: Filehandle,
    ) -> Result<(), ReadError> {
        let fetched = match self.fetch(&listed).await? {
            Ok(fetched) => fetched,
            Err(error) => {
                let found = unreadable(&error, &listed.name, Some(handle));
                return self.records.send(vec![found.into()]).await;
            }
        };
        let (object, found) = inspected(&fetched, ObjectType::Directory, Some(handle));
        let mut records: Vec<Record> = found.into_iter().map(Record::from).collect();
        let Some(Object::Inode(inode)) = object else {
            return self.records.send(records).await;
        };
        let place = Place {
            blob: &fetched.name,
            handle,
            file_type: FileType::Directory,
        };
        let found = self.judge_inode(place, &inode);
        records.extend(found.into_iter().map(Record::from));
        let mut listing = Listing::new(&self, place, &inode, records);
        match &inode.content {
            Content::Directory(entries) => listing.segment(&fetched, entries),
            Content::Root(entries, attributes) => {
                let found = root_attributes(place, attributes);
                listing.records.extend(found.map(Record::from));
                listing.segment(&fetched, entries);
            }
            _ => {}
        }
        listing.segments(&inode).await?;
        listing.end(place, &inode);
        self.records.send(listing.records).await
    }
}

/// A directory whose entries are being read.
struct Listing {
    check: Arc<Check>,
    owner: Owner,
    /// Entries so far; `.` and `..` are the first two.
    position: u64,
    dotdot: Option<Filehandle>,
    directories: u64,
    /// What the directory's size must be.
    size: u64,
    /// Whether some entries could not be read.
    incomplete: bool,
    records: Vec<Record>,
}

impl Listing {
    fn new(check: &Arc<Check>, place: Place<'_>, inode: &Inode<'_>, records: Vec<Record>) -> Self {
        Self {
            check: Arc::clone(check),
            owner: Owner {
                blob: *place.blob,
                handle: place.handle,
                ctime: inode.attributes.ctime.seconds,
            },
            position: 0,
            dotdot: None,
            directories: 0,
            size: 0,
            incomplete: false,
            records,
        }
    }

    async fn segments(&mut self, inode: &Inode<'_>) -> Result<(), ReadError> {
        let mut blocks = Blocks::new(&self.check, self.owner, &inode.block_map);
        let mut ahead: FuturesOrdered<Ahead<SegmentRead>> = FuturesOrdered::new();
        let mut recent = HashSet::new();
        let mut over = false;
        loop {
            while ahead.len() < READ_AHEAD && !over {
                let Some((number, id)) = blocks.next().await? else {
                    over = true;
                    break;
                };
                let offset = directory_segment_offset(number);
                // A map of a few bytes may name one segment a thousand times. That a block is used
                // twice is told when all uses are known.
                if recent.len() >= RECENT {
                    recent.clear();
                }
                if !recent.insert(id) {
                    self.incomplete = true;
                    blocks.send_many().await?;
                    continue;
                }
                // What is not there is found when all uses are known.
                let Some(listed) = self.check.find(&ObjectId::Block(id))? else {
                    self.incomplete = true;
                    blocks.send_many().await?;
                    continue;
                };
                let check = Arc::clone(&self.check);
                ahead.push_back(Ahead::start(async move {
                    let fetched = check.fetch(&listed).await?;
                    Ok((listed, offset, fetched.and_then(small)))
                }));
            }
            let Some(read) = ahead.next().await else {
                break;
            };
            let (listed, offset, fetched) = read?;
            match fetched {
                Ok(fetched) => self.other_segment(&fetched, offset),
                Err(error) => {
                    self.incomplete = true;
                    let found = unreadable(&error, &listed.name, Some(self.owner.handle));
                    self.records.push(found.into());
                }
            }
            self.records.append(&mut blocks.records);
            self.check
                .records
                .send(std::mem::take(&mut self.records))
                .await?;
        }
        self.records.append(&mut blocks.records);
        self.incomplete |= blocks.incomplete;
        Ok(())
    }

    /// A segment that is an object of its own.
    fn other_segment(&mut self, fetched: &Fetched, offset: u64) {
        let object = self
            .owner
            .block(fetched, ObjectType::Segment, &mut self.records);
        let segment = match object {
            Some(Object::DirectorySegment(segment)) => segment,
            Some(Object::FileSegment(segment)) => {
                let other = Mismatch::Other(Claim::FileSegment(segment.data_back));
                let found = mismatched(other, &fetched.name, Some(self.owner.handle));
                self.records.push(found.into());
                self.incomplete = true;
                return;
            }
            _ => {
                self.incomplete = true;
                return;
            }
        };
        let belongs =
            self.owner
                .data_back(&fetched.name, &segment.data_back, offset, &mut self.records);
        if !belongs {
            self.incomplete = true;
            return;
        }
        if segment.entries.as_bytes().is_empty() {
            let text = "a segment of a directory that holds no entries";
            self.found(Rule::SegmentLength, fetched, text);
        }
        self.segment(fetched, &segment.entries);
    }

    fn found(&mut self, rule: Rule, fetched: &Fetched, text: impl Into<String>) {
        let found = Found::of(rule, &fetched.name, self.owner.handle, text);
        self.records.push(found.into());
    }

    fn segment(&mut self, fetched: &Fetched, entries: &DirEntries<'_>) {
        self.size += entries.size();
        for entry in entries.iter_raw() {
            let position = self.position;
            self.position += 1;
            match entry {
                Ok(entry) => self.entry(fetched, position, entry.name, entry.handle),
                Err(bad) => {
                    let handle = bad
                        .handle
                        .and_then(|bytes| Filehandle::from_bytes(bytes).ok());
                    self.count(handle);
                    let named = match bad.name {
                        Some(name) => format!(" \"{}\"", Escaped(name)),
                        None => String::new(),
                    };
                    let text = format!("entry {position}{named}: {}", bad.error);
                    self.found(rule_of(&bad.error), fetched, text);
                }
            }
        }
    }

    fn count(&mut self, handle: Option<Filehandle>) {
        let directory = handle.and_then(|handle| handle.file_type()) == Some(FileType::Directory);
        self.directories += u64::from(directory && self.position > 2);
    }

    fn entry(&mut self, fetched: &Fetched, position: u64, name: &[u8], handle: Filehandle) {
        match (position, name) {
            (0, b".") if handle == self.owner.handle => return,
            (0, _) => {
                let text = format!("the first entry is \"{}\": {handle}", Escaped(name));
                return self.found(Rule::Dots, fetched, text);
            }
            (1, b"..") => {
                self.dotdot = Some(handle);
                return;
            }
            (1, _) => {
                let text = format!("the second entry is \"{}\", not \"..\"", Escaped(name));
                return self.found(Rule::Dots, fetched, text);
            }
            (_, b"." | b"..") => {
                self.count(Some(handle));
                let text = format!("entry {position} is \"{}\" once more", Escaped(name));
                return self.found(Rule::EntryName, fetched, text);
            }
            _ => self.count(Some(handle)),
        }
        if handle.file_type().is_none() {
            let found = Found {
                path: PathOf::Entry(self.owner.handle, name.to_vec()),
                ..Found::of(
                    Rule::Entry,
                    &fetched.name,
                    self.owner.handle,
                    format!("its filehandle {handle} has no type"),
                )
            };
            return self.records.push(found.into());
        }
        self.records.push(Record::Naming {
            child: handle,
            parent: self.owner.handle,
            name: name.to_vec(),
        });
    }

    /// Judges what can be said when all entries are known.
    fn end(&mut self, place: Place<'_>, inode: &Inode<'_>) {
        self.records.push(Record::Directory {
            handle: place.handle,
            dotdot: self.dotdot,
            name: inode.name.to_vec(),
        });
        if self.position < 2 {
            let found = place.found(Rule::Dots, "it has no entries \".\" and \"..\"");
            self.records.push(found.into());
        }
        // What could not be read was told; how much it was is not known.
        if self.incomplete {
            return;
        }
        let attributes = &inode.attributes;
        if attributes.size != self.size {
            let text = format!(
                "size is {}, its entries need {}",
                attributes.size, self.size
            );
            self.records.push(place.found(Rule::Size, text).into());
        }
        let links = self.directories.saturating_add(2);
        if u64::from(attributes.nlink) != links {
            let text = format!(
                "nlink is {}; with {} directories in it, it must be {links}",
                attributes.nlink, self.directories
            );
            self.records.push(place.found(Rule::Links, text).into());
        }
    }
}

/// A segment's blob, where it belongs, and what came of fetching it.
type SegmentRead = (Listed, u64, Result<Fetched, ReadError>);

/// A segment of a directory is small; what is not, is not kept while it waits its turn.
fn small(fetched: Fetched) -> Result<Fetched, ReadError> {
    match fetched.payload.len() > SEGMENT_PAYLOAD_BYTES {
        true => Err(ReadError::TooLarge {
            blob: fetched.name.to_string(),
            size: fetched.payload.len() as u64,
        }),
        false => Ok(fetched),
    }
}
