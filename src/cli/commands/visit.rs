//! Visits the entries below the paths of a command line. Inodes are downloaded concurrently; entries
//! are visited in order.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use clfs_format::{FileType, Filehandle};
use futures::stream::{self, Stream, StreamExt};

use crate::cli::output::long_line::{self, LongStyle};
use crate::cli::output::printer::{EarlyExit, Printer};
use crate::cli::output::record::EntryRecord;
use crate::read::{
    Entity, ReadError, Reader, Resolved, Step, TreePath, Walk, WalkOptions, WalkProblem,
};

/// Inodes in flight; the reader makes no more requests at the same time.
const READ_AHEAD: usize = 64;

/// Maximum number of entries of a directory that are sorted, at about 200 bytes each. Entries of larger
/// directories are visited in the stored order.
pub(crate) const SORTED_UP_TO: usize = 100_000;

/// Parses the paths of a command line; without paths, returns the root.
pub(crate) fn tree_paths(arguments: &[OsString]) -> Vec<TreePath> {
    match arguments {
        [] => vec![TreePath::root()],
        paths => paths
            .iter()
            .map(|path| TreePath::parse(path.as_bytes()))
            .collect(),
    }
}

/// Reads the entry at `path`. If this fails, reports why and returns none.
pub(crate) async fn resolve(
    reader: &Arc<Reader>,
    path: &TreePath,
    printer: &mut Printer,
) -> Result<Option<Resolved>, EarlyExit> {
    match reader.resolve(path).await {
        Ok(resolved) => Ok(Some(resolved)),
        Err(error) => {
            printer.unreadable(path, error)?;
            Ok(None)
        }
    }
}

/// A visited entry.
pub(crate) struct Visited {
    pub(crate) path: TreePath,
    pub(crate) handle: Filehandle,
    /// The type in the filehandle.
    pub(crate) file_type: FileType,
    /// The inode; none if it was not requested, or could not be read, which was reported.
    pub(crate) inode: Option<Arc<Entity>>,
}

impl Visited {
    /// Returns an entry whose inode was read.
    pub(crate) fn resolved(resolved: &Resolved) -> Self {
        Self {
            path: resolved.path.clone(),
            handle: resolved.entity.handle,
            file_type: resolved.entity.file_type,
            inode: Some(Arc::clone(&resolved.entity)),
        }
    }

    /// Prints the entry with its name or path, its attributes if `long` is given, and a mark after the name.
    pub(crate) fn print(
        &self,
        long: Option<LongStyle>,
        full_path: bool,
        mark: Option<u8>,
        printer: &mut Printer,
    ) -> Result<(), EarlyExit> {
        let inode = self.inode.as_deref().filter(|_| long.is_some());
        if printer.json() {
            let record = EntryRecord::new(&self.path, self.file_type, self.handle, inode);
            return printer.record(&record);
        }
        let mut line = Vec::new();
        match (long, inode) {
            (None, _) => {}
            (Some(style), Some(entity)) => long_line::append(&mut line, entity, style),
            (Some(style), None) => long_line::append_unknown(&mut line, self.file_type, style),
        }
        match self.path.name() {
            Some(name) if !full_path => printer.append(&mut line, name),
            _ => printer.append_path(&mut line, &self.path),
        }
        line.extend(mark);
        if let Some(target) = inode.and_then(|entity| entity.target()) {
            line.extend_from_slice(b" -> ");
            printer.append(&mut line, target);
        }
        printer.line(&line)
    }
}

/// A step of a visit.
pub(crate) enum Event {
    /// A directory's entries follow.
    Enter(TreePath),
    /// An entry.
    Entry(Visited),
    /// Everything below the directory was visited.
    Leave(TreePath),
}

/// A step with the inode that was downloaded for it.
enum Ready {
    Event(Event),
    Unreadable(Visited, ReadError),
    Problem(WalkProblem),
    Nothing,
}

/// Walks everything below `start` and passes it to `each`, with the inodes of the entries for which
/// `needs_inode` holds. Damage is reported by the printer; an entry whose inode is damaged is passed on
/// without it.
pub(crate) async fn visit(
    reader: &Arc<Reader>,
    start: Resolved,
    options: WalkOptions,
    needs_inode: impl Fn(&TreePath, FileType) -> bool,
    printer: &mut Printer,
    mut each: impl FnMut(Event, &mut Printer) -> Result<(), EarlyExit>,
) -> Result<(), EarlyExit> {
    let walk = Walk::new(reader, start, options);
    let mut steps = std::pin::pin!(fetched(reader, walk, &needs_inode));
    // Directories that were reported as entries; they are not reported again when they are entered.
    let mut reported = HashSet::new();
    while let Some(ready) = steps.next().await {
        match ready? {
            Ready::Event(event) => each(event, printer)?,
            Ready::Unreadable(entry, error) => {
                if entry.file_type == FileType::Directory {
                    reported.insert(entry.path.to_bytes());
                }
                printer.unreadable(&entry.path, error)?;
                each(Event::Entry(entry), printer)?;
            }
            Ready::Problem(problem) => {
                // A directory that is not entered again is an entry nevertheless.
                let again = match &problem {
                    WalkProblem::Again { path, handle } => Some(Visited {
                        path: path.clone(),
                        handle: *handle,
                        file_type: FileType::Directory,
                        inode: None,
                    }),
                    _ => None,
                };
                match &problem {
                    WalkProblem::Unreadable { path, .. } if reported.remove(&path.to_bytes()) => {
                        printer.count_unread(&problem);
                    }
                    _ => printer.report_skipped(problem)?,
                }
                if let Some(entry) = again {
                    each(Event::Entry(entry), printer)?;
                }
            }
            Ready::Nothing => {}
        }
    }
    Ok(())
}

fn fetched(
    reader: &Arc<Reader>,
    walk: Walk,
    needs_inode: &impl Fn(&TreePath, FileType) -> bool,
) -> impl Stream<Item = Result<Ready, ReadError>> {
    let steps = stream::unfold(walk, |mut walk| async move {
        let step = walk.next().await.transpose()?;
        Some((step, walk))
    });
    steps
        .map(move |step| {
            let reader = Arc::clone(reader);
            let fetch = match &step {
                Ok(Step::Entry {
                    path, file_type, ..
                }) => needs_inode(path, *file_type),
                _ => false,
            };
            async move { ready(&reader, step?, fetch).await }
        })
        .buffered(READ_AHEAD)
}

async fn ready(reader: &Reader, step: Step, fetch: bool) -> Result<Ready, ReadError> {
    Ok(match step {
        Step::Enter { path, .. } => Ready::Event(Event::Enter(path)),
        Step::Entry {
            path,
            handle,
            file_type,
        } => {
            let mut entry = Visited {
                path,
                handle,
                file_type,
                inode: None,
            };
            if !fetch {
                return Ok(Ready::Event(Event::Entry(entry)));
            }
            match reader.entity(handle).await {
                Ok(entity) => {
                    entry.inode = Some(Arc::new(entity));
                    Ready::Event(Event::Entry(entry))
                }
                Err(error) if error.is_damage() => Ready::Unreadable(entry, error),
                Err(error) => return Err(error),
            }
        }
        Step::Leave { path } => Ready::Event(Event::Leave(path)),
        Step::Problem(problem) => Ready::Problem(problem),
        Step::Listed { .. } => Ready::Nothing,
    })
}
