//! Visits what the paths of a command line name, with the inodes of entries fetched side by side and
//! given in order.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use clfs_format::{FileType, Filehandle};
use futures::stream::{self, Stream, StreamExt};

use super::printer::{Halt, Printer};
use crate::read::{
    Entity, ReadError, Reader, Resolved, Step, TreePath, Walk, WalkOptions, WalkProblem,
};

/// Inodes on their way at a time; the reader makes no more requests than that.
const READ_AHEAD: usize = 64;

/// Entries of a directory that are sorted; those of a larger one come as they are stored. At about
/// 200 bytes each.
pub(super) const SORTED_UP_TO: usize = 100_000;

/// The paths of a command line; the root when there are none.
pub(super) fn tree_paths(words: &[OsString]) -> Vec<TreePath> {
    match words {
        [] => vec![TreePath::root()],
        words => words
            .iter()
            .map(|word| TreePath::parse(word.as_bytes()))
            .collect(),
    }
}

/// Reads the entry at `path`; when that is not possible, says why and gives none.
pub(super) async fn resolve(
    reader: &Arc<Reader>,
    path: &TreePath,
    printer: &mut Printer,
) -> Result<Option<Resolved>, Halt> {
    match reader.resolve(path).await {
        Ok(resolved) => Ok(Some(resolved)),
        Err(error) => {
            printer.unreadable(path, error)?;
            Ok(None)
        }
    }
}

/// An entry that was met.
pub(super) struct Met {
    pub(super) path: TreePath,
    pub(super) handle: Filehandle,
    /// The type in the filehandle.
    pub(super) file_type: FileType,
    /// The inode; none when it is not wanted, or could not be read and that was told.
    pub(super) inode: Option<Arc<Entity>>,
}

impl Met {
    /// An entry whose inode is at hand.
    pub(super) fn resolved(resolved: &Resolved) -> Self {
        Self {
            path: resolved.path.clone(),
            handle: resolved.entity.handle,
            file_type: resolved.entity.file_type,
            inode: Some(Arc::clone(&resolved.entity)),
        }
    }
}

/// What a visit comes by: the steps of a walk.
pub(super) enum Event {
    /// A directory's entries follow.
    Enter(TreePath),
    /// An entry.
    Met(Met),
    /// Everything below the directory was given.
    Leave(TreePath),
}

/// A step with what was fetched for it.
enum Ready {
    Event(Event),
    Unreadable(Met, ReadError),
    Problem(WalkProblem),
    Nothing,
}

/// Walks what lies below `start` and hands it to `each`, with the inodes of those entries for which
/// `wanted` holds. Damage is told to the printer; an entry whose inode is damaged is handed over
/// without it.
pub(super) async fn visit(
    reader: &Arc<Reader>,
    start: Resolved,
    options: WalkOptions,
    wanted: impl Fn(&TreePath, FileType) -> bool,
    printer: &mut Printer,
    mut each: impl FnMut(Event, &mut Printer) -> Result<(), Halt>,
) -> Result<(), Halt> {
    let walk = Walk::new(reader, start, options);
    let mut steps = std::pin::pin!(fetched(reader, walk, &wanted));
    while let Some(ready) = steps.next().await {
        match ready? {
            Ready::Event(event) => each(event, printer)?,
            Ready::Unreadable(met, error) => {
                printer.unreadable(&met.path, error)?;
                each(Event::Met(met), printer)?;
            }
            Ready::Problem(problem) => {
                // It is an entry for all that.
                let again = match &problem {
                    WalkProblem::Again { path, handle } => Some(Met {
                        path: path.clone(),
                        handle: *handle,
                        file_type: FileType::Directory,
                        inode: None,
                    }),
                    _ => None,
                };
                printer.left_out(problem)?;
                if let Some(met) = again {
                    each(Event::Met(met), printer)?;
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
    wanted: &impl Fn(&TreePath, FileType) -> bool,
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
                }) => wanted(path, *file_type),
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
            let mut met = Met {
                path,
                handle,
                file_type,
                inode: None,
            };
            if !fetch {
                return Ok(Ready::Event(Event::Met(met)));
            }
            match reader.entity(handle).await {
                Ok(entity) => {
                    met.inode = Some(Arc::new(entity));
                    Ready::Event(Event::Met(met))
                }
                Err(error) if error.is_damage() => Ready::Unreadable(met, error),
                Err(error) => return Err(error),
            }
        }
        Step::Leave { path } => Ready::Event(Event::Leave(path)),
        Step::Problem(problem) => Ready::Problem(problem),
        Step::Listed { .. } => Ready::Nothing,
    })
}
