//! Checks a container by all rules of the format, as fsck(8) checks a file system.
//!
//! Memory is bounded for any container: what must be known of each object is stored in a scratch
//! database on disk. The phases:
//!
//! 1. names, the bucket object, and all directories; their entries are recorded;
//! 2. a crosscheck of directories with entries, from which paths are known;
//! 3. all other inodes with the entries that name them, and the segments of files;
//! 4. a crosscheck of blocks with the inodes that use them, and the unused blocks;
//! 5. optionally, a comparison of the tree with its source.
//!
//! Damage to an object is a finding and does not end the verification; a failing container does.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//!
//! use clfsload::read::{OpenOptions, Reader};
//! use clfsload::verify::{VerifyOptions, verify};
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
//! let sink = Box::new(|finding: &clfsload::verify::Finding| println!("{}", finding.text));
//! let summary = verify(&Arc::new(reader), &VerifyOptions::default(), sink).await?;
//! assert!(summary.is_clean());
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })
//! # }
//! ```

mod blocks;
mod checker;
mod compare;
mod container_objects;
mod crosscheck;
mod deviation;
mod directory;
mod entity;
mod finding;
mod inode;
mod names;
mod rule;
mod run;
mod scratch;
mod summary;

use std::path::PathBuf;
use std::sync::Arc;

use crate::read::{ReadError, Reader};

pub use checker::Depth;
pub use finding::{Finding, FindingSink};
pub use rule::{Rule, Severity};
pub use scratch::ScratchError;
pub use summary::{Compared, Summary};

use finding::Reporter;
use run::{PhaseError, Verification};
use scratch::Scratch;

/// Options of a verification.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// How much of the container is read.
    pub depth: Depth,
    /// The folder that the container was loaded from, to compare with.
    pub source: Option<PathBuf>,
}

/// Why a verification failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The container or the index failed.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The temporary database failed.
    #[error("the temporary database in {}: {error}", folder.display())]
    Scratch {
        /// The folder of the database.
        folder: PathBuf,
        /// The cause.
        error: ScratchError,
    },
    /// The source is missing or not a folder.
    #[error("the source {}: {error}", path.display())]
    Source {
        /// The folder.
        path: PathBuf,
        /// The cause.
        error: std::io::Error,
    },
    /// The reader was opened without a list of all names.
    #[error("the container was opened without a list of its names")]
    NotListed,
}

/// Checks a complete container; passes every finding to `sink`.
///
/// # Errors
/// If the container, the index or the disk fails. The container is then neither clean nor damaged.
pub async fn verify(
    reader: &Arc<Reader>,
    options: &VerifyOptions,
    sink: FindingSink,
) -> Result<Summary, VerifyError> {
    let index = Arc::clone(reader.index().ok_or(VerifyError::NotListed)?);
    // Checked first: the comparison comes after hours of work.
    if let Some(path) = &options.source {
        compare::check_folder(path).map_err(|error| VerifyError::Source {
            path: path.clone(),
            error,
        })?;
    }
    let folder = Scratch::parent_folder(&index);
    let mut reporter = Reporter::new(sink);
    reporter.summary.depth = options.depth;
    let summary = async {
        let verification = Verification::new(reader, index, options).await?;
        verification.run(reporter).await
    };
    summary.await.map_err(|error| match error {
        PhaseError::Read(error) => VerifyError::Read(error),
        PhaseError::Scratch(error) => VerifyError::Scratch { folder, error },
    })
}
