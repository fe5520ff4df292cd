//! Counts of what an extraction did.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// What was done so far, counted when it is done. In a dry run: what would be.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$meta])* pub(super) $name: AtomicU64,)*
        }

        /// What one run did. In a dry run: what it would do.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Summary {
            $($(#[$meta])* pub $name: u64,)*
        }

        impl Counters {
            /// The figures of this moment.
            pub fn summary(&self) -> Summary {
                Summary { $($name: self.$name.load(Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Regular files that were written.
    files,
    /// Bytes of files' content that came from the container, whether written or compared. In a dry
    /// run, unless content is compared, what would come.
    content_bytes,
    /// Directories that are finished: everything in them was tried, and they have their attributes.
    directories,
    /// Symlinks that were made.
    symlinks,
    /// Fifos, sockets and devices that were made.
    specials,
    /// Further names that were given to a file by linking.
    links,
    /// Further names of a file that could not be linked, so that the file was fetched again.
    copies,
    /// Entries that were whole before, further names among them.
    whole,
    /// Of them those whose permissions or times were put right.
    mended,
    /// Of those that were whole before, the ones whose content was compared with the container's: the record
    /// does not show that they were written from the blobs that are there now.
    compared,
    /// Entries that `--exclude` left out. What is below an excluded directory is not counted.
    excluded,
    /// Problems: entries, or parts of directories, that were left out and told of.
    problems,
    /// Directories that could not be read; nothing below them was extracted. Each is a problem too.
    directories_unread,
    /// Directories of which a part could not be read; its entries were not extracted.
    directories_unread_in_part,
    /// Damaged files of which the readable rest was written under another name; each of them is a
    /// problem too.
    kept_damaged,
    /// Inodes that break a rule of the format and were read nevertheless.
    deviating,
    /// Files that killed runs had left and that were removed.
    swept,
    /// Inodes that were fetched for entries other than directories.
    inodes_fetched,
}

pub(super) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Relaxed);
}
