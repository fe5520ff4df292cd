//! Reads a container: finds objects, decodes them, walks the tree.
//!
//! [`Reader`] is a container with the knowledge of where its objects are. Everything that comes out
//! of it was written by somebody else and is not believed: sizes are bounded before anything is
//! fetched or unpacked, a segment must say that it belongs where it is used, and a damaged object is
//! a [`ReadError`] that names the blob and the place in it. Rules that an object breaks without
//! becoming unreadable are kept with it ([`Entity::deviations`]) for those who care.

pub(crate) mod ahead;
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
mod resolve;
mod stamp;
mod unread;
mod walk;

pub use content::{Chunk, FileContent};
pub use directory::{BadEntry, EntrySegments, NamedHandle, Segment};
pub use entity::{Entity, First};
pub use error::ReadError;
pub use fetch::Fetched;
pub use glob::{InvalidPattern, Pattern};
pub use identity::Mismatch;
pub use open::{OpenOptions, Reader};
pub use path::TreePath;
pub use resolve::Resolved;
pub use unread::UnreadDirectories;
pub(crate) use unread::sentences as unread_directories;
pub use walk::{Prune, Step, Walk, WalkOptions, WalkProblem};
