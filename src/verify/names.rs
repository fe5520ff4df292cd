//! What the names of a container's blobs show by themselves (docs/format.md sections 2 and 4).

use clfs_format::{
    DIRECTORY_MANAGERS, FIRST_SEQUENCE, FIRST_VERSION, FileType, Filehandle, NameKind, ObjectId,
    ObjectName, ObjectType, WellKnownId, fnv1,
};

use super::check::{Check, owner_hash};
use super::deviation::rule_of;
use super::finding::Found;
use super::rule::Rule;
use super::scratch::Record;
use crate::read::ReadError;
use crate::read::index::{Aside, AsideReason, Listed, ObjectKey};

/// Rows that are looked at together.
const PAGE: usize = 4096;

impl Check {
    /// Judges all names. Blocks.
    ///
    /// # Errors
    /// When the index or the ledger fails.
    pub(super) fn judge_names(&self) -> Result<(), ReadError> {
        let mut after: Option<ObjectKey> = None;
        loop {
            let page = self.index.after(after.as_ref(), PAGE);
            let page = page.map_err(|error| self.index_failed(error))?;
            let Some(last) = page.last() else { break };
            after = Some(ObjectKey::new(&last.name.id));
            let found = page.iter().flat_map(of_object).map(Record::from);
            self.records.send_waiting(found.collect())?;
        }
        let mut after = 0;
        loop {
            let page = self.index.aside_after(after, PAGE);
            let page = page.map_err(|error| self.index_failed(error))?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            let found = page.iter().filter_map(|(_, aside)| of_aside(aside));
            self.records
                .send_waiting(found.map(Record::from).collect())?;
        }
        Ok(())
    }
}

fn of_aside(aside: &Aside) -> Option<Found> {
    let found = |rule, text: String| Some(Found::blob(rule, &aside.name, text));
    match aside.reason {
        // The bucket object names the logs: they are judged with it.
        AsideReason::Log => None,
        AsideReason::Leftover => found(
            Rule::Leftover,
            format!("an older name of its object, which is {} now", aside.detail),
        ),
        AsideReason::Twin => found(
            Rule::Twin,
            format!(
                "two blobs are the same version of one object; {} is taken for it",
                aside.detail
            ),
        ),
        AsideReason::Snapshot => found(
            Rule::Snapshot,
            format!(
                "it belongs to snapshot {} and is not looked at",
                aside.detail
            ),
        ),
        AsideReason::BadName => {
            let rule = match ObjectName::parse(&aside.name) {
                Err(error) => rule_of(&error),
                Ok(_) => Rule::NameSyntax,
            };
            found(rule, format!("it is no object's name: {}", aside.detail))
        }
        AsideReason::Foreign => found(
            Rule::ForeignBlob,
            "no object of a CLFS container and no log".to_owned(),
        ),
    }
}

fn of_object(listed: &Listed) -> Vec<Found> {
    let name = &listed.name;
    let mut found = match name.id {
        ObjectId::Entity(handle) => of_entity(name, handle),
        ObjectId::Block(_) => of_block(name),
        ObjectId::WellKnown(known) => of_well_known(name, known),
    };
    if name.version < FIRST_VERSION {
        let text = format!("version {}; the first is {FIRST_VERSION}", name.version);
        found.push(Found::blob(Rule::Version, name, text));
    }
    found
}

fn of_well_known(name: &ObjectName, known: WellKnownId) -> Vec<Found> {
    let what = match known {
        WellKnownId::Bucket => return Vec::new(),
        WellKnownId::Provisional => {
            let text = "the id 0x62 stands for an owner, no object has it";
            return vec![Found::blob(Rule::ObjectType, name, text)];
        }
        WellKnownId::SpaceTracker => "the space tracker",
        WellKnownId::OrphanParent => "the parent of orphans",
        WellKnownId::SnapshotDatabase => "the database of snapshots",
    };
    let text = format!("{what} of a cache; it is not looked into");
    vec![Found::blob(Rule::CacheObject, name, text)]
}

fn of_block(name: &ObjectName) -> Vec<Found> {
    match name.object_type() {
        ObjectType::Segment | ObjectType::Indirect => Vec::new(),
        ObjectType::Tombstone | ObjectType::Special | ObjectType::HardLink => {
            vec![of_cache(name)]
        }
        other => {
            let text = format!("its id is a block's, its type {} an inode's", other.code());
            vec![Found::blob(Rule::ObjectType, name, text)]
        }
    }
}

fn of_cache(name: &ObjectName) -> Found {
    let what = match name.object_type() {
        ObjectType::Tombstone => "a tombstone",
        ObjectType::HardLink => "a hard link object",
        _ => "a special object",
    };
    let text = format!("{what}, which only caches write; it is not looked into");
    Found::blob(Rule::CacheObject, name, text)
}

fn of_entity(name: &ObjectName, handle: Filehandle) -> Vec<Found> {
    let mut found = filehandle(name, handle);
    match name.object_type() {
        ObjectType::Tombstone | ObjectType::Special | ObjectType::HardLink => {
            found.push(of_cache(name));
            return found;
        }
        object_type => {
            if let Some(file_type) = handle.file_type()
                && file_type.object_type() != object_type
            {
                let text = format!(
                    "type {} in the blob's name, but its filehandle is that of a type {}",
                    object_type.code(),
                    file_type.object_type().code()
                );
                found.push(Found::of(Rule::ObjectType, name, handle, text));
            }
        }
    }
    if is_provisional(name) {
        let text = "its owner is 0x62: the load that wrote it was not sure of it yet";
        found.push(Found::of(Rule::Provisional, name, handle, text));
    }
    found
}

/// Whether the blob is named under the owner 0x62.
pub(super) fn is_provisional(name: &ObjectName) -> bool {
    owner_hash(name) == Some(ObjectId::WellKnown(WellKnownId::Provisional).hash64())
}

/// Whether it is an object of a cache's own that has an entity's or a block's id.
pub(super) fn is_of_cache(name: &ObjectName) -> bool {
    matches!(name.kind, NameKind::V2 { .. })
        && matches!(
            name.object_type(),
            ObjectType::Tombstone | ObjectType::Special | ObjectType::HardLink
        )
}

/// The rules that a filehandle shows by itself (section 2).
fn filehandle(name: &ObjectName, handle: Filehandle) -> Vec<Found> {
    let bytes: &[u8; 24] = match handle.as_bytes().first_chunk() {
        Some(bytes) => bytes,
        // The root's has 16, and no fields.
        None => return Vec::new(),
    };
    let mut found = Vec::new();
    let mut must = |holds: bool, rule, text: String| {
        if !holds {
            found.push(Found::of(rule, name, handle, text));
        }
    };
    let [first, _, _, _, parent_manager, manager, ftype, unused, ..] = *bytes;
    let file_type = handle.file_type();
    must(
        first & 0x1f == 0x11 && unused == 0 && file_type.is_some(),
        Rule::FilehandleLayout,
        format!(
            "version and local bits {:#x} (0x11), byte 7 {unused} (0), type {ftype} (1 to 7)",
            first & 0x1f
        ),
    );
    let own = match file_type {
        Some(FileType::Directory) => manager < DIRECTORY_MANAGERS,
        _ => manager == parent_manager,
    };
    must(
        own && parent_manager < DIRECTORY_MANAGERS,
        Rule::DirectoryManager,
        format!("directory manager {manager}, that of its parent {parent_manager}"),
    );
    let sequence = handle.sequence().unwrap_or_default();
    must(
        sequence >= FIRST_SEQUENCE,
        Rule::Sequence,
        format!("sequence number {sequence}; the first is {FIRST_SEQUENCE}"),
    );
    must(
        bytes.iter().skip(16).any(|byte| *byte != 0),
        Rule::RandomNumber,
        "the random number of its filehandle is 0".to_owned(),
    );
    must(
        fnv1(bytes) != 0,
        Rule::HandleHash,
        "fnv1 of its filehandle is 0".to_owned(),
    );
    found
}
