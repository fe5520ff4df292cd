//! The stages of a verification, one after the other.

use std::path::PathBuf;
use std::sync::Arc;

use clfs_format::{Filehandle, ObjectId, ObjectType};

use super::VerifyOptions;
use super::check::{Check, Counters, Depth, blocking};
use super::finding::Found;
use super::identity::Identity;
use super::outlet::Outlet;
use super::pass::{PassError, directories, entities, orphans, recorded};
use super::rule::Rule;
use super::scratch::{Recorder, Scratch, ScratchError};
use super::source::{Comparison, Figures, Pairs, compare};
use super::summary::Summary;
use crate::read::index::Index;
use crate::read::{ReadError, Reader};

/// The database and the sink, which go from stage to stage.
type Carried = (Scratch, Outlet);

/// What all stages need.
pub(super) struct Stages {
    reader: Arc<Reader>,
    index: Arc<Index>,
    depth: Depth,
    source: Option<PathBuf>,
    identity: Option<Identity>,
    counters: Arc<Counters>,
    /// Whether there is a root.
    finished: bool,
}

impl Stages {
    pub(super) async fn new(
        reader: &Arc<Reader>,
        index: Arc<Index>,
        options: &VerifyOptions,
    ) -> Result<Self, PassError> {
        let identity = Identity::of_container(reader, &index).await?;
        let root = index.find(&ObjectId::Entity(Filehandle::ROOT));
        let root = root.map_err(|error| failed(&index, error))?;
        let finished = root.is_some_and(|root| root.name.object_type() == ObjectType::Directory);
        Ok(Self {
            reader: Arc::clone(reader),
            index,
            depth: options.depth,
            source: options.source.clone(),
            identity,
            counters: Arc::new(Counters::default()),
            finished,
        })
    }

    pub(super) async fn run(&self, outlet: Outlet) -> Result<Summary, PassError> {
        let index = Arc::clone(&self.index);
        let scratch = blocking(move || Scratch::create(&index)).await??;
        let pass = |records| directories(self.check(records));
        let carried = recorded(scratch, outlet, false, pass).await?;
        let carried = self.join_directories(carried).await?;

        let (scratch, outlet) = carried;
        let namings = scratch.naming_reader()?;
        let rooted = scratch.knows_root()?;
        let pass = |records| entities(self.check(records), namings, rooted);
        let carried = recorded(scratch, outlet, true, pass).await?;
        let carried = self.join_blocks(carried).await?;

        let (scratch, outlet) = carried;
        let unused = scratch.orphan_reader()?;
        let pass = |records| orphans(self.check(records), unused, rooted);
        let mut carried = recorded(scratch, outlet, true, pass).await?;
        if let Some(source) = &self.source {
            carried = self.compare(source.clone(), carried).await?;
        }

        let (scratch, mut outlet) = carried;
        let summary = &mut outlet.summary;
        let objects = self.index.count();
        summary.objects = objects.map_err(|error| failed(&self.index, error))?;
        summary.blob_bytes = scratch.blob_bytes()?;
        summary.file_bytes = Counters::get(&self.counters.file_bytes);
        summary.segments_unread = Counters::get(&self.counters.segments_unread);
        Ok(outlet.summary)
    }

    fn check(&self, records: Recorder) -> Arc<Check> {
        Arc::new(Check {
            reader: Arc::clone(&self.reader),
            index: Arc::clone(&self.index),
            depth: self.depth,
            identity: self.identity,
            records,
            counters: Arc::clone(&self.counters),
        })
    }

    /// Directories against entries. From here on paths are known.
    async fn join_directories(&self, carried: Carried) -> Result<Carried, PassError> {
        let (index, counters) = (Arc::clone(&self.index), Arc::clone(&self.counters));
        let (finished, (scratch, mut outlet)) = (self.finished, carried);
        joined(move || {
            scratch.index_namings()?;
            let give = &mut |found| outlet.give(&scratch, found);
            if !finished {
                give(unfinished())?;
            }
            scratch.give_kept(&mut *give)?;
            let unnamed = scratch.judge_directories(&index, give)?;
            Counters::add(&counters.unnamed, unnamed);
            scratch.judge_sequences(&index, give)?;
            scratch.judge_duplicates(&index, give)?;
            scratch.judge_dangling_entries(&index, give)?;
            scratch.judge_entries_of_no_inode(&index, give)?;
            Ok((scratch, outlet))
        })
        .await
    }

    /// Blocks against the entities that use them.
    async fn join_blocks(&self, carried: Carried) -> Result<Carried, PassError> {
        let (index, counters) = (Arc::clone(&self.index), Arc::clone(&self.counters));
        let (scratch, mut outlet) = carried;
        joined(move || {
            scratch.index_blocks()?;
            let give = &mut |found| outlet.give(&scratch, found);
            scratch.judge_blocks(&index, give)?;
            let unused = scratch.gather_orphans()?;
            if !scratch.knows_root()? {
                let unnamed = unused + Counters::get(&counters.unnamed);
                if unnamed > 0 {
                    give(without_root(unnamed))?;
                }
            }
            Ok((scratch, outlet))
        })
        .await
    }

    /// The tree against its source.
    async fn compare(&self, source: PathBuf, carried: Carried) -> Result<Carried, PassError> {
        let (scratch, outlet) = carried;
        let ready = blocking(move || {
            scratch.index_entries()?;
            let pairs = Pairs::new(&source, scratch.folder(), scratch.naming_reader()?)?;
            Ok::<_, ScratchError>((scratch, pairs))
        });
        let (scratch, pairs) = ready.await??;
        let figures = Arc::new(Figures::default());
        let pass = |records| {
            let comparison = Comparison::new(&self.reader, self.depth, records, &figures);
            compare(comparison, pairs)
        };
        let (scratch, mut outlet) = recorded(scratch, outlet, true, pass).await?;
        outlet.summary.compared = Some(figures.compared());
        joined(move || {
            scratch.judge_links(&mut |found| outlet.give(&scratch, found))?;
            Ok((scratch, outlet))
        })
        .await
    }
}

async fn joined(
    work: impl FnOnce() -> Result<Carried, ScratchError> + Send + 'static,
) -> Result<Carried, PassError> {
    Ok(blocking(work).await??)
}

fn failed(index: &Index, error: crate::read::index::IndexError) -> ReadError {
    ReadError::Index {
        path: index.path().to_path_buf(),
        error,
    }
}

fn unfinished() -> Found {
    let text = "there is no root directory: the load into this container was not finished, or it is \
                no CLFS container. Go on with the load (clfsload without --new); if the load is long \
                over, the root's blob was lost";
    Found::container(Rule::Unfinished, text)
}

fn without_root(unnamed: u64) -> Found {
    let text = format!(
        "objects that nothing names or uses, as is to be expected without a root that can be \
         read: {unnamed}; they are not listed"
    );
    Found::container(Rule::Orphan, text)
}
