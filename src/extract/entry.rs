//! Brings out one entry: a file, a symlink, a fifo, a socket or a device.

use std::sync::Arc;

use clfs_format::{FileType, Filehandle, ObjectId};
use rustix::fs::{FileType as NodeType, Stat};
use rustix::process::geteuid;

use super::component::Component;
use super::content::{Rules, is_same};
use super::folder::{FileId, Folder, is_type};
use super::linking::Linked;
use super::making::Made;
use super::one_name::report;
use super::problem::{Action, Failure, LocalError, Reason};
use super::record::Known;
use super::run::{Run, blocking};
use super::scratch::FirstPath;
use super::summary::add;
use super::tree::{Node, Presence};
use super::wanted::{Missing, Wanted, may_make, mtime_of};
use crate::read::{Entity, TreePath};

/// What a dry run remembers of a file that it would write.
pub(super) const NOT_WRITTEN: FileId = FileId {
    device: 0,
    inode: 0,
};

/// What stands there as it should, but for what the destination refuses.
type Standing = (Stat, Missing);

/// An entry to bring out.
pub(super) struct Entry {
    pub(super) parent: Arc<Node>,
    pub(super) name: Component,
    pub(super) path: TreePath,
    pub(super) handle: Filehandle,
    pub(super) file_type: FileType,
    pub(super) presence: Presence,
}

impl Entry {
    /// Brings it out, or tells why not.
    pub(super) async fn bring_out(&self, run: &Arc<Run>) {
        // What was queued before the run was to end is not begun any more.
        if run.halted() {
            return;
        }
        let done = self.try_out(run).await;
        if let Err(failure) = done {
            report(run, self.path.clone(), Some(self.file_type), failure).await;
        }
    }

    async fn try_out(&self, run: &Arc<Run>) -> Result<(), Failure> {
        if !may_make(self.file_type, run.superuser) {
            return Err(Reason::Device.into());
        }
        let _claim = run.claims.claim(self.handle).await;
        let there = match self.presence {
            Presence::There => self.parent.is_there(),
            presence => {
                let there = self.inside(run, move |run, folder, name| {
                    run.tree.is_there(folder, name, presence)
                });
                there.await?.unwrap_or(false)
            }
        };
        let first = run.scratch.first_path(self.handle)?;
        let is_copy = first.is_some();
        if let Some(first) = first {
            match self.link(run, first, there).await? {
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
        let alone = before.is_some_and(|before| before.alone);
        let stamp = run.reading(run.reader.stamp(&listed, alone)).await?;
        if let Some(known) = before
            && there
            && known.is_of(stamp)
            && !run.checksum
            && known.wanted.file_type == self.file_type
            && let Some(standing) = self.standing(run, known).await?
        {
            return self.was_whole(run, &known.wanted, standing);
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
        let stamp = match stamp {
            None => {
                run.reading(run.reader.stamp_of_content(&listed, &entity))
                    .await?
            }
            stamp => stamp,
        };
        let known = Known {
            wanted: Wanted::of(&entity),
            kept: before.and_then(|before| before.kept),
            stamp: None,
            alone: entity.is_alone(),
            local: before.and_then(|before| before.local),
        };
        let is_known = before.is_some_and(|before| {
            before.wanted == known.wanted && before.is_of(stamp) && !run.checksum
        });
        let mut found = None;
        if there && is_known {
            let standing = self.standing(run, known).await?;
            found = standing.map(|standing| (standing, None));
        }
        if there && found.is_none() {
            let same = self.same(run, &entity, known).await?;
            found = same.map(|(standing, rules)| (standing, Some(rules)));
        }
        if let Some((standing, compared)) = found {
            if let Some(rules) = compared {
                let stamp = stamp.filter(|_| rules == Rules::Kept);
                let local = Some(standing.0.st_ino);
                let compared = Known {
                    stamp,
                    local,
                    ..known
                };
                self.note(run, version, before, compared)?;
                add(&run.counters.compared, 1);
            }
            return self.was_whole(run, &known.wanted, standing);
        }
        let id = match run.dry_run() {
            true => {
                if self.file_type == FileType::Regular {
                    add(&run.counters.content_bytes, known.wanted.size);
                }
                NOT_WRITTEN
            }
            false => {
                let made = self.make(run, &entity, known.wanted, there).await?;
                let Made {
                    stat,
                    missing,
                    rules,
                } = made;
                run.missing(&self.path, self.file_type, missing);
                let kept = mtime_of(&stat).filter(|mtime| *mtime != known.wanted.mtime);
                let rules = match entity.deviations.is_empty() {
                    true => rules,
                    false => Rules::Broken,
                };
                let stamp = stamp.filter(|_| rules == Rules::Kept);
                let made = Known {
                    kept,
                    stamp,
                    local: Some(stat.st_ino),
                    ..known
                };
                self.note(run, version, None, made)?;
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

    /// Puts into the record what the entry was written from or compared with.
    fn note(
        &self,
        run: &Run,
        version: u64,
        before: Option<Known>,
        known: Known,
    ) -> Result<(), Failure> {
        if before != Some(known) && !run.dry_run() {
            run.record.put(self.handle, version, &known)?;
        }
        Ok(())
    }

    fn was_whole(
        &self,
        run: &Run,
        wanted: &Wanted,
        (stat, missing): Standing,
    ) -> Result<(), Failure> {
        add(&run.counters.whole, 1);
        run.missing(&self.path, self.file_type, missing);
        self.remember(run, wanted, FileId::of(&stat))
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
    async fn standing(&self, run: &Arc<Run>, known: Known) -> Result<Option<Standing>, Failure> {
        let handle = self.handle;
        let stat = self.inside(run, move |run, folder, name| {
            let Some(stat) = look(folder, name)? else {
                return Ok(None);
            };
            let stands = known.wanted.stands(&stat, known.kept)
                && run.record.is_local(handle, &known, stat.st_ino)?;
            if !stands || !may_stay(run, handle, &known.wanted, &stat, true)? {
                return Ok(None);
            }
            let missing = mend(run, folder, name, &known.wanted, &stat)?;
            Ok(Some((stat, missing)))
        });
        Ok(stat.await?.flatten())
    }

    /// What stands there, if its content is what it should be; its attributes are put right. Unless
    /// contents decide, what has another size or time is not compared.
    async fn same(
        &self,
        run: &Arc<Run>,
        entity: &Arc<Entity>,
        known: Known,
    ) -> Result<Option<(Standing, Rules)>, Failure> {
        let wanted = known.wanted;
        let handle = self.handle;
        let found = self.inside(run, move |run, folder, name| {
            let found = look(folder, name)?.filter(|stat| {
                let may_be =
                    wanted.has_size(stat) && (run.checksum || wanted.stands(stat, known.kept));
                // Before it is downloaded for nothing.
                may_be && has_owner(run, &wanted, stat)
            });
            Ok(found.map(|_| Arc::clone(folder)))
        });
        let Some(folder) = found.await?.flatten() else {
            return Ok(None);
        };
        let rules = match self.file_type {
            FileType::Regular => {
                let _budget = run.budget.take(wanted.size).await?;
                is_same(run, entity, folder, self.name.clone()).await?
            }
            FileType::Symlink => {
                let target = entity.target().cloned().unwrap_or_default();
                let same = self.inside(run, move |_, folder, name| {
                    let found = folder.target_of(name);
                    Ok(found.map_err(|errno| Action::Read.failed(errno))? == target)
                });
                same.await?.unwrap_or(false).then(|| rules_of(entity))
            }
            _ => Some(rules_of(entity)),
        };
        let Some(rules) = rules else {
            return Ok(None);
        };
        let atime = entity.attributes.atime;
        let stat = self.inside(run, move |run, folder, name| {
            let Some(stat) = look(folder, name)?.filter(|stat| wanted.has_size(stat)) else {
                return Ok(None);
            };
            let stands = wanted.stands(&stat, known.kept);
            if !may_stay(run, handle, &wanted, &stat, stands)? {
                return Ok(None);
            }
            let making = run.tree.making();
            if !stands || wanted.differs(&stat, making) {
                add(&run.counters.mended, 1);
            }
            let mut missing = Missing::default();
            // The access time is set too: the blob may have been repaired, and comparing changed it.
            if !run.dry_run() && stat.st_nlink <= 1 {
                missing = wanted.set_at(folder, name, atime, making)?;
            }
            Ok(Some((stat, missing)))
        });
        Ok(stat.await?.flatten().map(|standing| (standing, rules)))
    }
}

fn rules_of(entity: &Entity) -> Rules {
    match entity.deviations.is_empty() {
        true => Rules::Kept,
        false => Rules::Broken,
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
    if !has_owner(run, wanted, stat) {
        return Ok(false);
    }
    let links = stat.st_nlink;
    if links <= 1 {
        return Ok(true);
    }
    // Links that are not ours cannot be told from ours, so nothing is changed through one.
    let making = run.tree.making();
    let unchanged =
        has_time && wanted.has_owner(stat, making.owners) && !wanted.differs(stat, making);
    Ok(unchanged
        && links <= u64::from(wanted.nlink)
        && run.scratch.take_shared(FileId::of(stat), handle)?)
}

/// Whether what stands there has its owner, or may be given to that one: what belongs to this user,
/// as where an earlier run was refused to give it away, and lends nobody's rights.
fn has_owner(run: &Run, wanted: &Wanted, stat: &Stat) -> bool {
    let is_mine = stat.st_uid == geteuid().as_raw();
    wanted.has_owner(stat, run.tree.making().owners) || (is_mine && !wanted.lends_rights())
}

fn mend(
    run: &Run,
    folder: &Folder,
    name: &Component,
    wanted: &Wanted,
    stat: &Stat,
) -> Result<Missing, LocalError> {
    let making = run.tree.making();
    let mut missing = Missing::default();
    if wanted.differs(stat, making) || !wanted.has_owner(stat, making.owners) {
        if !run.dry_run() {
            missing = wanted.mend_at(folder, name, making)?;
        }
        add(&run.counters.mended, missing.0.is_none().into());
    }
    Ok(missing)
}
