//! Segments and indirect blocks against the entities that use them.

use clfs_format::{Filehandle, ObjectId, ObjectType};

use super::Give;
use crate::read::index::Index;
use crate::verify::check::owner_hash;
use crate::verify::finding::Found;
use crate::verify::names::is_of_cache;
use crate::verify::rule::Rule;
use crate::verify::scratch::{Scratch, ScratchError, entity_of, id_of};

/// One use of a block.
struct Use {
    key: Vec<u8>,
    owner: Filehandle,
    object_type: u16,
}

impl Scratch {
    /// Judges all uses of blocks: that they are there, are what they are used as, belong to who uses
    /// them, and are used once.
    pub(in crate::verify) fn judge_blocks(
        &self,
        index: &Index,
        give: Give<'_>,
    ) -> Result<(), ScratchError> {
        let mut statement = self
            .connection
            .prepare("SELECT key, owner, type FROM block ORDER BY key, owner, type")?;
        let mut rows = statement.query([])?;
        let mut before: Option<Use> = None;
        let mut told = false;
        while let Some(row) = rows.next()? {
            let used = Use {
                key: row.get(0)?,
                owner: entity_of(&row.get::<_, Vec<u8>>(1)?)?,
                object_type: row.get(2)?,
            };
            match &before {
                Some(before) if before.key == used.key => {
                    // One finding for each block, however often it is used.
                    if !std::mem::replace(&mut told, true) {
                        twice(index, before, &used, give)?;
                    }
                    if before.owner == used.owner && before.object_type == used.object_type {
                        continue;
                    }
                }
                _ => told = false,
            }
            of_use(index, &used, give)?;
            before = Some(used);
        }
        Ok(())
    }

    /// Notes the blocks that nothing uses.
    pub(in crate::verify) fn gather_orphans(&self) -> Result<u64, ScratchError> {
        // An id of 16 bytes stands after 8 bytes of hash; SQL counts from 1. The well-known ones are
        // zeros and 0x62 to 0x67 (docs/format.md section 1).
        let count = self.connection.execute(
            "INSERT INTO orphan
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

fn twice(index: &Index, one: &Use, other: &Use, give: Give<'_>) -> Result<(), ScratchError> {
    let id = id_of(&one.key)?;
    let text = match one.owner == other.owner {
        true => format!("the block {id} is used twice"),
        false => format!(
            "the block {id} is used by {} and {}",
            one.owner, other.owner
        ),
    };
    // What is not there is told by itself.
    match index.find(&id).map_err(|_| ScratchError::Row)? {
        Some(listed) => give(Found::of(Rule::BlockTwice, &listed.name, one.owner, text)),
        None => Ok(()),
    }
}

fn of_use(index: &Index, used: &Use, give: Give<'_>) -> Result<(), ScratchError> {
    let id = id_of(&used.key)?;
    let what = match ObjectType::from_code(used.object_type) {
        Some(ObjectType::Indirect) => "indirect block",
        _ => "segment",
    };
    let Some(listed) = index.find(&id).map_err(|_| ScratchError::Row)? else {
        let owner = index.find(&ObjectId::Entity(used.owner));
        let text = format!("its {what} {id} is not in the container");
        return match owner.map_err(|_| ScratchError::Row)? {
            Some(owner) => give(Found::of(Rule::Dangling, &owner.name, used.owner, text)),
            None => Ok(()),
        };
    };
    let name = &listed.name;
    let mut found = |rule, text| give(Found::of(rule, name, used.owner, text));
    if is_of_cache(name) || u16::from(name.object_type().code()) != used.object_type {
        let text = format!(
            "type {} in the blob's name, but it is used as a {what}",
            name.object_type().code()
        );
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
