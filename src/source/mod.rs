//! The source tree: directories by id, listings, attributes, content.
//!
//! Everything is opened relative to a directory descriptor, one component at a time and without
//! following symlinks: paths may be longer than `PATH_MAX`, and a directory that is swapped for
//! a symlink leads nowhere.

mod acl;
mod activity;
mod expected;
mod identity;
mod lineage;
mod listxattrat;
mod mounts;
mod names;
mod stat;
mod tree;
mod unmounted;
mod xattr;

pub use activity::{CallKind, OpenCall, Stalled};
pub use identity::{Difference, Mismatch, SourceIdentity, may_be_recorded_anew};
pub use mounts::{MountsError, examine_root, mounts_below};
pub use names::{DirentBuffer, NameList, NameStore, Names, SpoolError, listed_among};
pub use stat::EntryStat;
pub use tree::{Directory, DirectoryLookup, Listable, OPEN_DIRECTORIES, OpenError, SourceTree};
pub use unmounted::{MissingMountSign, missing_mount_signs};
