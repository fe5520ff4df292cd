//! Checks the names of blobs (format.md §2 and §4).

use clfs_format::{
    DIRECTORY_MANAGERS, FIRST_SEQUENCE, FIRST_VERSION, FileType, Filehandle, NameKind, ObjectId,
    ObjectName, ObjectType, WellKnownId, fnv1,
};

use super::checker::{Checker, owner_hash};
use super::deviation::rule_of;
use super::finding::NewFinding;
use super::rule::Rule;
use super::scratch::Record;
use crate::read::ReadError;
use crate::read::index::{Aside, AsideReason, Listed, ObjectKey};

/// Rows read from the index at a time.
const PAGE: usize = 4096;

impl Checker {
    /// Checks all names. Blocks.
    ///
    /// # Errors
    /// If the index or the recorder fails.
    pub(super) fn check_names(&self) -> Result<(), ReadError> {
        let mut after: Option<ObjectKey> = None;
        loop {
            let page = self.index.after(after.as_ref(), PAGE);
            let page = page.map_err(|error| self.index_error(error))?;
            let Some(last) = page.last() else { break };
            after = Some(ObjectKey::new(&last.name.id));
            let findings = page.iter().flat_map(check_object).map(Record::from);
            self.recorder.blocking_send(findings.collect())?;
        }
        let mut after = 0;
        loop {
            let page = self.index.aside_after(after, PAGE);
            let page = page.map_err(|error| self.index_error(error))?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            let findings = page.iter().filter_map(|(_, aside)| aside_finding(aside));
            self.recorder
                .blocking_send(findings.map(Record::from).collect())?;
        }
        Ok(())
    }
}

/// Returns the finding for a blob that is not a current object.
fn aside_finding(aside: &Aside) -> Option<NewFinding> {
    let detail = &aside.detail;
    let (rule, text) = match aside.reason {
        // Logs are checked with the bucket object, which names them.
        AsideReason::Log => return None,
        AsideReason::Leftover => (
            Rule::Leftover,
            format!("an old version of its object; the current one is {detail}"),
        ),
        AsideReason::Twin => (
            Rule::Twin,
            format!("two blobs have the same version of one object; {detail} is used"),
        ),
        AsideReason::Snapshot => (
            Rule::Snapshot,
            format!("it belongs to snapshot {detail} and is not checked"),
        ),
        AsideReason::BadName => {
            let rule = match ObjectName::parse(&aside.name) {
                Err(error) => rule_of(&error),
                Ok(_) => Rule::NameSyntax,
            };
            (rule, format!("not a valid object name: {detail}"))
        }
        AsideReason::Foreign => (
            Rule::ForeignBlob,
            "neither an object of a CLFS container nor a log".to_owned(),
        ),
    };
    Some(NewFinding::blob(rule, &aside.name, text))
}

fn check_object(listed: &Listed) -> Vec<NewFinding> {
    let name = &listed.name;
    let mut findings = match name.id {
        ObjectId::Entity(handle) => check_entity_name(name, handle),
        ObjectId::Block(_) => check_block_name(name).into_iter().collect(),
        ObjectId::WellKnown(known) => check_well_known(name, known).into_iter().collect(),
    };
    if name.version < FIRST_VERSION {
        let text = format!(
            "version {} is below the first one, {FIRST_VERSION}",
            name.version
        );
        findings.push(NewFinding::blob(Rule::Version, name, text));
    }
    findings
}

fn check_well_known(name: &ObjectName, known: WellKnownId) -> Option<NewFinding> {
    let what = match known {
        WellKnownId::Bucket => return None,
        WellKnownId::Provisional => {
            let text = "the id 0x62 is reserved for an owner, not an object";
            return Some(NewFinding::blob(Rule::ObjectType, name, text));
        }
        WellKnownId::SpaceTracker => "the space tracker",
        WellKnownId::OrphanParent => "the parent directory of orphans",
        WellKnownId::SnapshotDatabase => "the snapshot database",
    };
    let text = format!("{what} of a cache; its content is not checked");
    Some(NewFinding::blob(Rule::CacheObject, name, text))
}

fn check_block_name(name: &ObjectName) -> Option<NewFinding> {
    if is_cache_object(name) {
        return Some(cache_object(name));
    }
    match name.object_type() {
        ObjectType::Segment | ObjectType::Indirect => None,
        other => {
            let code = other.code();
            let text = format!("its id is that of a block, but its type is {code}, an inode");
            Some(NewFinding::blob(Rule::ObjectType, name, text))
        }
    }
}

fn cache_object(name: &ObjectName) -> NewFinding {
    let what = match name.object_type() {
        ObjectType::Tombstone => "a tombstone",
        ObjectType::HardLink => "a hard link object",
        _ => "a special object",
    };
    let text = format!("{what}, which only caches write; its content is not checked");
    NewFinding::blob(Rule::CacheObject, name, text)
}

fn check_entity_name(name: &ObjectName, handle: Filehandle) -> Vec<NewFinding> {
    let mut findings = check_filehandle(name, handle);
    if is_cache_object(name) {
        findings.push(cache_object(name));
        return findings;
    }
    let object_type = name.object_type();
    if let Some(file_type) = handle.file_type()
        && file_type.object_type() != object_type
    {
        let text = format!(
            "type {} in the blob's name, but type {} in its filehandle",
            object_type.code(),
            file_type.object_type().code()
        );
        findings.push(NewFinding::entity(Rule::ObjectType, name, handle, text));
    }
    if is_provisional(name) {
        let text = "its owner is 0x62: the load wrote it provisionally and did not replace it";
        findings.push(NewFinding::entity(Rule::Provisional, name, handle, text));
    }
    findings
}

/// Returns whether the owner in the blob's name is 0x62.
pub(super) fn is_provisional(name: &ObjectName) -> bool {
    owner_hash(name) == Some(ObjectId::WellKnown(WellKnownId::Provisional).hash64())
}

/// Returns whether the object has the id of an entity or a block but a type that only caches write.
pub(super) fn is_cache_object(name: &ObjectName) -> bool {
    matches!(name.kind, NameKind::V2 { .. })
        && matches!(
            name.object_type(),
            ObjectType::Tombstone | ObjectType::Special | ObjectType::HardLink
        )
}

/// Checks a filehandle (format.md §2).
fn check_filehandle(name: &ObjectName, handle: Filehandle) -> Vec<NewFinding> {
    let bytes: &[u8; 24] = match handle.as_bytes().first_chunk() {
        Some(bytes) => bytes,
        // The root's filehandle has 16 bytes and no fields.
        None => return Vec::new(),
    };
    let mut findings = Vec::new();
    let mut must = |holds: bool, rule, text: String| {
        if !holds {
            findings.push(NewFinding::entity(rule, name, handle, text));
        }
    };
    let [first, _, _, _, parent_manager, manager, ftype, unused, ..] = *bytes;
    let file_type = handle.file_type();
    must(
        first & 0x1f == 0x11 && unused == 0 && file_type.is_some(),
        Rule::FilehandleLayout,
        format!(
            "version and local bits are {:#x} (expected 0x11), byte 7 is {unused} (expected 0), type is {ftype} (expected 1 to 7)",
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
        format!(
            "its directory manager is {manager}, that of its parent is {parent_manager}; both must \
             be below {DIRECTORY_MANAGERS}, and equal if it is not a directory"
        ),
    );
    let sequence = handle.sequence().unwrap_or_default();
    must(
        sequence >= FIRST_SEQUENCE,
        Rule::Sequence,
        format!("sequence number {sequence} is below the first one, {FIRST_SEQUENCE}"),
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
    findings
}
