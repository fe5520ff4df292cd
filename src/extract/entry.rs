//! Brings out one entry: a file, a symlink, a fifo, a socket or a device.

use std::sync::Arc;

use clfs_format::{FileType, Filehandle, ObjectId};
use rustix::fs::{FileType as NodeType, Stat};

use super::component::Component;
use super::content::is_same;
use super::folder::{FileId, Folder, is_type};
use super::linking::Linked;
use super::problem::{Action, Failure, LocalError, Reason};
use super::record::Known;
use super::run::{Run, blocking};
use super::scratch::FirstPath;
use super::summary::add;
use super::tree::Node;
use super::wanted::{Wanted, may_make, mtime_of};
use crate::read::{Entity, TreePath};

/// What a dry run remembers of a file that it would write.
pub(super) const NOT_WRITTEN: FileId = FileId {
    device: 0,
    inode: 0,
};

/// An entry to bring out.
pub(super) struct Entry {
    pub(super) parent: Arc<Node>,
    pub(super) name: Component,
    pub(super) path: TreePath,
    pub(super) handle: Filehandle,
    pub(super) file_type: FileType,
}

impl Entry {
    /// Brings it out, or tells why not.
    pub(super) async fn bring_out(&self, run: &Arc<Run>) {
        // What was queued before the run was to end is not begun any more.
        if run.halted() {
            return;
        }
        let done = match self.name.is_temporary() {
            false => {
                let _names = run.temporary_names.read().await;
                self.try_out(run).await
            }
            true => {
                let _names = run.temporary_names.write().await;
                self.try_out(run).await
            }
        };
        if let Err(failure) = done {
            run.failed(self.path.clone(), Some(self.file_type), failure);
        }
    }

    async fn try_out(&self, run: &Arc<Run>) -> Result<(), Failure> {
        if !may_make(self.file_type, run.superuser) {
            return Err(Reason::Device.into());
        }
        let _claim = run.claims.claim(self.handle).await;
        let first = run.scratch.first_path(self.handle)?;
        let is_copy = first.is_some();
        if let Some(first) = first {
            match self.link(run, first).await? {
                Linked::Made => {
                    add(&run.counters.links, 1);
                    return Ok(());
                }
                Linked::Before => {
                    add(&run.counters.whole, 1);
                    return Ok(());
                }
                Linked::Impossible => {}
            }
        }
        let id = ObjectId::Entity(self.handle);
        let listed = run.reading(run.reader.locate(&id)).await?;
        let version = listed.name.version;
        let before = run.record.find(self.handle, version)?;
        if let Some(known) = before
            && !run.checksum
            && known.wanted.file_type == self.file_type
            && let Some(stat) = self.standing(run, known).await?
        {
            return self.was_whole(run, &known.wanted, &stat);
        }
        let fetched = run.reading(run.reader.fetch(&listed)).await?;
        let entity = Arc::new(Entity::from_fetched(&fetched)?);
        drop(fetched);
        add(&run.counters.inodes_fetched, 1);
        if !entity.deviations.is_empty() {
            add(&run.counters.deviating, 1);
        }
        if entity.file_type != self.file_type {
            return Err(Reason::TypeMismatch.into());
        }
        let known = Known {
            wanted: Wanted::of(&entity),
            kept: before.and_then(|before| before.kept),
        };
        if before != Some(known) {
            run.record.put(self.handle, version, &known)?;
        }
        let whole = match run.checksum {
            true => self.same(run, &entity, known).await?,
            false => self.standing(run, known).await?,
        };
        if let Some(stat) = whole {
            return self.was_whole(run, &known.wanted, &stat);
        }
        let id = match run.dry_run() {
            true => {
                if self.file_type == FileType::Regular {
                    add(&run.counters.content_bytes, known.wanted.size);
                }
                NOT_WRITTEN
            }
            false => {
                let stat = self.make(run, &entity, known.wanted).await?;
                let kept = mtime_of(&stat).filter(|mtime| *mtime != known.wanted.mtime);
                if kept != known.kept {
                    let known = Known { kept, ..known };
                    run.record.put(self.handle, version, &known)?;
                }
                FileId::of(&stat)
            }
        };
        self.remember(run, &known.wanted, id)?;
        let counters = &run.counters;
        let counter = match self.file_type {
            FileType::Regular => &counters.files,
            FileType::Symlink => &counters.symlinks,
            _ => &counters.specials,
        };
        add(counter, 1);
        add(&counters.copies, is_copy.into());
        Ok(())
    }

    fn was_whole(&self, run: &Run, wanted: &Wanted, stat: &Stat) -> Result<(), Failure> {
        add(&run.counters.whole, 1);
        self.remember(run, wanted, FileId::of(stat))
    }

    /// Further names of it are to be links.
    fn remember(&self, run: &Run, wanted: &Wanted, id: FileId) -> Result<(), Failure> {
        if wanted.nlink > 1 {
            let path = self.path.to_bytes();
            run.scratch
                .set_first_path(self.handle, &FirstPath { path, id })?;
        }
        Ok(())
    }

    /// Works in its directory, on a thread that may wait. None in a dry run without such a directory.
    pub(super) async fn inside<T: Send + 'static>(
        &self,
        run: &Arc<Run>,
        work: impl FnOnce(&Run, &Arc<Folder>, &Component) -> Result<T, Failure> + Send + 'static,
    ) -> Result<Option<T>, Failure> {
        if !self.parent.is_there() {
            return Ok(None);
        }
        let (run, parent, name) = (Arc::clone(run), Arc::clone(&self.parent), self.name.clone());
        let done = blocking(move || work(&run, &run.tree.folder(&parent)?, &name));
        done.await?.map(Some)
    }

    /// What stands there, if it is what it should be; its permissions are put right.
    async fn standing(&self, run: &Arc<Run>, known: Known) -> Result<Option<Stat>, Failure> {
        let handle = self.handle;
        let stat = self.inside(run, move |run, folder, name| {
            let Some(stat) = look(folder, name)? else {
                return Ok(None);
            };
            let stands = known.wanted.stands(&stat, known.kept);
            if !stands || !may_stay(run, handle, &known.wanted, &stat, true)? {
                return Ok(None);
            }
            mend(run, folder, name, &known.wanted, &stat)?;
            Ok(Some(stat))
        });
        Ok(stat.await?.flatten())
    }

    /// What stands there, if its content is what it should be; its attributes are put right.
    async fn same(
        &self,
        run: &Arc<Run>,
        entity: &Arc<Entity>,
        known: Known,
    ) -> Result<Option<Stat>, Failure> {
        let wanted = known.wanted;
        let handle = self.handle;
        let compared = match self.file_type {
            FileType::Regular => {
                let found = self.inside(run, move |_, folder, name| {
                    let stat = look(folder, name)?.filter(|stat| {
                        is_type(stat, NodeType::RegularFile)
                            && u64::try_from(stat.st_size) == Ok(wanted.size)
                    });
                    Ok(stat.map(|_| Arc::clone(folder)))
                });
                let Some(folder) = found.await?.flatten() else {
                    return Ok(None);
                };
                let _budget = run.budget.take(wanted.size).await?;
                is_same(run, entity, folder, self.name.clone()).await?
            }
            FileType::Symlink => {
                let target = entity.target().cloned().unwrap_or_default();
                let same = self.inside(run, move |_, folder, name| {
                    let found = look(folder, name)?;
                    if !found.is_some_and(|stat| is_type(&stat, NodeType::Symlink)) {
                        return Ok(false);
                    }
                    let found = folder.target_of(name);
                    Ok(found.map_err(|errno| Action::Read.failed(errno))? == target)
                });
                same.await?.unwrap_or(false)
            }
            _ => return self.standing(run, known).await,
        };
        if !compared {
            return Ok(None);
        }
        let atime = entity.attributes.atime;
        let stat = self.inside(run, move |run, folder, name| {
            let Some(stat) = look(folder, name)? else {
                return Ok(None);
            };
            let stands = wanted.stands(&stat, known.kept);
            if !may_stay(run, handle, &wanted, &stat, stands)? {
                return Ok(None);
            }
            if stands {
                mend(run, folder, name, &wanted, &stat)?;
            } else if !run.dry_run() {
                wanted.set_at(folder, name, atime, run.tree.making().owners)?;
                add(&run.counters.mended, 1);
            }
            Ok(Some(stat))
        });
        Ok(stat.await?.flatten())
    }
}

/// What stands there; a directory is in the way of anything that is none.
pub(super) fn look(folder: &Folder, name: &Component) -> Result<Option<Stat>, Failure> {
    let stat = folder.look(name);
    match stat.map_err(|errno| Action::Look.failed(errno))? {
        Some(stat) if is_type(&stat, NodeType::Directory) => Err(Reason::InTheWay.into()),
        stat => Ok(stat),
    }
}

/// Whether what stands there may be what this entry becomes: it belongs to the right owner, and
/// whatever else is linked to it are further names of this entry. Otherwise it is made anew, which
/// separates it. `has_time`: its times need no change.
fn may_stay(
    run: &Run,
    handle: Filehandle,
    wanted: &Wanted,
    stat: &Stat,
    has_time: bool,
) -> Result<bool, Failure> {
    let owners = run.tree.making().owners;
    if !wanted.has_owner(stat, owners) {
        return Ok(false);
    }
    let links = stat.st_nlink;
    if links <= 1 {
        return Ok(true);
    }
    // Links that are not ours cannot be told from ours, so nothing is changed through one.
    let unchanged = has_time && !wanted.differs(stat, owners);
    Ok(unchanged
        && links <= u64::from(wanted.nlink)
        && run.scratch.take_shared(FileId::of(stat), handle)?)
}

fn mend(
    run: &Run,
    folder: &Folder,
    name: &Component,
    wanted: &Wanted,
    stat: &Stat,
) -> Result<(), LocalError> {
    let owners = run.tree.making().owners;
    if wanted.differs(stat, owners) {
        if !run.dry_run() {
            wanted.mend_at(folder, name, owners)?;
        }
        add(&run.counters.mended, 1);
    }
    Ok(())
}
