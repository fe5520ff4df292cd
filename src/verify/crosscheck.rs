//! Crosschecks: what is wrong only when the objects of a container are compared with each other.

use clfs_format::{Filehandle, ObjectId, ObjectType};
use rusqlite::{OptionalExtension, params};

use super::checker::owner_hash;
use super::entity::{Entries, orphan};
use super::finding::NewFinding;
use super::names::{is_cache_object, is_provisional};
use super::rule::{Rule, Severity};
use super::scratch::{ParentEntries, ParentEntry, Scratch, ScratchError, entity_key, entity_of};
use crate::read::index::{Index, Listed, ObjectKey};
use crate::text::Escaped;

/// Receives findings one by one.
pub(super) type Report<'r> = &'r mut dyn FnMut(NewFinding) -> Result<(), ScratchError>;

/// What a directory records about itself.
struct DirectoryRecord {
    dotdot: Option<Filehandle>,
    name: Vec<u8>,
}

/// Directories, and the entries that name them.
impl Scratch {
    /// Returns whether the root could be read. If not, nothing can be reached.
    pub(super) fn is_root_known(&self) -> Result<bool, ScratchError> {
        Ok(self.directory(Filehandle::ROOT)?.is_some())
    }

    /// Checks all directories in the index. If some entries are unknown, directories that no entry
    /// names are counted, not reported; the count is returned.
    pub(super) fn check_directories(
        &self,
        index: &Index,
        entries: Entries,
        report: Report<'_>,
    ) -> Result<u64, ScratchError> {
        let mut possible_orphans = 0;
        let mut statement = self.connection.prepare(
            "SELECT key FROM names.object
             WHERE (length(key) = 32 AND substr(key, 15, 1) = x'01') OR key = ?1
             ORDER BY key",
        )?;
        let root = entity_key(Filehandle::ROOT);
        let mut rows = statement.query(params![root.as_bytes()])?;
        while let Some(row) = rows.next()? {
            let key = row.get_ref(0)?.as_blob().map_err(|_| ScratchError::Row)?;
            let handle = entity_of(key)?;
            let Some(listed) = index.find(&ObjectId::Entity(handle))? else {
                continue;
            };
            if is_cache_object(&listed.name) {
                continue;
            }
            let parents = self.parents(handle)?;
            let record = self.directory(handle)?;
            if handle.is_root() {
                check_root(&listed, &parents, record.as_ref(), report)?;
                continue;
            }
            if parents.count == 0 {
                match entries {
                    Entries::AllKnown => report(orphan(&listed, handle))?,
                    Entries::SomeUnknown => possible_orphans += 1,
                }
                continue;
            }
            if parents.count > 1 {
                let text = format!("{} entries name it, but only one may", parents.count);
                let rule = Rule::DirectoryTwice;
                report(NewFinding::entity(rule, &listed.name, handle, text))?;
            }
            check_named(&listed, handle, &parents, record.as_ref(), report)?;
            if entries == Entries::AllKnown && !self.is_reachable(handle)? {
                let text = "no path leads to it from the root: no entry names a directory above it, \
                            or only entries below it do";
                let rule = Rule::Unreachable;
                report(NewFinding::entity(rule, &listed.name, handle, text))?;
            }
        }
        Ok(possible_orphans)
    }

    /// Returns what a directory records about itself; none if it could not be read.
    fn directory(&self, handle: Filehandle) -> Result<Option<DirectoryRecord>, ScratchError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT dotdot, name FROM directory WHERE key = ?1")?;
        let row = statement.query_row(params![entity_key(handle).as_bytes()], |row| {
            Ok((row.get::<_, Option<Vec<u8>>>(0)?, row.get(1)?))
        });
        let Some((dotdot, name)) = row.optional()? else {
            return Ok(None);
        };
        Ok(Some(DirectoryRecord {
            dotdot: dotdot.map(|key| entity_of(&key)).transpose()?,
            name,
        }))
    }

    /// Reports sequence numbers that several filehandles have (format.md §2).
    pub(super) fn check_sequences(
        &self,
        index: &Index,
        report: Report<'_>,
    ) -> Result<(), ScratchError> {
        // Bytes 8 to 15 of a filehandle. In a key, 8 bytes of hash precede them, and SQL counts from 1.
        let mut statement = self.connection.prepare(
            "SELECT substr(key, 17, 8) AS sequence, min(key), max(key), count(*)
             FROM names.object WHERE length(key) = 32
             GROUP BY sequence HAVING count(*) > 1",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let handle = entity_of(&row.get::<_, Vec<u8>>(1)?)?;
            let other = entity_of(&row.get::<_, Vec<u8>>(2)?)?;
            let count: i64 = row.get(3)?;
            let sequence = handle.sequence().unwrap_or_default();
            let text =
                format!("{count} objects have sequence number {sequence}, {other} among them");
            if let Some(listed) = index.find(&ObjectId::Entity(handle))? {
                let rule = Rule::Sequence;
                report(NewFinding::entity(rule, &listed.name, handle, text))?;
            }
        }
        Ok(())
    }
}

fn check_root(
    listed: &Listed,
    parents: &ParentEntries,
    record: Option<&DirectoryRecord>,
    report: Report<'_>,
) -> Result<(), ScratchError> {
    let root = Filehandle::ROOT;
    let mut found = |rule, text| report(NewFinding::entity(rule, &listed.name, root, text));
    if parents.count > 0 {
        let text = format!("{} entries name the root, but none may", parents.count);
        found(Rule::DirectoryTwice, text)?;
    }
    if let Some(dotdot) = record.and_then(|record| record.dotdot)
        && !dotdot.is_root()
    {
        let text = format!("the root's \"..\" is {dotdot}, not the root");
        found(Rule::Dots, text)?;
    }
    if owner_hash(&listed.name) != Some(root.hash64()) {
        let text = "the owner in the root's name is not the root";
        found(Rule::Owner, text.to_owned())?;
    }
    // The root of a load from `/` has an empty NAME; the decoder reports other invalid names.
    Ok(())
}

fn check_named(
    listed: &Listed,
    handle: Filehandle,
    parents: &ParentEntries,
    record: Option<&DirectoryRecord>,
    report: Report<'_>,
) -> Result<(), ScratchError> {
    let found = |rule, text: String| NewFinding::entity(rule, &listed.name, handle, text);
    let any = |holds: &dyn Fn(&ParentEntry) -> bool| parents.first.iter().any(holds);
    if let Some(record) = record {
        if let Some(dotdot) = record.dotdot
            && !any(&|entry| entry.parent == dotdot)
        {
            let text = format!("its \"..\" is {dotdot}, which has no entry for it");
            report(found(Rule::Dots, text))?;
        }
        // The decoder reports a NAME that is empty or missing.
        if !record.name.is_empty() && !any(&|entry| entry.name == record.name) {
            let name = Escaped(&record.name);
            let text = format!("its NAME is \"{name}\", which no entry has");
            report(found(Rule::OwnName, text))?;
        }
    }
    let owner = owner_hash(&listed.name);
    if !any(&|entry| owner == Some(entry.parent.hash64())) && !is_provisional(&listed.name) {
        let text = "the owner in its name is not a directory that has an entry for it";
        report(found(Rule::Owner, text.to_owned()))?;
    }
    let manager = handle.as_bytes().get(4).copied().unwrap_or_default();
    if !any(&|entry| entry.parent.directory_manager() == manager) {
        let text = format!(
            "byte 4 of its filehandle is {manager}, not the directory manager of its parent"
        );
        // A cache that moves a directory cannot change its filehandle.
        report(found(Rule::DirectoryManager, text).with_severity(Severity::Warning))?;
    }
    Ok(())
}

/// Entries, compared with each other and with the objects in the index.
impl Scratch {
    /// Reports names that a directory has more than once.
    pub(super) fn check_duplicate_names(
        &self,
        index: &Index,
        report: Report<'_>,
    ) -> Result<(), ScratchError> {
        let mut statement = self.connection.prepare(
            "SELECT parent, name, count(*) FROM entry
             GROUP BY parent, name HAVING count(*) > 1",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let directory = entity_of(&row.get::<_, Vec<u8>>(0)?)?;
            let (name, count): (Vec<u8>, i64) = (row.get(1)?, row.get(2)?);
            let text = format!("{count} entries of its directory have this name");
            let rule = Rule::DuplicateName;
            report(entry_finding(index, rule, directory, name, text)?)?;
        }
        Ok(())
    }

    /// Reports entries that name an object without an inode, such as a tombstone.
    pub(super) fn check_entries_of_cache_objects(
        &self,
        index: &Index,
        report: Report<'_>,
    ) -> Result<(), ScratchError> {
        let mut statement = self.connection.prepare(
            "SELECT entry.child, entry.parent, entry.name, object.type
             FROM entry JOIN names.object ON object.key = entry.child
             WHERE object.type IN (?1, ?2, ?3)
             ORDER BY entry.child",
        )?;
        let types = [
            ObjectType::Tombstone,
            ObjectType::Special,
            ObjectType::HardLink,
        ];
        let mut rows = statement.query(types.map(ObjectType::code))?;
        while let Some(row) = rows.next()? {
            let child = entity_of(&row.get::<_, Vec<u8>>(0)?)?;
            let directory = entity_of(&row.get::<_, Vec<u8>>(1)?)?;
            let code: i64 = row.get(3)?;
            let text = format!("its object {child} has type {code}, which is not an inode");
            let rule = Rule::ObjectType;
            report(entry_finding(index, rule, directory, row.get(2)?, text)?)?;
        }
        Ok(())
    }

    /// Reports entries that name an object that is not in the container.
    pub(super) fn check_dangling_entries(
        &self,
        index: &Index,
        report: Report<'_>,
    ) -> Result<(), ScratchError> {
        let mut statement = self.connection.prepare(
            "SELECT entry.child, entry.parent, entry.name
             FROM entry LEFT JOIN names.object ON object.key = entry.child
             WHERE object.key IS NULL
             ORDER BY entry.child",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let child = entity_of(&row.get::<_, Vec<u8>>(0)?)?;
            let directory = entity_of(&row.get::<_, Vec<u8>>(1)?)?;
            let text = format!("its object {child} is not in the container");
            let rule = Rule::Dangling;
            report(entry_finding(index, rule, directory, row.get(2)?, text)?)?;
        }
        Ok(())
    }
}

/// Returns a finding about an entry, with the blob of its directory.
fn entry_finding(
    index: &Index,
    rule: Rule,
    directory: Filehandle,
    name: Vec<u8>,
    text: String,
) -> Result<NewFinding, ScratchError> {
    let listed = index.find(&ObjectId::Entity(directory))?;
    let blob = listed.map(|listed| listed.name.to_string());
    Ok(NewFinding::entry(rule, blob, directory, name, text))
}

/// A use of a block.
struct BlockUse {
    key: Vec<u8>,
    owner: Filehandle,
    object_type: u16,
}

/// Segments and indirect blocks, and the entities that use them.
impl Scratch {
    /// Checks that each used block exists, has the type of its use, belongs to its user, and is used
    /// once.
    pub(super) fn check_blocks(
        &self,
        index: &Index,
        report: Report<'_>,
    ) -> Result<(), ScratchError> {
        let mut statement = self
            .connection
            .prepare("SELECT key, owner, type FROM block ORDER BY key, owner, type")?;
        let mut rows = statement.query([])?;
        let mut previous: Option<BlockUse> = None;
        let mut twice_reported = false;
        while let Some(row) = rows.next()? {
            let used = BlockUse {
                key: row.get(0)?,
                owner: entity_of(&row.get::<_, Vec<u8>>(1)?)?,
                object_type: row.get(2)?,
            };
            match &previous {
                Some(previous) if previous.key == used.key => {
                    // One finding for each block, however often it is used.
                    if !std::mem::replace(&mut twice_reported, true) {
                        report_used_twice(index, previous, &used, report)?;
                    }
                    if (previous.owner, previous.object_type) == (used.owner, used.object_type) {
                        continue;
                    }
                }
                _ => twice_reported = false,
            }
            check_use(index, &used, report)?;
            previous = Some(used);
        }
        Ok(())
    }

    /// Collects the blocks that no entity uses; returns their number.
    pub(super) fn collect_unused_blocks(&self) -> Result<u64, ScratchError> {
        // In a key, an id of 16 bytes follows 8 bytes of hash, and SQL counts from 1. The well-known
        // ids are zeros and 0x62 to 0x67 (format.md §1).
        let count = self.connection.execute(
            "INSERT INTO unused
             SELECT key FROM names.object
             WHERE length(key) = 24
               AND NOT (substr(key, 9, 15) = zeroblob(15)
                        AND substr(key, 24, 1) BETWEEN x'62' AND x'67')
               AND NOT EXISTS (SELECT 1 FROM block WHERE block.key = object.key)
             ORDER BY key",
            [],
        )?;
        Ok(count as u64)
    }
}

fn report_used_twice(
    index: &Index,
    one: &BlockUse,
    other: &BlockUse,
    report: Report<'_>,
) -> Result<(), ScratchError> {
    let id = ObjectKey::id(&one.key)?;
    let text = match one.owner == other.owner {
        true => format!("the block {id} is used twice"),
        false => format!(
            "the block {id} is used by {} and {}",
            one.owner, other.owner
        ),
    };
    // A block that does not exist is reported as dangling.
    match index.find(&id)? {
        Some(listed) => {
            let rule = Rule::BlockTwice;
            report(NewFinding::entity(rule, &listed.name, one.owner, text))
        }
        None => Ok(()),
    }
}

fn check_use(index: &Index, used: &BlockUse, report: Report<'_>) -> Result<(), ScratchError> {
    let id = ObjectKey::id(&used.key)?;
    let kind = match ObjectType::from_code(used.object_type) {
        Some(ObjectType::Indirect) => "indirect block",
        _ => "segment",
    };
    let Some(listed) = index.find(&id)? else {
        let text = format!("its {kind} {id} is not in the container");
        return match index.find(&ObjectId::Entity(used.owner))? {
            Some(owner) => {
                let rule = Rule::Dangling;
                report(NewFinding::entity(rule, &owner.name, used.owner, text))
            }
            None => Ok(()),
        };
    };
    let name = &listed.name;
    let mut found = |rule, text| report(NewFinding::entity(rule, name, used.owner, text));
    let code = name.object_type().code();
    if is_cache_object(name) || u16::from(code) != used.object_type {
        let text = format!("type {code} in the blob's name, but it is used as a {kind}");
        found(Rule::ObjectType, text)?;
    }
    let expected = used.owner.hash64();
    match owner_hash(name) {
        Some(hash) if hash != expected => {
            let text = format!(
                "the owner in its name is {hash:016X}, but {} ({expected:016X}) uses it",
                used.owner
            );
            found(Rule::Owner, text)
        }
        _ => Ok(()),
    }
}

/// Entries that share an object in the container, or an inode in the source.
impl Scratch {
    /// Checks that one object is one inode of the source. Several objects may be one inode: links may
    /// not have been preserved, or the inode had more names than an object can have.
    pub(super) fn check_source_links(&self, report: Report<'_>) -> Result<(), ScratchError> {
        self.connection.execute_batch(
            "CREATE INDEX link_handle ON link (handle, path);
             CREATE INDEX link_inode ON link (device, inode, handle);",
        )?;
        let mut statement = self.connection.prepare(
            "SELECT one.path, other.path FROM link AS one JOIN link AS other
             ON other.handle = one.handle
             WHERE one.path = (SELECT min(path) FROM link WHERE handle = one.handle)
               AND (other.device, other.inode) IS NOT (one.device, one.inode)
             ORDER BY one.path, other.path",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (one, other): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let text = format!(
                "it and /{} are one object in the container, but two files in the source",
                Escaped(&other)
            );
            report(NewFinding::path(Rule::SourceLinks, one, text))?;
        }
        let split: i64 = self.connection.query_row(
            "SELECT count(*) FROM (
                 SELECT 1 FROM link GROUP BY device, inode HAVING count(DISTINCT handle) > 1
             )",
            [],
            |row| row.get(0),
        )?;
        if split > 0 {
            let text = format!(
                "files with several names in the source that are several objects in the container: \
                 {split}; links were not preserved, or a file has more names than an object can have"
            );
            report(NewFinding::container(Rule::SourceLinksSplit, text))?;
        }
        Ok(())
    }
}
