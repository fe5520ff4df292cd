//! The phases of a verification, in order.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use clfs_format::{FileType, Filehandle, Object, ObjectId, ObjectType};

use super::VerifyOptions;
use super::blocks::decode;
use super::checker::{Checker, Counters, Depth, for_each_item};
use super::compare::{Compare, Comparison, Pairs};
use super::deviation::rule_of;
use super::entity::{Entries, NamedEntity};
use super::finding::{NewFinding, Reporter, unreadable_finding};
use super::inode::ContainerIds;
use super::names::is_cache_object;
use super::rule::{Rule, Severity};
use super::scratch::{EntryReader, Recorder, Scratch, ScratchError, UnusedBlocks};
use super::summary::Summary;
use crate::read::index::{Index, Listed, ObjectKey};
use crate::read::{ReadError, Reader, blocking};

/// Objects read from the index at a time.
const PAGE: usize = 256;

/// Why a phase ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum PhaseError {
    /// The container or the index failed.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The temporary database failed.
    #[error("{0}")]
    Scratch(#[from] ScratchError),
}

/// The database and the reporter, which each phase passes to the next.
type State = (Scratch, Reporter);

/// What a phase does with the findings of its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Findings {
    /// Report them when they arrive.
    Report,
    /// Store them until paths are known.
    Store,
}

/// What all phases need.
pub(super) struct Verification {
    reader: Arc<Reader>,
    index: Arc<Index>,
    depth: Depth,
    source: Option<PathBuf>,
    ids: Option<ContainerIds>,
    counters: Arc<Counters>,
    has_root: bool,
}

impl Verification {
    pub(super) async fn new(
        reader: &Arc<Reader>,
        index: Arc<Index>,
        options: &VerifyOptions,
    ) -> Result<Self, PhaseError> {
        let ids = ContainerIds::of_container(reader, &index).await?;
        let root = index.lookup(ObjectId::Entity(Filehandle::ROOT)).await?;
        Ok(Self {
            reader: Arc::clone(reader),
            index,
            depth: options.depth,
            source: options.source.clone(),
            ids,
            counters: Arc::new(Counters::default()),
            has_root: root.is_some_and(|root| root.name.object_type() == ObjectType::Directory),
        })
    }

    pub(super) async fn run(&self, reporter: Reporter) -> Result<Summary, PhaseError> {
        let index = Arc::clone(&self.index);
        let scratch = blocking(move || Scratch::create(&index)).await??;
        let phase = |recorder| check_directories(self.checker(recorder));
        let state = recorded((scratch, reporter), Findings::Store, phase).await?;
        let (scratch, reporter) = self.crosscheck_directories(state).await?;

        let (parents, entries) = (scratch.entry_reader()?, self.entries(&scratch)?);
        let phase = |recorder| check_entities(self.checker(recorder), parents, entries);
        let state = recorded((scratch, reporter), Findings::Report, phase).await?;
        let (scratch, reporter) = self.crosscheck_blocks(state).await?;

        let (unused, are_orphans) = (scratch.unused_blocks()?, self.block_uses_known(entries));
        let phase = |recorder| check_unused_blocks(self.checker(recorder), unused, are_orphans);
        let mut state = recorded((scratch, reporter), Findings::Report, phase).await?;
        if let Some(source) = &self.source {
            state = self.compare(source.clone(), state).await?;
        }

        let (scratch, mut reporter) = state;
        let index = Arc::clone(&self.index);
        let (objects, blob_bytes) = blocking(move || {
            let objects = index.count();
            let objects = objects.map_err(|error| index.failed(error))?;
            Ok::<_, PhaseError>((objects, scratch.blob_bytes()?))
        })
        .await??;
        let summary = &mut reporter.summary;
        summary.objects = objects;
        summary.blob_bytes = blob_bytes;
        summary.file_bytes = Counters::get(&self.counters.file_bytes);
        summary.segments_unread = Counters::get(&self.counters.segments_unread);
        Ok(reporter.summary)
    }

    fn checker(&self, recorder: Recorder) -> Arc<Checker> {
        Arc::new(Checker {
            reader: Arc::clone(&self.reader),
            index: Arc::clone(&self.index),
            depth: self.depth,
            ids: self.ids,
            recorder,
            counters: Arc::clone(&self.counters),
        })
    }

    /// Returns which entries are known, once all directories were read.
    fn entries(&self, scratch: &Scratch) -> Result<Entries, ScratchError> {
        let partial = Counters::get(&self.counters.partial_directories);
        Ok(match partial == 0 && scratch.is_root_known()? {
            true => Entries::AllKnown,
            false => Entries::SomeUnknown,
        })
    }

    /// Returns whether all uses of blocks are known, once all inodes were read. If not all entries
    /// are known, there may be entities that are not known either.
    fn block_uses_known(&self, entries: Entries) -> bool {
        entries == Entries::AllKnown && Counters::get(&self.counters.partial_block_maps) == 0
    }

    /// Compares directories with the entries that name them. From here on, paths are known.
    async fn crosscheck_directories(&self, state: State) -> Result<State, PhaseError> {
        let (index, counters) = (Arc::clone(&self.index), Arc::clone(&self.counters));
        let (has_root, (scratch, mut reporter)) = (self.has_root, state);
        let entries = self.entries(&scratch)?;
        in_database(move || {
            scratch.index_entries_by_child()?;
            let report = &mut |found| reporter.report(&scratch, found);
            if !has_root {
                report(unfinished())?;
            }
            scratch.report_stored(&mut *report)?;
            let unnamed = scratch.check_directories(&index, entries, report)?;
            Counters::add(&counters.possible_orphans, unnamed);
            scratch.check_sequences(&index, report)?;
            scratch.check_duplicate_names(&index, report)?;
            scratch.check_dangling_entries(&index, report)?;
            scratch.check_entries_of_cache_objects(&index, report)?;
            Ok((scratch, reporter))
        })
        .await
    }

    /// Compares blocks with the entities that use them.
    async fn crosscheck_blocks(&self, state: State) -> Result<State, PhaseError> {
        let (index, counters) = (Arc::clone(&self.index), Arc::clone(&self.counters));
        let (scratch, mut reporter) = state;
        let entries = self.entries(&scratch)?;
        let are_orphans = self.block_uses_known(entries);
        in_database(move || {
            scratch.index_blocks()?;
            let report = &mut |found| reporter.report(&scratch, found);
            scratch.check_blocks(&index, report)?;
            let unused = scratch.collect_unused_blocks()?;
            let unused = if are_orphans { 0 } else { unused };
            let possible = unused + Counters::get(&counters.possible_orphans);
            if possible > 0 {
                report(possible_orphans(possible))?;
            }
            reporter.summary.possible_orphans = possible;
            Ok((scratch, reporter))
        })
        .await
    }

    /// Compares the tree with its source.
    async fn compare(&self, source: PathBuf, state: State) -> Result<State, PhaseError> {
        let (scratch, reporter) = state;
        let ready = blocking(move || {
            scratch.index_entries_by_name()?;
            let pairs = Pairs::new(&source, scratch.folder(), scratch.entry_reader()?)?;
            Ok::<_, ScratchError>((scratch, pairs))
        });
        let (scratch, pairs) = ready.await??;
        let comparison = Arc::new(Comparison::default());
        let phase = |recorder| {
            let compare = Compare::new(&self.reader, self.depth, recorder, &comparison);
            compare.run(pairs)
        };
        let (scratch, mut reporter) =
            recorded((scratch, reporter), Findings::Report, phase).await?;
        reporter.summary.compared = Some(comparison.compared());
        in_database(move || {
            scratch.check_source_links(&mut |found| reporter.report(&scratch, found))?;
            Ok((scratch, reporter))
        })
        .await
    }
}

async fn in_database(
    work: impl FnOnce() -> Result<State, ScratchError> + Send + 'static,
) -> Result<State, PhaseError> {
    Ok(blocking(work).await??)
}

/// Runs a phase while a thread writes the records of its tasks.
///
/// # Errors
/// The database's error takes precedence: if it fails, the phase only reports that it was stopped.
async fn recorded<F>(
    (scratch, mut reporter): State,
    findings: Findings,
    phase: impl FnOnce(Recorder) -> F,
) -> Result<State, PhaseError>
where
    F: Future<Output = Result<(), PhaseError>>,
{
    let (recorder, batches) = Recorder::new();
    let writer = blocking(move || {
        let mut report = |scratch: &Scratch, found| reporter.report(scratch, found);
        match findings {
            Findings::Report => scratch.record(batches, Some(&mut report))?,
            Findings::Store => scratch.record(batches, None)?,
        }
        Ok::<_, ScratchError>((scratch, reporter))
    });
    // The writer ends when the phase has dropped its recorders.
    let (written, done) = tokio::join!(writer, phase(recorder));
    let state = written??;
    done?;
    Ok(state)
}

/// Runs the first phase: names, the bucket object, and all directories.
async fn check_directories(checker: Arc<Checker>) -> Result<(), PhaseError> {
    let names = Arc::clone(&checker);
    blocking(move || names.check_names()).await??;
    Arc::clone(&checker).check_bucket().await?;
    let mut pages = EntityPages::new(&checker);
    let next_page = move || Ok(pages.next(|file_type| file_type == FileType::Directory)?);
    for_each_item(next_page, |(listed, handle, _)| {
        Arc::clone(&checker).check_directory(listed, handle)
    })
    .await
}

/// The blob of an inode, with the filehandle and the type in its name.
type ListedEntity = (Listed, Filehandle, FileType);

/// Reads the inodes in the index, page by page. Blocks.
struct EntityPages {
    checker: Arc<Checker>,
    after: Option<ObjectKey>,
}

impl EntityPages {
    fn new(checker: &Arc<Checker>) -> Self {
        Self {
            checker: Arc::clone(checker),
            after: None,
        }
    }

    /// Returns the inodes of the next page whose type is wanted; none at the end.
    fn next(
        &mut self,
        is_wanted: impl Fn(FileType) -> bool,
    ) -> Result<Option<Vec<ListedEntity>>, ReadError> {
        let page = self.checker.index.after(self.after.as_ref(), PAGE);
        let page = page.map_err(|error| self.checker.index_error(error))?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        self.after = Some(ObjectKey::new(&last.name.id));
        let wanted = page.into_iter().filter_map(|listed| {
            let (handle, file_type) = entity(&listed)?;
            is_wanted(file_type).then_some((listed, handle, file_type))
        });
        Ok(Some(wanted.collect()))
    }
}

/// Returns the filehandle and type of an inode; none for other objects.
fn entity(listed: &Listed) -> Option<(Filehandle, FileType)> {
    match listed.name.id {
        ObjectId::Entity(handle) if !is_cache_object(&listed.name) => {
            Some((handle, handle.file_type()?))
        }
        _ => None,
    }
}

/// Runs the second phase: all entities that are not directories.
async fn check_entities(
    checker: Arc<Checker>,
    parents: EntryReader,
    entries: Entries,
) -> Result<(), PhaseError> {
    let mut pages = EntityPages::new(&checker);
    let next_page = move || {
        let Some(page) = pages.next(|file_type| file_type != FileType::Directory)? else {
            return Ok(None);
        };
        let named = page.into_iter().map(|(listed, handle, file_type)| {
            Ok(NamedEntity {
                parents: parents.parents(handle)?,
                listed,
                handle,
                file_type,
            })
        });
        Ok(Some(named.collect::<Result<_, ScratchError>>()?))
    };
    for_each_item(next_page, |named| {
        Arc::clone(&checker).check_entity(named, entries)
    })
    .await
}

/// Runs the last phase: blocks that no entity uses, which may be damaged as well.
async fn check_unused_blocks(
    checker: Arc<Checker>,
    unused: UnusedBlocks,
    are_orphans: bool,
) -> Result<(), PhaseError> {
    let mut after: Option<ObjectKey> = None;
    let next_page = move || {
        let page = unused.after(after.as_ref(), PAGE)?;
        after = page.last().map(ObjectKey::new);
        Ok((!page.is_empty()).then_some(page))
    };
    for_each_item(next_page, |id| {
        Arc::clone(&checker).check_unused_block(id, are_orphans)
    })
    .await
}

impl Checker {
    async fn check_unused_block(
        self: Arc<Self>,
        id: ObjectId,
        is_orphan: bool,
    ) -> Result<(), ReadError> {
        let Some(listed) = self.find(&id).await? else {
            return Ok(());
        };
        let name = &listed.name;
        if is_cache_object(name) {
            return Ok(());
        }
        let mut findings = Vec::new();
        if is_orphan {
            let text = "no file or directory uses it";
            findings.push(NewFinding::blob(Rule::Orphan, name, text));
        }
        if name.object_type() == ObjectType::Segment && self.depth == Depth::Quick {
            findings.extend(self.archived(&listed, None));
        } else {
            match self.fetch(&listed).await? {
                Err(error) => findings.push(unreadable_finding(&error, name, None)),
                Ok(fetched) => {
                    let (object, more) = decode(&fetched, name.object_type(), None);
                    findings.extend(more);
                    if let Some(Object::DirectorySegment(segment)) = object
                        && let Some(bad) = segment.entries.iter_raw().find_map(Result::err)
                    {
                        let (rule, text) = (rule_of(&bad.error), bad.error.to_string());
                        findings.push(NewFinding::blob(rule, name, text));
                    }
                }
            }
        }
        let records = findings.into_iter().map(Into::into).collect();
        self.recorder.send(records).await
    }
}

fn unfinished() -> NewFinding {
    let text = "there is no root directory: the load into this container did not finish, or it is \
                not a CLFS container. Resume the load with the same command without --new. If the load \
                finished, the blob of the root was lost";
    NewFinding::container(Rule::Unfinished, text)
}

/// Returns the note about objects that nothing refers to, if this does not make them orphans.
fn possible_orphans(count: u64) -> NewFinding {
    let text = format!(
        "{}: no directory entry or inode that could be read refers to them. They may belong to what \
         could not be read, so they are not listed as orphans",
        match count {
            1 => "1 possible orphan".to_owned(),
            count => format!("{count} possible orphans"),
        }
    );
    NewFinding::container(Rule::Orphan, text).with_severity(Severity::Note)
}
