//! Checks a container as fsck(8) checks a file system: every rule of docs/format.md.
//!
//! Memory is bounded whatever the container holds; what must be remembered of each object lies in a
//! database on disk. The order of work:
//!
//! 1. what names alone show, the bucket object, and all directories, side by side; the entries of
//!    directories are written down;
//! 2. directories against entries: paths are known from here on;
//! 3. everything else, side by side: inodes against entries, and the segments of files;
//! 4. segments against the inodes that use them, and what nothing uses;
//! 5. if wanted, the tree against the source that it was loaded from.
//!
//! Damage to an object is a finding and never ends the verification; a container that fails does.

mod blocks;
mod check;
mod container_objects;
mod deviation;
mod directory;
mod entity;
mod finding;
mod identity;
mod inode;
mod joins;
mod names;
mod outlet;
mod pass;
mod rule;
mod scratch;
mod source;
mod stages;
mod summary;

use std::path::PathBuf;
use std::sync::Arc;

use crate::read::{ReadError, Reader};

pub use check::Depth;
pub use finding::Finding;
pub use outlet::FindingSink;
pub use rule::{Rule, Severity};
pub use scratch::ScratchError;
pub use summary::{Compared, Summary};

use outlet::Outlet;
use pass::PassError;
use scratch::Scratch;
use stages::Stages;

/// What is checked.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// How much is read.
    pub depth: Depth,
    /// A tree that the container must hold.
    pub source: Option<PathBuf>,
}

/// Why a verification could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The container or the index failed.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The database of what is known so far failed.
    #[error("the scratch database in {}: {error}", folder.display())]
    Scratch {
        /// Where it lies.
        folder: PathBuf,
        /// Why.
        error: ScratchError,
    },
    /// There is no source to compare with.
    #[error("the source {}: {error}", path.display())]
    Source {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The reader does not know all names.
    #[error("the container was opened without a list of its names")]
    NotListed,
}

/// Checks the whole container; `sink` is given every finding.
///
/// # Errors
/// When the container, the index or the disk fails: then nothing is known about the container.
pub async fn verify(
    reader: &Arc<Reader>,
    options: &VerifyOptions,
    sink: FindingSink,
) -> Result<Summary, VerifyError> {
    let index = Arc::clone(reader.index().ok_or(VerifyError::NotListed)?);
    if let Some(path) = &options.source {
        source::is_folder(path).map_err(|error| VerifyError::Source {
            path: path.clone(),
            error,
        })?;
    }
    let folder = Scratch::place(&index);
    let mut outlet = Outlet::new(sink);
    outlet.summary.depth = options.depth;
    let done = async {
        let stages = Stages::new(reader, index, options).await?;
        stages.run(outlet).await
    };
    done.await.map_err(|error| match error {
        PassError::Read(error) => VerifyError::Read(error),
        PassError::Scratch(error) => VerifyError::Scratch { folder, error },
    })
}
