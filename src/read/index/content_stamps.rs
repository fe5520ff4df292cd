//! Combined stamps of all segments and indirect blocks of an entity.

use rusqlite::{OptionalExtension, params};

use super::{Index, IndexError};
use crate::container::Stamp;

const LOW: u64 = 0xffff_ffff;

/// One row for each entity that has segments. It is created when it is first needed, which sorts all
/// segments: at most 3 s of CPU for a million of them (measured, each with an owner of its own).
const TABLE: &str = "
CREATE TEMP TABLE content (
    owner INTEGER PRIMARY KEY,
    objects INTEGER NOT NULL,
    stamped INTEGER NOT NULL,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL
) STRICT;
INSERT INTO content
    SELECT owner, count(*), count(stamp),
        coalesce(sum(stamp & 4294967295), 0), coalesce(sum((stamp >> 32) & 4294967295), 0)
    FROM object WHERE type IN (8, 9) GROUP BY owner ORDER BY owner;
";

/// The sum of the stamps of some objects, independent of their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ContentStamps {
    objects: u64,
    /// Number of objects with a stamp.
    stamped: u64,
    low: u64,
    high: u64,
}

impl ContentStamps {
    pub(crate) fn add(&mut self, stamp: Option<Stamp>) {
        self.objects += 1;
        if let Some(stamp) = stamp {
            self.stamped += 1;
            self.low = self.low.wrapping_add(stamp.to_bits() & LOW);
            self.high = self.high.wrapping_add(stamp.to_bits() >> 32);
        }
    }

    pub(crate) fn add_all(&mut self, others: &Self) {
        self.objects += others.objects;
        self.stamped += others.stamped;
        self.low = self.low.wrapping_add(others.low);
        self.high = self.high.wrapping_add(others.high);
    }

    /// Returns one stamp for these objects and their inode; none unless each of them has one.
    pub(crate) fn with_inode(self, inode: Option<Stamp>) -> Option<Stamp> {
        let inode = inode.filter(|_| self.objects == self.stamped)?;
        Some(Stamp::join(&[
            inode.to_bits(),
            self.objects,
            self.low,
            self.high,
        ]))
    }
}

impl Index {
    /// Returns the stamps of all segments and indirect blocks of the entity with this hash. Blocks.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) fn content_stamps(&self, owner: u64) -> Result<ContentStamps, IndexError> {
        let connection = self.lock();
        if self.content_stamps.get().is_none() {
            connection.execute_batch(TABLE)?;
            self.content_stamps.get_or_init(|| ());
        }
        let mut statement = connection.prepare_cached(
            "SELECT objects, stamped, low, high FROM temp.content WHERE owner = ?1",
        )?;
        let found = statement.query_row(params![owner as i64], |row| {
            Ok(ContentStamps {
                objects: row.get::<_, i64>(0)? as u64,
                stamped: row.get::<_, i64>(1)? as u64,
                low: row.get::<_, i64>(2)? as u64,
                high: row.get::<_, i64>(3)? as u64,
            })
        });
        Ok(found.optional()?.unwrap_or_default())
    }
}
