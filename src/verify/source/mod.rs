//! Compares a container's tree with the folder that it was loaded from.
//!
//! Both sides are walked level by level, each directory by sorted names: of the source as the loader
//! lists them, of the container as the check wrote its entries down. Which directories are still to
//! be compared lies on disk too, so that neither width nor depth costs memory.

mod attributes;
mod content;
mod links;
mod pairs;
mod places;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clfs_format::{FileType, Filehandle};
use tokio::sync::Semaphore;

use super::check::{Crew, Depth, blocking};
use super::finding::Found;
use super::pass::PassError;
use super::rule::Rule;
use super::scratch::{Record, Recorder};
use super::summary::Compared;
use crate::problem::Problem;
use crate::read::{Entity, ReadError, Reader};
use crate::source::Seen;

pub(super) use pairs::Pairs;

use pairs::Pair;

/// Files of more than one segment that are compared side by side: each holds a few segments of 8 MiB.
const LARGE_FILES: usize = 4;

/// What the comparison shares.
#[derive(Debug)]
pub(super) struct Comparison {
    reader: Arc<Reader>,
    depth: Depth,
    records: Recorder,
    large: Semaphore,
    figures: Arc<Figures>,
}

/// What was compared so far.
#[derive(Debug, Default)]
pub(super) struct Figures {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Figures {
    pub(super) fn compared(&self) -> Compared {
        Compared {
            entries: self.entries.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

/// Whether there is a folder to compare with: better known before hours of work than after.
pub(super) fn is_folder(path: &Path) -> std::io::Result<()> {
    match std::fs::metadata(path)?.is_dir() {
        true => Ok(()),
        false => Err(rustix::io::Errno::NOTDIR.into()),
    }
}

/// Compares all pairs.
///
/// # Errors
/// When the container, the database or this machine fails.
pub(super) async fn compare(comparison: Comparison, mut pairs: Pairs) -> Result<(), PassError> {
    let comparison = Arc::new(comparison);
    let mut crew = Crew::default();
    loop {
        let next;
        (pairs, next) = blocking(move || {
            let next = pairs.next_batch();
            (pairs, next)
        })
        .await?;
        let Some(batch) = next? else { break };
        let found = batch.found.into_iter().map(Record::from).collect();
        comparison.records.send(found).await?;
        for pair in batch.pairs {
            let comparison = Arc::clone(&comparison);
            crew.start(async move { comparison.pair(pair).await })
                .await?;
        }
    }
    crew.finish().await?;
    Ok(())
}

impl Comparison {
    pub(super) fn new(
        reader: &Arc<Reader>,
        depth: Depth,
        records: Recorder,
        figures: &Arc<Figures>,
    ) -> Self {
        Self {
            reader: Arc::clone(reader),
            depth,
            records,
            large: Semaphore::new(LARGE_FILES),
            figures: Arc::clone(figures),
        }
    }

    /// Compares an entry that both sides have.
    async fn pair(&self, pair: Pair) -> Result<(), ReadError> {
        let pair = Arc::new(pair);
        let seen = {
            let pair = Arc::clone(&pair);
            blocking(move || pair.look()).await?
        };
        let seen = match seen {
            Ok(seen) => seen,
            Err(errno) => return self.send(pair.unread(&Problem::from_errno(errno))).await,
        };
        let entity = match self.reader.entity(pair.handle).await {
            Ok(entity) => Arc::new(entity),
            Err(error) if error.is_damage() => return self.send(pair.unread(&error)).await,
            Err(error) => return Err(error),
        };
        self.figures.entries.fetch_add(1, Ordering::Relaxed);
        let mut records: Vec<Record> = attributes::differences(&pair.path, &seen, &entity)
            .into_iter()
            .map(Record::from)
            .collect();
        records.extend(link(&pair, &seen, &entity));
        self.records.send(records).await?;
        if seen.attributes.file_type != entity.file_type {
            return Ok(());
        }
        match entity.file_type {
            FileType::Symlink => self.target(&pair, &entity).await,
            FileType::Regular if self.depth == Depth::Full => {
                self.content(pair, &seen, &entity).await
            }
            _ => Ok(()),
        }
    }

    async fn send(&self, found: Found) -> Result<(), ReadError> {
        self.records.send(vec![found.into()]).await
    }

    async fn target(&self, pair: &Arc<Pair>, entity: &Entity) -> Result<(), ReadError> {
        let read = {
            let pair = Arc::clone(pair);
            blocking(move || pair.directory.read_link(&pair.name)).await?
        };
        let found = match (read, entity.target()) {
            (Ok(source), Some(target)) if source == **target => return Ok(()),
            (Ok(source), target) => {
                let ours = target.map_or(&[][..], |target| target);
                let text = format!(
                    "the link leads to \"{}\" in the source, to \"{}\" in the container",
                    crate::monitor::Escaped(&source),
                    crate::monitor::Escaped(ours)
                );
                pair.found(Rule::SourceTarget, text)
            }
            (Err(errno), _) => pair.unread(&Problem::from_errno(errno)),
        };
        self.send(found).await
    }
}

/// What is to be remembered of an entry that shares its inode, or its object, with others.
fn link(pair: &Pair, seen: &Seen, entity: &Entity) -> Option<Record> {
    let directory = entity.file_type == FileType::Directory;
    let shared = seen.links > 1 || entity.attributes.nlink > 1;
    (shared && !directory).then(|| Record::Link {
        handle: pair.handle,
        device: seen.device,
        inode: seen.attributes.inode,
        path: pair.path.clone(),
    })
}

/// The root's own pair has no name.
const ROOT_PATH: &[u8] = b"";

/// Whether it is the root's.
fn is_root(handle: Filehandle, path: &[u8]) -> bool {
    handle.is_root() && path == ROOT_PATH
}
