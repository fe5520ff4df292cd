//! Sorts names that do not fit in memory.

use std::io;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, params};

/// Page cache while names are added. A larger one reads and writes the file less often.
const CACHE_WHEN_ADDING: &str = "PRAGMA cache_size = -2048";
/// Page cache while names are returned in order, in which each page is read once.
const CACHE_WHEN_READING: &str = "PRAGMA cache_size = -64; PRAGMA shrink_memory";

/// One transaction that never ends: the file has no name, so that nothing of it survives this process.
const SETUP: &str = "
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
CREATE TABLE name (name BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
BEGIN";

/// The names of one directory, in a database of its own.
#[derive(Debug)]
pub(crate) struct NameSorter {
    connection: Connection,
    /// The last name that was returned.
    last: Vec<u8>,
}

impl NameSorter {
    /// Creates a sorter with an unlinked file in `folder`.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let path = tempfile::Builder::new()
            .prefix("names.")
            .tempfile_in(folder)?
            .into_temp_path();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(io_error)?;
        path.close()?;
        for setup in [SETUP, CACHE_WHEN_ADDING] {
            connection.execute_batch(setup).map_err(io_error)?;
        }
        Ok(NameSorter {
            connection,
            last: Vec::new(),
        })
    }

    /// Adds names that it does not have yet. Sorted ones are added faster.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn add<'a>(&self, names: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
        let mut insert = self
            .connection
            .prepare_cached("INSERT OR IGNORE INTO name VALUES (?1)")
            .map_err(io_error)?;
        for name in names {
            insert.execute([name]).map_err(io_error)?;
        }
        Ok(())
    }

    /// Frees the memory that only [`add`](Self::add) needs.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn all_added(&self) -> io::Result<()> {
        let free = self.connection.execute_batch(CACHE_WHEN_READING);
        free.map_err(io_error)
    }

    /// Calls `visit` with the next names in ascending order, up to `at_most`; with none at the end.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn next(&mut self, at_most: u32, visit: impl FnMut(&[u8])) -> io::Result<()> {
        self.query(at_most, visit).map_err(io_error)
    }

    fn query(&mut self, at_most: u32, mut visit: impl FnMut(&[u8])) -> rusqlite::Result<()> {
        let mut select = self
            .connection
            .prepare_cached("SELECT name FROM name WHERE name > ?1 ORDER BY name LIMIT ?2")?;
        let mut rows = select.query(params![self.last, at_most])?;
        let mut last = None;
        while let Some(row) = rows.next()? {
            let name = row.get_ref(0)?.as_blob()?;
            visit(name);
            let last: &mut Vec<u8> = last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(name);
        }
        if let Some(last) = last {
            self.last = last;
        }
        Ok(())
    }
}

fn io_error(error: rusqlite::Error) -> io::Error {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => io::ErrorKind::StorageFull,
        Some(ErrorCode::OutOfMemory) => io::ErrorKind::OutOfMemory,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_returned_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut sorter = NameSorter::create(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        sorter
            .add([b"b\0", b"a\0", b"b\0"].map(|name| name.as_slice()))
            .unwrap();
        sorter
            .add([b"c\0", b"b\0", b"\xff\0"].map(|name| name.as_slice()))
            .unwrap();
        sorter.all_added().unwrap();
        for expected in [&[b"a\0", b"b\0", b"c\0"][..], &[b"\xff\0"], &[]] {
            let mut names = Vec::new();
            sorter.next(3, |name| names.push(name.to_vec())).unwrap();
            assert_eq!(names, expected);
        }
    }
}
