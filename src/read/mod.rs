//! Reads a container: finds objects, decodes them, walks the tree.
//!
//! [`Reader`] is a container and the names of its objects. Its data is untrusted: sizes are limited
//! before anything is downloaded or unpacked, a segment must identify the entity and offset where it
//! is used, and a damaged object is a [`ReadError`] with the blob and the place in it. Broken rules
//! that do not make an object unreadable are stored with it ([`Entity::deviations`]).
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//!
//! use clfsload::read::{OpenOptions, Reader, Step, TreePath, Walk, WalkOptions};
//! # use clfsload::container::ContainerLocation;
//! # use clfsload::events::Silent;
//! # use clfsload::load::{LoadOptions, Mode, prepare};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let scratch = tempfile::tempdir()?;
//! # let location = ContainerLocation::Folder { path: scratch.path().join("container") };
//! # let options = LoadOptions::new(scratch.path().join("state"), "fixtures/tree".into(), location.clone());
//! # prepare(options, Mode::New, Arc::new(|_| ()))?.run(&Silent)?;
//! # let runtime = tokio::runtime::Runtime::new()?;
//! # runtime.block_on(async {
//! let reader = Reader::open(&location, &OpenOptions::default(), Arc::new(|_| ())).await?;
//! let reader = Arc::new(reader);
//! let start = reader.resolve(&TreePath::root()).await?;
//! let mut walk = Walk::new(&reader, start, WalkOptions::default());
//! let mut names = 0;
//! while let Some(step) = walk.next().await? {
//!     match step {
//!         Step::Entry { .. } => names += 1,
//!         Step::Problem(problem) => panic!("{problem:?}"),
//!         _ => {}
//!     }
//! }
//! assert!(names > 0);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })
//! # }
//! ```

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
