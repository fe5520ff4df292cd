//! Reads a container: finds objects, decodes them, walks the tree.
//!
//! [`Reader`] is a container and the names of its objects. Its data is untrusted: sizes are limited
//! before anything is downloaded or unpacked, a segment must identify the entity and offset where it
//! is used, and a damaged object is a [`ReadError`] with the blob and the place in it. Broken rules
//! that do not make an object unreadable are stored with it ([`Entity::deviations`]).

mod blocks;
mod content;
mod directory;
mod entity;
mod error;
mod fetch;
mod glob;
pub(crate) mod identity;
pub mod index;
mod open;
mod path;
mod stamp;
mod task;
mod walk;

pub use content::{Chunk, FileContent};
pub use directory::{BadEntry, EntrySegments, NamedHandle, Segment};
pub use entity::{Entity, InlineContent};
pub use error::ReadError;
pub use fetch::Fetched;
pub use glob::{InvalidPattern, Pattern};
pub use identity::Mismatch;
pub use open::{OpenOptions, Reader};
pub use path::{Resolved, TreePath};
pub(crate) use task::{Ahead, blocking, joined};
pub(crate) use walk::unread_directories;
pub use walk::{Prune, Step, UnreadDirectories, Walk, WalkOptions, WalkProblem};
