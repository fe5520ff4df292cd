//! The segments and indirect blocks of an entity, in order, and what is wrong with the lists and trees
//! that hold them (format.md §6 "BMAP").

use std::collections::HashSet;
use std::sync::Arc;

use clfs_format::{
    BlockId, BlockMap, BlockMapReader, BlockStep, Claim, DataBack, Filehandle, FormatError, Object,
    ObjectId, ObjectName, ObjectType,
};

use super::checker::{Checker, inspect_as};
use super::deviation::rule_of;
use super::finding::{NewFinding, deviation_findings, unreadable_finding};
use super::rule::Rule;
use super::scratch::Record;
use crate::read::identity::{check_block, check_inode};
use crate::read::index::{Listed, ObjectKey};
use crate::read::{Fetched, Mismatch, ReadError};

/// Records sent to the recorder at a time.
const BATCH: usize = 1024;
/// Segments that are remembered so that none is downloaded twice: a map of a few bytes may refer to
/// one segment a thousand times.
const RECENT: usize = 8192;

/// The entity that blocks belong to.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockOwner {
    pub(super) blob: ObjectName,
    pub(super) handle: Filehandle,
    /// Seconds of its ctime.
    pub(super) ctime: u32,
}

/// A segment of an entity.
#[derive(Debug)]
pub(super) struct SegmentRef {
    /// Its number, counted from 1: the segment in the inode has number 0.
    pub(super) number: u64,
    /// Its blob; none if it is not in the container, or was returned before. That a block is missing
    /// or is used twice is found when the uses of all blocks are known.
    pub(super) listed: Option<Listed>,
}

/// A walk over the blocks of an entity. Damage does not end it: it reads each indirect block of the
/// entity once, so that the work is bounded even if blocks refer to each other in a cycle.
pub(super) struct BlockWalk {
    checker: Arc<Checker>,
    owner: BlockOwner,
    map: BlockMapReader,
    number: u64,
    read: HashSet<BlockId>,
    recent: HashSet<BlockId>,
    gap_reported: bool,
    /// Whether some blocks are unknown because an indirect block could not be read.
    pub(super) incomplete: bool,
    /// Records that were not sent yet.
    pub(super) records: Vec<Record>,
}

impl BlockWalk {
    pub(super) fn new(checker: &Arc<Checker>, owner: BlockOwner, map: &BlockMap) -> Self {
        Self {
            checker: Arc::clone(checker),
            owner,
            map: BlockMapReader::inspecting(map),
            number: 0,
            read: HashSet::new(),
            recent: HashSet::new(),
            gap_reported: false,
            incomplete: false,
            records: Vec::new(),
        }
    }

    /// Returns the next segment.
    ///
    /// # Errors
    /// If the container fails.
    pub(super) async fn next(&mut self) -> Result<Option<SegmentRef>, ReadError> {
        loop {
            match self.map.next_step() {
                Ok(BlockStep::End) => return Ok(None),
                Ok(BlockStep::Data(id)) => {
                    self.add_use(id, ObjectType::Segment);
                    self.number = self.number.saturating_add(1);
                    if self.recent.len() >= RECENT {
                        self.recent.clear();
                    }
                    let listed = match self.recent.insert(id) {
                        true => self.checker.find(&ObjectId::Block(id)).await?,
                        false => None,
                    };
                    let number = self.number;
                    return Ok(Some(SegmentRef { number, listed }));
                }
                Ok(BlockStep::Fetch { id, position }) => {
                    self.add_use(id, ObjectType::Indirect);
                    self.report_gap(id);
                    let pointers = self.indirect_block(id, position.offset()).await?;
                    let supplied = pointers.is_some_and(|pointers| {
                        let supplied = self.map.supply(pointers);
                        supplied.map_err(|error| self.add_error(&error)).is_ok()
                    });
                    if !supplied {
                        self.skip();
                    }
                }
                // An inspection has no error but a request that was not answered.
                Err(error) => {
                    self.add_error(&error);
                    self.incomplete = true;
                    return Ok(None);
                }
            }
        }
    }

    /// Sends the records if there are many.
    ///
    /// # Errors
    /// If the recorder fails.
    pub(super) async fn send_batch(&mut self) -> Result<(), ReadError> {
        if self.records.len() < BATCH {
            return Ok(());
        }
        let records = std::mem::take(&mut self.records);
        self.checker.recorder.send(records).await
    }

    /// Skips an indirect block that cannot be read, with the segments under it. If a segment follows,
    /// the block was full: the number of that segment is the number behind it.
    fn skip(&mut self) {
        let skipped = self.map.skip().unwrap_or_default();
        self.number = self.number.saturating_add(skipped);
        self.incomplete = true;
    }

    fn add_use(&mut self, id: BlockId, object_type: ObjectType) {
        self.records.push(Record::Block {
            key: ObjectKey::new(&ObjectId::Block(id)),
            owner: self.owner.handle,
            object_type,
        });
    }

    fn add_error(&mut self, error: &FormatError) {
        let owner = &self.owner;
        let found =
            NewFinding::entity(rule_of(error), &owner.blob, owner.handle, error.to_string());
        self.records.push(found.into());
    }

    /// Reports the first block behind a list that is not full.
    fn report_gap(&mut self, id: BlockId) {
        if !self.map.has_gap() || std::mem::replace(&mut self.gap_reported, true) {
            return;
        }
        let text = format!("the indirect block {id} is used, but the list before it is not full");
        let owner = &self.owner;
        let found = NewFinding::entity(Rule::BlockOrder, &owner.blob, owner.handle, text);
        self.records.push(found.into());
    }

    /// Reads the pointers of an indirect block; none if they cannot be used.
    async fn indirect_block(
        &mut self,
        id: BlockId,
        offset: u64,
    ) -> Result<Option<Vec<BlockId>>, ReadError> {
        let listed = self.checker.find(&ObjectId::Block(id)).await?;
        let Some(listed) = listed.filter(|_| self.read.insert(id)) else {
            return Ok(None);
        };
        let fetched = match self.checker.fetch(&listed).await? {
            Ok(fetched) => fetched,
            Err(error) => {
                let found = unreadable_finding(&error, &listed.name, Some(self.owner.handle));
                self.records.push(found.into());
                return Ok(None);
            }
        };
        let (owner, records) = (self.owner, &mut self.records);
        Ok(
            match owner.decode(&fetched, ObjectType::Indirect, records) {
                Some(Object::IndirectBlock(block)) => owner
                    .check_data_back(&fetched.name, &block.data_back, offset, records)
                    .then_some(block.pointers),
                _ => None,
            },
        )
    }
}

impl BlockOwner {
    /// Decodes a blob that is used as a segment or an indirect block; returns none if it holds
    /// another object or cannot be decoded.
    pub(super) fn decode<'f>(
        &self,
        fetched: &'f Fetched,
        used_as: ObjectType,
        records: &mut Vec<Record>,
    ) -> Option<Object<'f>> {
        let (object, findings) = decode(fetched, used_as, Some(self.handle));
        records.extend(findings.into_iter().map(Record::from));
        object
    }

    /// Checks the DATABACK of a block. Returns whether the block belongs where it is used; if not, it
    /// is not used, as it is not by readers of the container.
    pub(super) fn check_data_back(
        &self,
        blob: &ObjectName,
        back: &DataBack,
        offset: u64,
        records: &mut Vec<Record>,
    ) -> bool {
        let (rule, text) = match check_block(back, self.handle, offset) {
            Err(mismatch) => (rule_of_mismatch(mismatch, blob), mismatch.to_string()),
            // A cache may change the ctime of the inode only.
            Ok(()) if back.ctime_seconds != self.ctime => (
                Rule::DataBackTime,
                format!(
                    "its ctime is {}, but that of the inode is {}",
                    back.ctime_seconds, self.ctime
                ),
            ),
            Ok(()) => return true,
        };
        records.push(NewFinding::entity(rule, blob, self.handle, text).into());
        rule == Rule::DataBackTime
    }
}

/// Decodes a blob that is used as an object of this type. Returns the object, and what is wrong with
/// the blob alone. If the blob holds another object, only this is reported.
pub(super) fn decode(
    fetched: &Fetched,
    used_as: ObjectType,
    entity: Option<Filehandle>,
) -> (Option<Object<'_>>, Vec<NewFinding>) {
    let name = &fetched.name;
    let inspection = inspect_as(fetched, used_as);
    let mut findings = deviation_findings(&fetched.deviations, &[], name, entity);
    let mismatch = match (&inspection.object, entity) {
        (Ok(Object::Inode(inode)), Some(handle)) => check_inode(handle, inode).err(),
        // Any object with extended attributes decodes as a bucket object.
        (Ok(Object::Bucket(_)), _) | (Err(_), _) => other_object(fetched, used_as, entity),
        _ => None,
    };
    if let Some(mismatch) = mismatch {
        findings.push(mismatch_finding(mismatch, name, entity));
        return (None, findings);
    }
    findings.extend(deviation_findings(
        &inspection.deviations,
        &inspection.unknown,
        name,
        entity,
    ));
    match inspection.object {
        Ok(object) => (Some(object), findings),
        Err(error) => {
            findings.push(unreadable_finding(&fetched.error(error), name, entity));
            (None, findings)
        }
    }
}

/// Returns which other object the payload claims to be, if it does.
fn other_object(
    fetched: &Fetched,
    used_as: ObjectType,
    entity: Option<Filehandle>,
) -> Option<Mismatch> {
    let claim = Claim::of(&fetched.payload)?;
    let fits = match (used_as, claim) {
        (ObjectType::Segment, Claim::FileSegment(_) | Claim::DirectorySegment(_)) => true,
        (ObjectType::Indirect, Claim::IndirectBlock(_)) => true,
        (ObjectType::Special, Claim::Bucket) => true,
        (ObjectType::Segment | ObjectType::Indirect | ObjectType::Special, _) => false,
        (_, Claim::Inode(claimed)) => Some(claimed) == entity,
        _ => false,
    };
    (!fits).then_some(Mismatch::Other(claim))
}

/// Returns the finding for a blob that holds another object than its name says.
pub(super) fn mismatch_finding(
    mismatch: Mismatch,
    blob: &ObjectName,
    entity: Option<Filehandle>,
) -> NewFinding {
    let rule = rule_of_mismatch(mismatch, blob);
    NewFinding::object(rule, blob, entity, mismatch.to_string())
}

fn rule_of_mismatch(mismatch: Mismatch, blob: &ObjectName) -> Rule {
    match (mismatch, blob.id) {
        (Mismatch::Unnamed, _) => Rule::OwnBlock,
        (Mismatch::Other(Claim::Inode(_)), ObjectId::Entity(_)) => Rule::OwnBlock,
        (Mismatch::Other(_), _) => Rule::OtherObject,
        (Mismatch::Dot(_), _) => Rule::Dots,
        (Mismatch::Type, _) => Rule::ObjectType,
        (Mismatch::Owner { .. }, _) => Rule::DataBackOwner,
        (Mismatch::Offset { .. }, _) => Rule::DataBackOffset,
    }
}
