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

use check::{Check, Counters, blocking};
use finding::Found;
use identity::Identity;
use outlet::Outlet;
use pass::{directories, entities, orphans, recorded};
use scratch::Scratch;

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
    let folder = Scratch::place(&index);
    let scratch_failed = |error| VerifyError::Scratch {
        folder: folder.clone(),
        error,
    };
    let identity = Identity::of_container(reader, &index).await?;
    let mut outlet = Outlet::new(sink);
    outlet.summary.depth = options.depth;
    let scratch = {
        let index = Arc::clone(&index);
        blocking(move || Scratch::create(&index)).await?
    };
    let scratch = scratch.map_err(scratch_failed)?;
    let counters = Arc::new(Counters::default());
    let check = |records| {
        Arc::new(Check {
            reader: Arc::clone(reader),
            index: Arc::clone(&index),
            depth: options.depth,
            identity,
            records,
            counters: Arc::clone(&counters),
        })
    };

    let (scratch, mut outlet) = recorded(scratch, outlet, false, |records| {
        directories(check(records))
    })
    .await?
    .map_err(scratch_failed)?;

    let finished = Scratch::has_root(&index).map_err(scratch_failed)?;
    let joined = {
        let (index, counters) = (Arc::clone(&index), Arc::clone(&counters));
        blocking(move || {
            scratch.index_namings()?;
            if !finished {
                outlet.give(&scratch, unfinished())?;
            }
            scratch.give_kept(|found| outlet.give(&scratch, found))?;
            let give = &mut |found| outlet.give(&scratch, found);
            let unnamed = scratch.judge_directories(&index, finished, give)?;
            Counters::add(&counters.unnamed, unnamed);
            scratch.judge_sequences(&index, give)?;
            scratch.judge_duplicates(&index, give)?;
            scratch.judge_dangling_entries(&index, give)?;
            Ok((scratch, outlet))
        })
        .await?
    };
    let (scratch, outlet) = joined.map_err(scratch_failed)?;

    let namings = scratch.naming_reader().map_err(scratch_failed)?;
    let (scratch, mut outlet) = recorded(scratch, outlet, true, |records| {
        entities(check(records), namings, finished)
    })
    .await?
    .map_err(scratch_failed)?;

    let joined = {
        let (index, counters) = (Arc::clone(&index), Arc::clone(&counters));
        blocking(move || {
            scratch.index_blocks()?;
            scratch.judge_blocks(&index, &mut |found| outlet.give(&scratch, found))?;
            let unused = scratch.gather_orphans()?;
            if !finished {
                Counters::add(&counters.unnamed, unused);
                let unnamed = Counters::get(&counters.unnamed);
                if unnamed > 0 {
                    outlet.give(&scratch, without_root(unnamed))?;
                }
            }
            Ok((scratch, outlet))
        })
        .await?
    };
    let (scratch, outlet) = joined.map_err(scratch_failed)?;

    let unused = scratch.orphan_reader().map_err(scratch_failed)?;
    let (scratch, mut outlet) = recorded(scratch, outlet, true, |records| {
        orphans(check(records), unused, finished)
    })
    .await?
    .map_err(scratch_failed)?;

    let summary = &mut outlet.summary;
    summary.objects = index.count().map_err(|error| ReadError::Index {
        path: index.path().to_path_buf(),
        error,
    })?;
    summary.blob_bytes = scratch.blob_bytes().map_err(scratch_failed)?;
    summary.file_bytes = Counters::get(&counters.file_bytes);
    summary.segments_unread = Counters::get(&counters.segments_unread);
    Ok(outlet.summary)
}

fn unfinished() -> Found {
    let text = "there is no root directory: the load into this container was not finished, or it is \
                no CLFS container. Go on with the load (clfsload without --new); if the load is long \
                over, the root's blob was lost";
    Found::container(Rule::Unfinished, text)
}

fn without_root(unnamed: u64) -> Found {
    let text = format!(
        "{unnamed} objects are named or used by nothing, as is to be expected without a root; they are \
         not listed"
    );
    Found::container(Rule::Orphan, text)
}
