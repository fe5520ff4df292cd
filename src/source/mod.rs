//! The source tree: directories by id, listings, attributes, content.
//!
//! Everything is opened relative to a directory descriptor, one component at a time and without
//! following symlinks: paths may be longer than `PATH_MAX`, and a directory that is swapped for
//! a symlink leads nowhere.

mod acl;
mod activity;
mod listxattrat;
mod names;
mod stat;
mod tree;
mod xattr;

pub use activity::{Asker, Asking, Stalled};
pub use names::{DirentBuffer, NameList, NameStore, Names, SpoolError};
pub use stat::Seen;
pub use tree::{Directory, Listable, OPEN_DIRECTORIES, OpenError, Places, SourceTree};
