//! Further names of a file.

use std::sync::Arc;

use rustix::fs::Stat;
use rustix::io::Errno;

use super::entry::{Entry, NOT_WRITTEN, look};
use super::folder::FileId;
use super::making::give_name;
use super::problem::{Action, Failure};
use super::run::Run;
use super::scratch::FirstPath;

/// What became of the wish to link an entry.
pub(super) enum Linked {
    /// It was linked now.
    Made,
    /// It was the same file before.
    Before,
    /// It must be fetched like a file of its own.
    Impossible,
}

impl Entry {
    /// Makes it a further name of a file that is there.
    pub(super) async fn link(
        &self,
        run: &Arc<Run>,
        first: FirstPath,
        there: bool,
    ) -> Result<Linked, Failure> {
        if run.dry_run() && (first.id == NOT_WRITTEN || !self.parent.is_there()) {
            return Ok(Linked::Made);
        }
        let linked = self.inside(run, move |run, folder, name| {
            let Ok((from, original)) = run.tree.folder_of(&first.path) else {
                return Ok(Linked::Impossible);
            };
            let is_first = |stat: &Stat| FileId::of(stat) == first.id;
            let standing = from.look(&original).ok().flatten();
            if !standing.is_some_and(|stat| is_first(&stat)) {
                return Ok(Linked::Impossible);
            }
            if look(folder, name)?.is_some_and(|stat| is_first(&stat)) {
                return Ok(Linked::Before);
            }
            if run.dry_run() {
                return Ok(Linked::Made);
            }
            let made = run.tree.temporaries().create(folder, |temporary| {
                folder.make_link(temporary, &from, &original)
            });
            let temporary = match made {
                Ok((temporary, ())) => temporary,
                // The file system has its own limit of links, or none at all.
                Err(
                    Errno::MLINK
                    | Errno::XDEV
                    | Errno::PERM
                    | Errno::OPNOTSUPP
                    | Errno::ACCESS
                    | Errno::NOENT,
                ) => return Ok(Linked::Impossible),
                Err(errno) => return Err(Action::Link.failed(errno).into()),
            };
            let placing = |errno| Action::Place.failed(errno);
            // Somebody may have put something else there meanwhile.
            let linked = look(folder, temporary.name().map_err(placing)?)?;
            if !linked.is_some_and(|stat| is_first(&stat)) {
                return Ok(Linked::Impossible);
            }
            give_name(folder, name, there, temporary)?;
            Ok(Linked::Made)
        });
        Ok(linked.await?.unwrap_or(Linked::Impossible))
    }
}
