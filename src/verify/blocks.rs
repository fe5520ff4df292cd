//! The blocks of an entity in order, with what is wrong about the lists and trees that hold them
//! (docs/format.md section 6 "BMAP").

use std::collections::HashSet;
use std::sync::Arc;

use clfs_format::{
    BlockId, BlockMap, Claim, DIRECT_BLOCKS, DataBack, Filehandle, IndirectPosition, Object,
    ObjectId, ObjectName, ObjectType, POINTERS_PER_INDIRECT, limits::TREES,
};

use super::check::{Check, inspect_as};
use super::deviation::{deviations, unreadable};
use super::finding::Found;
use super::rule::Rule;
use super::scratch::Record;
use crate::read::identity::{check_block, check_inode};
use crate::read::index::ObjectKey;
use crate::read::{Fetched, Mismatch, ReadError};

/// Records that are handed over together.
const MANY: usize = 1024;

/// To whom blocks belong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) blob: ObjectName,
    pub(super) handle: Filehandle,
    /// Seconds of its ctime.
    pub(super) ctime: u32,
}

/// Walks the blocks of an entity. Nothing that is wrong ends it early: every indirect block that
/// belongs to the entity is read once, so that circles end and the work is bounded by what is there.
pub(super) struct Blocks {
    check: Arc<Check>,
    owner: Owner,
    direct: std::vec::IntoIter<BlockId>,
    roots: <[BlockId; TREES] as IntoIterator>::IntoIter,
    trees_begun: usize,
    open: Vec<OpenBlock>,
    /// Number of the segment that was given last; the inode's own is number 0.
    number: u64,
    met: HashSet<BlockId>,
    /// A list that is not full was read to its end: no block may follow.
    closed: bool,
    /// Whether that was told.
    told: bool,
    /// Whether some blocks cannot be known, since an indirect block could not be read.
    pub(super) incomplete: bool,
    /// What was found since somebody took it.
    pub(super) records: Vec<Record>,
}

struct OpenBlock {
    pointers: std::vec::IntoIter<BlockId>,
    full: bool,
}

impl Blocks {
    pub(super) fn new(check: &Arc<Check>, owner: Owner, map: &BlockMap) -> Self {
        Self {
            check: Arc::clone(check),
            owner,
            closed: 1 + map.direct.len() < DIRECT_BLOCKS,
            direct: map.direct.clone().into_iter(),
            roots: map.roots.into_iter(),
            trees_begun: 0,
            open: Vec::new(),
            number: 0,
            met: HashSet::new(),
            told: false,
            incomplete: false,
            records: Vec::new(),
        }
    }

    /// The next segment and its number, which counts from 1.
    ///
    /// # Errors
    /// When the container fails.
    pub(super) async fn next(&mut self) -> Result<Option<(u64, BlockId)>, ReadError> {
        loop {
            if let Some(id) = self.direct.next() {
                return Ok(Some(self.segment(id)));
            }
            let depth = self.open.len();
            let Some(block) = self.open.last_mut() else {
                let Some(root) = self.roots.next() else {
                    return Ok(None);
                };
                self.trees_begun += 1;
                match root.is_none() {
                    true => self.closed = true,
                    false => self.open_block(root, 0).await?,
                }
                continue;
            };
            match block.pointers.next() {
                None => {
                    self.closed |= !block.full;
                    self.open.pop();
                }
                Some(id) if depth == self.trees_begun => {
                    return Ok(Some(self.segment(id)));
                }
                Some(id) => self.open_block(id, depth).await?,
            }
        }
    }

    /// Hands over what was found when it is much.
    ///
    /// # Errors
    /// When the ledger fails.
    pub(super) async fn send_many(&mut self) -> Result<(), ReadError> {
        match self.records.len() < MANY {
            true => Ok(()),
            false => {
                self.check
                    .records
                    .send(std::mem::take(&mut self.records))
                    .await
            }
        }
    }

    fn segment(&mut self, id: BlockId) -> (u64, BlockId) {
        self.uses(id, ObjectType::Segment);
        self.number = self.number.saturating_add(1);
        (self.number, id)
    }

    /// Leaves out what lies below an indirect block that cannot be read. If anything follows it, it
    /// was full: the numbers go on behind it.
    fn leave_out(&mut self, depth: usize) {
        let levels = self.trees_begun.saturating_sub(depth) as u32;
        let below = (POINTERS_PER_INDIRECT as u64).saturating_pow(levels);
        self.number = self.number.saturating_add(below);
        self.incomplete = true;
    }

    fn uses(&mut self, id: BlockId, object_type: ObjectType) {
        self.records.push(Record::Block {
            key: ObjectKey::new(&ObjectId::Block(id)),
            owner: self.owner.handle,
            object_type,
        });
    }

    fn found(&mut self, rule: Rule, blob: &ObjectName, text: String) {
        let found = Found::of(rule, blob, self.owner.handle, text);
        self.records.push(found.into());
    }

    /// Opens an indirect block of the current tree, which has as many levels as its number says.
    async fn open_block(&mut self, id: BlockId, depth: usize) -> Result<(), ReadError> {
        self.uses(id, ObjectType::Indirect);
        if self.closed && !std::mem::replace(&mut self.told, true) {
            let text =
                format!("the indirect block {id} is used, but the list before it is not full");
            let blob = self.owner.blob;
            self.found(Rule::BlockOrder, &blob, text);
        }
        // Blocks that are used twice, or not there, are found when all uses are known.
        let listed = self.check.find(&ObjectId::Block(id))?;
        let Some(listed) = listed.filter(|_| self.met.insert(id)) else {
            self.leave_out(depth);
            return Ok(());
        };
        let fetched = match self.check.fetch(&listed).await? {
            Ok(fetched) => fetched,
            Err(error) => {
                self.leave_out(depth);
                let found = unreadable(&error, &listed.name, Some(self.owner.handle));
                self.records.push(found.into());
                return Ok(());
            }
        };
        let position = IndirectPosition {
            // Both are at most 3.
            tree: (self.trees_begun - 1) as u8,
            depth: depth as u8,
            index: 0,
        };
        match self
            .owner
            .block(&fetched, ObjectType::Indirect, &mut self.records)
        {
            Some(Object::IndirectBlock(block)) => {
                let offset = position.offset();
                let belongs = self.owner.data_back(
                    &fetched.name,
                    &block.data_back,
                    offset,
                    &mut self.records,
                );
                // Read for one entity only: two that share it would be as good as a circle.
                if belongs {
                    self.open.push(OpenBlock {
                        full: block.pointers.len() >= POINTERS_PER_INDIRECT,
                        pointers: block.pointers.into_iter(),
                    });
                } else {
                    self.leave_out(depth);
                }
            }
            _ => self.leave_out(depth),
        }
        Ok(())
    }
}

impl Owner {
    /// The object in a blob that is used as a segment or an indirect block; none when it is another.
    pub(super) fn block<'f>(
        &self,
        fetched: &'f Fetched,
        used_as: ObjectType,
        records: &mut Vec<Record>,
    ) -> Option<Object<'f>> {
        let (object, found) = inspected(fetched, used_as, Some(self.handle));
        records.extend(found.into_iter().map(Record::from));
        object
    }

    /// Whether a block says that it belongs where it is used. One that does not is no more used here
    /// than by those who read the container.
    pub(super) fn data_back(
        &self,
        blob: &ObjectName,
        back: &DataBack,
        offset: u64,
        records: &mut Vec<Record>,
    ) -> bool {
        let mut found = |rule, text: String| {
            records.push(Found::of(rule, blob, self.handle, text).into());
        };
        let belongs = check_block(back, self.handle, offset);
        if let Err(mismatch) = belongs {
            found(rule_of_mismatch(mismatch, blob), mismatch.to_string());
        } else if back.ctime_seconds != self.ctime {
            // A cache may change the inode's and leave this one.
            let text = format!(
                "it says a ctime of {}, the inode one of {}",
                back.ctime_seconds, self.ctime
            );
            found(Rule::DataBackTime, text);
        }
        belongs.is_ok()
    }
}

/// The object in a blob, and all that is wrong with the blob by itself. Of an object that is another
/// than its name says nothing is looked at.
pub(super) fn inspected(
    fetched: &Fetched,
    used_as: ObjectType,
    entity: Option<Filehandle>,
) -> (Option<Object<'_>>, Vec<Found>) {
    let name = &fetched.name;
    let inspection = inspect_as(fetched, used_as);
    let mut found = deviations(&fetched.deviations, &[], name, entity);
    let mismatch = match (&inspection.object, entity) {
        (Ok(Object::Inode(inode)), Some(handle)) => check_inode(handle, inode).err(),
        // It can be read from any object that has extended attributes.
        (Ok(Object::Bucket(_)), _) | (Err(_), _) => other(fetched, used_as, entity),
        _ => None,
    };
    if let Some(mismatch) = mismatch {
        found.push(mismatched(mismatch, name, entity));
        return (None, found);
    }
    found.extend(deviations(
        &inspection.deviations,
        &inspection.unknown,
        name,
        entity,
    ));
    match inspection.object {
        Ok(object) => (Some(object), found),
        Err(error) => {
            found.push(unreadable(&fetched.error(error), name, entity));
            (None, found)
        }
    }
}

/// Whether the payload says that it is another object than one that is used like this.
fn other(fetched: &Fetched, used_as: ObjectType, entity: Option<Filehandle>) -> Option<Mismatch> {
    let claim = Claim::of(&fetched.payload)?;
    let fits = match (used_as, claim) {
        (ObjectType::Segment, Claim::FileSegment(_) | Claim::DirectorySegment(_)) => true,
        (ObjectType::Indirect, Claim::IndirectBlock(_)) => true,
        (ObjectType::Special, Claim::Bucket) => true,
        (ObjectType::Segment | ObjectType::Indirect | ObjectType::Special, _) => false,
        (_, Claim::Inode(said)) => Some(said) == entity,
        _ => false,
    };
    (!fits).then_some(Mismatch::Other(claim))
}

/// A blob that holds another object than its name says.
pub(super) fn mismatched(
    mismatch: Mismatch,
    blob: &ObjectName,
    entity: Option<Filehandle>,
) -> Found {
    let (rule, text) = (rule_of_mismatch(mismatch, blob), mismatch.to_string());
    match entity {
        Some(entity) => Found::of(rule, blob, entity, text),
        None => Found::blob(rule, blob, text),
    }
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
