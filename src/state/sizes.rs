//! How large the regular files of a transfer are.

use rusqlite::params;

use super::row::{self, stored};
use super::{Reader, StateError};
use crate::entry::EntryId;

/// Sizes from one bound up to the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SizeClass {
    /// Files, each with several names counted once.
    pub files: u64,
    /// Their bytes; more than 64 bits hold stay at the highest number.
    pub bytes: u64,
}

/// Regular files by their size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    classes: [SizeClass; Sizes::BOUNDS.len() + 1],
}

impl Sizes {
    /// The least size of each class but the first, which empty files are in.
    pub const BOUNDS: [u64; 7] = [1, 1 << 10, 16 << 10, 256 << 10, 4 << 20, 64 << 20, 1 << 30];

    /// The classes with their least size, smallest first.
    pub fn classes(&self) -> impl Iterator<Item = (u64, SizeClass)> + '_ {
        std::iter::once(0)
            .chain(Self::BOUNDS)
            .zip(self.classes.iter().copied())
    }

    /// All files.
    pub fn all(&self) -> SizeClass {
        let mut all = SizeClass::default();
        for class in &self.classes {
            all.files += class.files;
            all.bytes = all.bytes.saturating_add(class.bytes);
        }
        all
    }

    fn add(&mut self, size: u64) {
        let class = Self::BOUNDS.partition_point(|bound| *bound <= size);
        // There is one class more than bounds.
        if let Some(class) = self.classes.get_mut(class) {
            class.files += 1;
            class.bytes = class.bytes.saturating_add(size);
        }
    }
}

/// Rows of one query: while a query runs, the log of the database cannot begin anew, and a load that
/// runs beside it makes the log longer.
const ROWS: u32 = 1 << 16;

impl Reader {
    /// The sizes of all regular files that are known: every entry is read, at some millions a second.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn sizes(&self) -> Result<Sizes, StateError> {
        let mut sizes = Sizes::default();
        let mut after = EntryId::new(0);
        while let Some(last) = self.add_sizes(after, ROWS, &mut sizes)? {
            after = last;
        }
        Ok(sizes)
    }

    /// Adds the entries after `after`, and returns the last of them.
    fn add_sizes(
        &self,
        after: EntryId,
        at_most: u32,
        sizes: &mut Sizes,
    ) -> Result<Option<EntryId>, StateError> {
        self.query(|connection| {
            // 0x8000 is S_IFREG (inode(7)).
            let mut statement = connection.prepare_cached(
                "SELECT id, size, (mode & 0xf000) = 0x8000 AND (owner IS NULL OR owner = id)
                 FROM entry WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            let mut rows = statement.query(params![stored(after.get()), at_most])?;
            let mut last = None;
            while let Some(row) = rows.next()? {
                last = Some(row::id(row, 0)?);
                if row.get(2)? {
                    sizes.add(row::loaded(row.get(1)?));
                }
            }
            Ok(last)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_the_least_size_of_its_class() {
        let mut sizes = Sizes::default();
        for bound in Sizes::BOUNDS {
            sizes.add(bound - 1);
            sizes.add(bound);
        }
        let files: Vec<u64> = sizes.classes().map(|(_, class)| class.files).collect();
        assert_eq!(files, [1, 2, 2, 2, 2, 2, 2, 1]);
        let kib = sizes.classes().find(|(least, _)| *least == 1 << 10);
        let bytes = kib.map(|(_, class)| class.bytes);
        assert_eq!(bytes, Some((1 << 10) + (16 << 10) - 1));
    }

    #[test]
    fn sums_do_not_wrap() {
        let mut sizes = Sizes::default();
        (0..3).for_each(|_| sizes.add(u64::MAX / 2));
        assert_eq!((sizes.all().files, sizes.all().bytes), (3, u64::MAX));
    }
}
