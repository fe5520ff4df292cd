//! Which entries share an object in the container, and an inode in the source.

use crate::monitor::Escaped;
use crate::verify::finding::Found;
use crate::verify::joins::Give;
use crate::verify::rule::Rule;
use crate::verify::scratch::{Scratch, ScratchError};

impl Scratch {
    /// One object must be one inode. The reverse need not be: links may not have been preserved, or
    /// there were more than an object can have.
    pub(in crate::verify) fn judge_links(&self, give: Give<'_>) -> Result<(), ScratchError> {
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
                "one object of the container is this and /{}, which are two files in the source",
                Escaped(&other)
            );
            give(Found::path(Rule::SourceLinks, one, text))?;
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
                 {split}; links were not preserved, or there were more than an object can have"
            );
            give(Found::container(Rule::SourceLinksSplit, text))?;
        }
        Ok(())
    }
}
