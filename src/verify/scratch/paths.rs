//! Paths of entities: up to the root by the entries that name them.

use clfs_format::{FileType, Filehandle};
use rusqlite::{OptionalExtension, Row, params};

use super::{Scratch, ScratchError, entity_key, entity_of};
use crate::verify::finding::{Finding, Found, PathOf};

impl Scratch {
    /// The finding with its path.
    pub(in crate::verify) fn located(&self, found: Found) -> Result<Finding, ScratchError> {
        let path = match found.path {
            PathOf::Nothing => None,
            PathOf::Exactly(path) => Some(path),
            PathOf::Entity(entity) => self.path(entity)?,
            PathOf::Entry(directory, name) => self.path(directory)?.map(|mut path| {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(&name);
                path
            }),
        };
        Ok(Finding {
            rule: found.rule,
            severity: found.severity,
            blob: found.blob,
            path,
            text: found.text,
        })
    }

    /// Whether a path leads from the root to a directory.
    pub(in crate::verify) fn is_reached(
        &self,
        directory: Filehandle,
    ) -> Result<bool, ScratchError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT 1 FROM reached WHERE key = ?1")?;
        Ok(directory.is_root() || statement.exists(params![entity_key(directory).as_bytes()])?)
    }

    /// A path to an entity; none when no directory that can be reached from the root names it.
    pub(in crate::verify) fn path(
        &self,
        entity: Filehandle,
    ) -> Result<Option<Vec<u8>>, ScratchError> {
        let step = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?));
        let mut up = self
            .connection
            .prepare_cached("SELECT parent, name FROM reached WHERE key = ?1")?;
        let mut components = Vec::new();
        let mut at = entity;
        if entity.file_type() != Some(FileType::Directory) {
            let mut naming = self.connection.prepare_cached(
                "SELECT naming.parent, naming.name FROM naming
                 JOIN reached ON reached.key = naming.parent
                 WHERE child = ?1 ORDER BY naming.parent, naming.name LIMIT 1",
            )?;
            let key = entity_key(at);
            let found = naming.query_row(params![key.as_bytes()], step).optional()?;
            let Some((parent, name)) = found else {
                return Ok(None);
            };
            components.push(name);
            at = entity_of(&parent)?;
        }
        // A shortest path has no circles.
        while !at.is_root() {
            let key = entity_key(at);
            let found = up.query_row(params![key.as_bytes()], step).optional()?;
            let Some((parent, name)) = found else {
                return Ok(None);
            };
            components.push(name);
            at = entity_of(&parent)?;
        }
        components.reverse();
        Ok(Some(components.join(&b'/')))
    }
}
