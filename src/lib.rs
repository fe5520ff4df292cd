//! Loads POSIX trees into CLFS containers, and reads such containers.
//!
//! CLFS is the format in which Avere's caches (vFXT, FXT Edge Filer, Azure HPC Cache) keep a file system in an Azure Blob
//! container. The command `clfsload` is built on these modules; each has an example:
//!
//! | module | purpose |
//! |---|---|
//! | [`container`] | the storage of blobs: Azure, a folder, memory |
//! | [`load`] | loads a tree into a container, and resumes interrupted loads |
//! | [`events`] | what a load reports while it runs |
//! | [`read`] | finds and decodes objects, walks trees, reads files |
//! | [`extract`] | writes a container's tree into a folder |
//! | [`verify`] | checks a container against every rule of the format |
//!
//! The crate [`clfs_format`] encodes and decodes the objects; it performs no I/O.
//!
//! Containers, states and source trees are untrusted: damage is an error or a finding that names the place, never a panic.
//! No type shows a secret in its `Debug` or `Display` form.

#[doc(hidden)]
pub mod cli;
pub mod container;
#[doc(hidden)]
pub mod crash_point;
#[doc(hidden)]
pub mod entry;
pub mod events;
pub mod extract;
#[doc(hidden)]
pub mod identity;
pub mod load;
#[doc(hidden)]
pub mod loss;
#[doc(hidden)]
pub mod problem;
mod process_limits;
#[doc(hidden)]
pub mod progress;
pub mod read;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod source;
#[doc(hidden)]
pub mod state;
#[doc(hidden)]
pub mod stop;
#[doc(hidden)]
pub mod survey;
#[doc(hidden)]
pub mod text;
pub mod verify;
