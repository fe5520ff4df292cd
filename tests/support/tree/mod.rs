//! Builders of source trees with edge cases, and `lstat` data of a tree.

mod build;
mod special;

pub use build::{full, hard_links, modes_and_owners, odd_names, sizes, sparse, times, wide};
pub use special::{DEEP_LEVELS, deep, every_type, is_superuser};

pub use clfsload_checker::source_tree::{SourceNode, UnixTime, walk_source};
