//! Compares a container's tree with the folder that it was loaded from.
//!
//! Both sides are read level by level, each directory by sorted names: the source as the loader lists
//! it, the container by the recorded entries. Directories that wait are stored on disk, so that memory
//! depends neither on the width of the tree nor on its depth.

mod pairs;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clfs_format::{FileType, Timestamp};
use tokio::sync::Semaphore;

use super::checker::{Depth, for_each_item};
use super::finding::NewFinding;
use super::rule::Rule;
use super::run::PhaseError;
use super::scratch::{Record, Recorder};
use super::summary::Compared;
use crate::loss::Loss;
use crate::problem::Problem;
use crate::read::{Chunk, Entity, ReadError, Reader, blocking};
use crate::source::{EntryStat, OpenError};
use crate::text::Escaped;
use crate::text::human::type_names;

use pairs::Pair;
pub(super) use pairs::Pairs;

/// Files with more than one segment that are compared concurrently: each holds a few segments of 8 MiB
/// in memory.
const CONCURRENT_LARGE_FILES: usize = 4;
/// Difference between two times that is reported. The original loader stores times as floating-point
/// numbers, whose error is smaller (format.md §7).
const TOLERANCE_NANOSECONDS: i128 = 1000;
/// The permissions in a `st_mode`.
const PERMISSIONS: u16 = 0o7777;

/// What was compared so far.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Comparison {
    pub(super) fn compared(&self) -> Compared {
        Compared {
            entries: self.entries.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

/// Checks that the source is a folder.
pub(super) fn check_folder(path: &Path) -> std::io::Result<()> {
    match std::fs::metadata(path)?.is_dir() {
        true => Ok(()),
        false => Err(rustix::io::Errno::NOTDIR.into()),
    }
}

/// Compares pairs of entries.
#[derive(Debug)]
pub(super) struct Compare {
    reader: Arc<Reader>,
    depth: Depth,
    recorder: Recorder,
    large_files: Semaphore,
    comparison: Arc<Comparison>,
}

impl Compare {
    pub(super) fn new(
        reader: &Arc<Reader>,
        depth: Depth,
        recorder: Recorder,
        comparison: &Arc<Comparison>,
    ) -> Self {
        Self {
            reader: Arc::clone(reader),
            depth,
            recorder,
            large_files: Semaphore::new(CONCURRENT_LARGE_FILES),
            comparison: Arc::clone(comparison),
        }
    }

    /// Compares all pairs.
    ///
    /// # Errors
    /// If the container, the database or this machine fails.
    pub(super) async fn run(self, mut pairs: Pairs) -> Result<(), PhaseError> {
        let recorder = self.recorder.clone();
        let next_page = move || {
            let Some(batch) = pairs.next_batch()? else {
                return Ok(None);
            };
            let findings = batch.findings.into_iter().map(Record::from);
            recorder.blocking_send(findings.collect())?;
            Ok(Some(batch.pairs))
        };
        let compare = Arc::new(self);
        for_each_item(next_page, |pair| Arc::clone(&compare).pair(pair)).await
    }

    /// Compares an entry that both sides have.
    async fn pair(self: Arc<Self>, pair: Pair) -> Result<(), ReadError> {
        let entity = match self.reader.entity(pair.handle).await {
            Err(error) if !error.is_damage() => return Err(error),
            entity => entity,
        };
        let compare = Arc::clone(&self);
        // All calls on the source in one switch of threads.
        let (pair, records, large) = blocking(move || {
            let mut records = Vec::new();
            let large = compare.examine(&pair, entity, &mut records);
            let large = large.unwrap_or_else(|found| {
                records.push(found.into());
                None
            });
            (pair, records, large)
        })
        .await?;
        self.recorder.send(records).await?;
        match large {
            Some(entity) => self.content(Arc::new(pair), &Arc::new(entity)).await,
            None => Ok(()),
        }
    }

    /// Compares everything except the content of a file with several segments, which is returned if its
    /// content is to be compared. Blocks.
    ///
    /// # Errors
    /// The finding that ends the comparison of the entry.
    fn examine(
        &self,
        pair: &Pair,
        entity: Result<Entity, ReadError>,
        records: &mut Vec<Record>,
    ) -> Result<Option<Entity>, NewFinding> {
        let seen = pair.stat().map_err(|error| match error {
            OpenError::Problem(problem) => pair.unread(&problem),
            OpenError::State(error) => pair.unread(&error),
        })?;
        let entity = entity.map_err(|error| pair.unread(&error))?;
        self.comparison.entries.fetch_add(1, Ordering::Relaxed);
        compare_attributes(&seen, &entity, |rule, text| {
            records.push(pair.finding(rule, text).into());
        });
        records.extend(link(pair, &seen, &entity));
        if seen.attributes.file_type != entity.file_type {
            return Ok(None);
        }
        let size = entity.attributes.size;
        match entity.file_type {
            FileType::Symlink => compare_targets(pair, &entity)?,
            // If the sizes differ, this has been reported.
            FileType::Regular if self.depth == Depth::Full && seen.attributes.size == size => {
                if !entity.is_alone() {
                    return Ok(Some(entity));
                }
                let file = pair.open_file()?;
                if size > 0 {
                    let chunk = entity.first_chunk().map_err(|error| pair.unread(&error))?;
                    self.chunk(pair, &file, &chunk)?;
                }
            }
            _ => {}
        }
        Ok(None)
    }

    /// Compares a chunk of a file. Blocks.
    fn chunk(&self, pair: &Pair, file: &OwnedFd, chunk: &Chunk) -> Result<(), NewFinding> {
        let difference = chunk.first_difference(file);
        if let Some(at) = difference.map_err(|errno| pair.unread(&Problem::from_errno(errno)))? {
            let text = format!("the content differs from byte {at} on");
            return Err(pair.finding(Rule::SourceContent, text));
        }
        let length = chunk.bytes.len() as u64;
        self.comparison.bytes.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    /// Compares the content of a file with several segments.
    async fn content(
        self: &Arc<Self>,
        pair: Arc<Pair>,
        entity: &Arc<Entity>,
    ) -> Result<(), ReadError> {
        let permit = self.large_files.acquire().await;
        let _permit = permit.map_err(|_| ReadError::Stopped)?;
        let opened = {
            let pair = Arc::clone(&pair);
            blocking(move || pair.open_file()).await?
        };
        let file = match opened {
            Ok(descriptor) => Arc::new(descriptor),
            Err(found) => return self.send(found).await,
        };
        let mut content = self.reader.content(entity, 0..u64::MAX);
        loop {
            let chunk = match content.next().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(()),
                Err(error) if error.is_damage() => return self.send(pair.unread(&error)).await,
                Err(error) => return Err(error),
            };
            let (compare, pair, file) = (Arc::clone(self), Arc::clone(&pair), Arc::clone(&file));
            let compared = blocking(move || compare.chunk(&pair, &file, &chunk)).await?;
            if let Err(found) = compared {
                return self.send(found).await;
            }
        }
    }

    async fn send(&self, found: NewFinding) -> Result<(), ReadError> {
        self.recorder.send(vec![found.into()]).await
    }
}

/// Compares the targets of a symlink. Blocks.
fn compare_targets(pair: &Pair, entity: &Entity) -> Result<(), NewFinding> {
    let source = pair.directory.read_link(&pair.name);
    let source = source.map_err(|errno| pair.unread(&Problem::from_errno(errno)))?;
    let target = entity.target();
    if target.is_some_and(|target| source == **target) {
        return Ok(());
    }
    let text = format!(
        "the target is \"{}\" in the source, \"{}\" in the container",
        Escaped(&source),
        Escaped(target.map_or(&[][..], |target| target))
    );
    Err(pair.finding(Rule::SourceTarget, text))
}

/// Reports how the attributes of an entity differ from those in the source.
fn compare_attributes(seen: &EntryStat, entity: &Entity, mut report: impl FnMut(Rule, String)) {
    let (source, stored) = (&seen.attributes, &entity.attributes);
    if source.file_type != entity.file_type {
        let text = format!(
            "a {} in the source, a {} in the container",
            type_names(source.file_type).one,
            type_names(entity.file_type).one
        );
        // Nothing else can be compared.
        return report(Rule::SourceType, text);
    }
    let modes = [source.mode, stored.mode].map(|mode| mode & PERMISSIONS);
    if modes[0] != modes[1] {
        // The container may have the mask: earlier loaders stored it.
        let without_mask =
            match source.losses.has(Loss::AccessAcl) || source.losses.has(Loss::Nfs4Acl) {
                true => " (without the mask of its ACL)",
                false => "",
            };
        let text = format!(
            "mode {:04o} in the source{without_mask}, {:04o} in the container",
            modes[0], modes[1]
        );
        report(Rule::SourceMode, text);
    }
    if (source.uid, source.gid) != (stored.uid, stored.gid) {
        let text = format!(
            "owner {}:{} in the source, {}:{} in the container",
            source.uid, source.gid, stored.uid, stored.gid
        );
        report(Rule::SourceOwner, text);
    }
    if source.file_type == FileType::Regular && source.size != stored.size {
        let text = format!(
            "{} bytes in the source, {} in the container",
            source.size, stored.size
        );
        report(Rule::SourceSize, text);
    }
    let later = nanoseconds(source.mtime) - nanoseconds(stored.mtime);
    if later.abs() >= TOLERANCE_NANOSECONDS {
        let hint = match later > 0 {
            true => ": it was changed after it was loaded",
            false => "",
        };
        let [source, stored] = [source.mtime, stored.mtime]
            .map(|time| format!("{}.{:09}", time.seconds, time.nanoseconds));
        let text = format!("mtime {source} in the source, {stored} in the container{hint}");
        report(Rule::SourceTime, text);
    }
    let is_device = matches!(source.file_type, FileType::Block | FileType::Character);
    let device = (source.device.major, source.device.minor);
    if is_device && device != (stored.major, stored.minor) {
        let text = format!(
            "device {}:{} in the source, {}:{} in the container",
            device.0, device.1, stored.major, stored.minor
        );
        report(Rule::SourceDevice, text);
    }
}

fn nanoseconds(time: Timestamp) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds)
}

/// Returns the record of an entry that shares its inode, or its object, with others.
fn link(pair: &Pair, seen: &EntryStat, entity: &Entity) -> Option<Record> {
    let is_directory = entity.file_type == FileType::Directory;
    let is_shared = seen.links > 1 || entity.attributes.nlink > 1;
    (is_shared && !is_directory).then(|| Record::Link {
        handle: pair.handle,
        device: seen.device,
        inode: seen.attributes.inode,
        path: pair.path.clone(),
    })
}
