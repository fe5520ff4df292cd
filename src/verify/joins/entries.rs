//! Directory entries against each other and against the objects that are there.

use clfs_format::{Filehandle, ObjectId, ObjectType};

use super::Give;
use crate::read::index::Index;
use crate::verify::finding::{Found, PathOf};
use crate::verify::rule::Rule;
use crate::verify::scratch::{Scratch, ScratchError, entity_of};

impl Scratch {
    /// Names that stand in a directory more than once.
    pub(in crate::verify) fn judge_duplicates(
        &self,
        index: &Index,
        give: Give<'_>,
    ) -> Result<(), ScratchError> {
        let mut statement = self.connection.prepare(
            "SELECT parent, name, count(*) FROM naming
             GROUP BY parent, name HAVING count(*) > 1",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let directory = entity_of(&row.get::<_, Vec<u8>>(0)?)?;
            let name: Vec<u8> = row.get(1)?;
            let count: i64 = row.get(2)?;
            let text = format!("{count} entries of its directory have this name");
            give(of_entry(index, Rule::DuplicateName, directory, name, text)?)?;
        }
        Ok(())
    }

    /// Entries that name an object that is no inode: a tombstone, say. Whatever the entry stood for is lost.
    pub(in crate::verify) fn judge_entries_of_no_inode(
        &self,
        index: &Index,
        give: Give<'_>,
    ) -> Result<(), ScratchError> {
        let mut statement = self.connection.prepare(
            "SELECT naming.child, naming.parent, naming.name, object.type
             FROM naming JOIN names.object ON object.key = naming.child
             WHERE object.type IN (?1, ?2, ?3)
             ORDER BY naming.child",
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
            let text = format!("its object {child} is of type {code}, which is no inode");
            let name = row.get(2)?;
            give(of_entry(index, Rule::ObjectType, directory, name, text)?)?;
        }
        Ok(())
    }

    /// Entries that name what is not there.
    pub(in crate::verify) fn judge_dangling_entries(
        &self,
        index: &Index,
        give: Give<'_>,
    ) -> Result<(), ScratchError> {
        let mut statement = self.connection.prepare(
            "SELECT naming.child, naming.parent, naming.name
             FROM naming LEFT JOIN names.object ON object.key = naming.child
             WHERE object.key IS NULL
             ORDER BY naming.child",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let child = entity_of(&row.get::<_, Vec<u8>>(0)?)?;
            let directory = entity_of(&row.get::<_, Vec<u8>>(1)?)?;
            let text = format!("its object {child} is not in the container");
            give(of_entry(
                index,
                Rule::Dangling,
                directory,
                row.get(2)?,
                text,
            )?)?;
        }
        Ok(())
    }
}

/// A finding about an entry: the blob is its directory's.
fn of_entry(
    index: &Index,
    rule: Rule,
    directory: Filehandle,
    name: Vec<u8>,
    text: String,
) -> Result<Found, ScratchError> {
    let listed = index.find(&ObjectId::Entity(directory));
    let listed = listed.map_err(|_| ScratchError::Row)?;
    Ok(Found {
        rule,
        severity: rule.severity(),
        blob: listed.map(|listed| listed.name.to_string()),
        path: PathOf::Entry(directory, name),
        text,
    })
}
