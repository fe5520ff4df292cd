//! Directories against the entries that name them, and whether a path leads there.

use clfs_format::{Filehandle, ObjectId};
use rusqlite::{OptionalExtension, params};

use super::Give;
use crate::monitor::Escaped;
use crate::read::index::{Index, Listed, ObjectKey};
use crate::verify::check::owner_hash;
use crate::verify::entity::orphan;
use crate::verify::finding::Found;
use crate::verify::names::{is_of_cache, is_provisional};
use crate::verify::rule::{Rule, Severity};
use crate::verify::scratch::{Naming, Namings, Scratch, ScratchError, entity_key, entity_of};

/// What a directory says about itself; none when it could not be read.
struct Said {
    dotdot: Option<Filehandle>,
    name: Vec<u8>,
}

impl Scratch {
    /// Whether the entries of the root are known. If not, nothing can be reached, and most of what
    /// is there is named by nothing.
    pub(in crate::verify) fn knows_root(&self) -> Result<bool, ScratchError> {
        Ok(self.said(Filehandle::ROOT)?.is_some())
    }

    /// Judges all directories in the index; returns how many nothing names. Without a root that can
    /// be read, that and whether a path leads to them is not told of each.
    pub(in crate::verify) fn judge_directories(
        &self,
        index: &Index,
        give: Give<'_>,
    ) -> Result<u64, ScratchError> {
        let rooted = self.knows_root()?;
        let mut unnamed = 0;
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
            let listed = index.find(&ObjectId::Entity(handle));
            let Some(listed) = listed.map_err(|_| ScratchError::Row)? else {
                continue;
            };
            if is_of_cache(&listed.name) {
                continue;
            }
            let namings = self.namings(handle)?;
            let said = self.said(handle)?;
            let found = |rule, text| Found::of(rule, &listed.name, handle, text);
            match namings.count {
                _ if handle.is_root() => of_root(&listed, &namings, said.as_ref(), give)?,
                0 => {
                    unnamed += 1;
                    if rooted {
                        give(orphan(&listed, handle))?;
                    }
                }
                1 => {}
                count => {
                    let text = format!("{count} entries name it; a directory has one");
                    give(found(Rule::DirectoryTwice, text))?;
                }
            }
            if handle.is_root() || namings.count == 0 {
                continue;
            }
            of_named(&listed, handle, &namings, said.as_ref(), give)?;
            if rooted && !self.is_reached(handle)? {
                let text = "no path leads to it from the root: a directory above it is named by \
                            nothing, or only from below itself";
                give(found(Rule::Unreachable, text.to_owned()))?;
            }
        }
        Ok(unnamed)
    }

    fn said(&self, handle: Filehandle) -> Result<Option<Said>, ScratchError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT dotdot, name FROM directory WHERE key = ?1")?;
        let row = statement.query_row(params![entity_key(handle).as_bytes()], |row| {
            Ok((row.get::<_, Option<Vec<u8>>>(0)?, row.get(1)?))
        });
        let Some((dotdot, name)) = row.optional()? else {
            return Ok(None);
        };
        Ok(Some(Said {
            dotdot: dotdot.map(|key| entity_of(&key)).transpose()?,
            name,
        }))
    }
}

fn of_root(
    listed: &Listed,
    namings: &Namings,
    said: Option<&Said>,
    give: Give<'_>,
) -> Result<(), ScratchError> {
    let root = Filehandle::ROOT;
    let mut found = |rule, text| give(Found::of(rule, &listed.name, root, text));
    if namings.count > 0 {
        let text = format!("{} entries name the root", namings.count);
        found(Rule::DirectoryTwice, text)?;
    }
    if let Some(dotdot) = said.and_then(|said| said.dotdot)
        && !dotdot.is_root()
    {
        let text = format!("the root's \"..\" is {dotdot}, not the root");
        found(Rule::Dots, text)?;
    }
    if owner_hash(&listed.name) != Some(root.hash64()) {
        let text = "the owner in the root's name is not the root";
        found(Rule::Owner, text.to_owned())?;
    }
    // An empty name is right for a source `/`; what else is wrong with it, the decoder tells.
    Ok(())
}

fn of_named(
    listed: &Listed,
    handle: Filehandle,
    namings: &Namings,
    said: Option<&Said>,
    give: Give<'_>,
) -> Result<(), ScratchError> {
    let mut found = |rule, text| give(Found::of(rule, &listed.name, handle, text));
    let any = |holds: &dyn Fn(&Naming) -> bool| namings.first.iter().any(holds);
    if let Some(said) = said {
        if let Some(dotdot) = said.dotdot
            && !any(&|naming| naming.parent == dotdot)
        {
            let text = format!("its \"..\" is {dotdot}, which has no entry for it");
            found(Rule::Dots, text)?;
        }
        // An empty NAME, or none, is the decoder's to tell.
        if !said.name.is_empty() && !any(&|naming| naming.name == said.name) {
            let name = Escaped(&said.name);
            let text = format!("its NAME is \"{name}\", which no entry says");
            found(Rule::OwnName, text)?;
        }
    }
    let owner = owner_hash(&listed.name);
    if !any(&|naming| owner == Some(naming.parent.hash64())) && !is_provisional(&listed.name) {
        let text = "the owner in its name is no directory that has an entry for it";
        found(Rule::Owner, text.to_owned())?;
    }
    let manager = handle.as_bytes().get(4).copied().unwrap_or_default();
    if !any(&|naming| naming.parent.directory_manager() == manager) {
        let text = format!(
            "byte 4 of its filehandle is {manager}, not the directory manager of its parent"
        );
        // A cache that moves a directory cannot change its filehandle.
        give(Found {
            severity: Severity::Warning,
            ..Found::of(Rule::DirectoryManager, &listed.name, handle, text)
        })?;
    }
    Ok(())
}

impl Scratch {
    /// Sequence numbers that several filehandles have (docs/format.md section 2).
    pub(in crate::verify) fn judge_sequences(
        &self,
        index: &Index,
        give: Give<'_>,
    ) -> Result<(), ScratchError> {
        // Bytes 8 to 15 of a filehandle, after 8 bytes of hash in the key; SQL counts from 1.
        let mut statement = self.connection.prepare(
            "SELECT substr(key, 17, 8) AS sequence, min(key), max(key), count(*)
             FROM names.object WHERE length(key) = 32
             GROUP BY sequence HAVING count(*) > 1",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let one: Vec<u8> = row.get(1)?;
            let other = entity_of(&row.get::<_, Vec<u8>>(2)?)?;
            let count: i64 = row.get(3)?;
            let id = ObjectKey::id(&one).map_err(|_| ScratchError::Row)?;
            let handle = entity_of(&one)?;
            let listed = index.find(&id).map_err(|_| ScratchError::Row)?;
            let sequence = handle.sequence().unwrap_or_default();
            let text = format!(
                "sequence number {sequence} is that of {count} objects, among them {other}"
            );
            if let Some(listed) = listed {
                give(Found::of(Rule::Sequence, &listed.name, handle, text))?;
            }
        }
        Ok(())
    }
}
