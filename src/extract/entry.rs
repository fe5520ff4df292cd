//! Brings out one entry: a file, a symlink, a fifo, a socket or a device.

use std::ffi::CString;
use std::sync::Arc;

use clfs_format::{FileType, Filehandle, ObjectId, Timestamp};
use rustix::fs::{FileType as NodeType, Stat};
use rustix::io::Errno;

use super::component::Component;
use super::content::{FileWriter, Pieces, is_same};
use super::folder::{FileId, Folder, Temporary, is_type};
use super::problem::{Action, ExtractError, Failure, LocalError, Reason};
use super::record::Known;
use super::run::{Run, blocking};
use super::scratch::FirstPath;
use super::summary::add;
use super::tree::Node;
use super::wanted::{Wanted, may_make, mtime_of};
use crate::read::{Entity, TreePath};

/// What the readable rest of a damaged file ends with.
const DAMAGED: &str = ".damaged";
/// Names that are tried for it.
const DAMAGED_NAMES: u32 = 10;

/// What a dry run remembers of a file that it would write.
const NOT_WRITTEN: FileId = FileId {
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

/// What became of the wish to link an entry.
enum Linked {
    /// It was linked now.
    Made,
    /// It was the same file before.
    Before,
    /// It must be fetched like a file of its own.
    Impossible,
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
        let listed = run.reader.locate(&ObjectId::Entity(self.handle)).await?;
        let version = listed.name.version;
        let before = run.record.find(self.handle, version)?;
        if let Some(known) = before
            && !run.checksum
            && known.wanted.file_type == self.file_type
            && let Some(stat) = self.standing(run, known).await?
        {
            return self.was_whole(run, &known.wanted, &stat);
        }
        let fetched = run.reader.fetch(&listed).await?;
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
            true => NOT_WRITTEN,
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
    async fn inside<T: Send + 'static>(
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

    /// What stands there, if it is what it should be; its owner and permissions are put right.
    async fn standing(&self, run: &Arc<Run>, known: Known) -> Result<Option<Stat>, Failure> {
        let stat = self.inside(run, move |run, folder, name| {
            let stat = look(folder, name)?;
            let stat = stat.filter(|stat| known.wanted.stands(stat, known.kept));
            if let Some(stat) = &stat {
                mend(run, folder, name, &known.wanted, stat)?;
            }
            Ok(stat)
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
                let _budget = run.budget(wanted.size).await?;
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
            if wanted.stands(&stat, known.kept) {
                mend(run, folder, name, &wanted, &stat)?;
            } else if !run.dry_run() {
                wanted.set_at(folder, name, atime, run.tree.making().owners)?;
                add(&run.counters.mended, 1);
            }
            Ok(Some(stat))
        });
        Ok(stat.await?.flatten())
    }

    /// Makes it a further name of a file that is there.
    async fn link(&self, run: &Arc<Run>, first: FirstPath) -> Result<Linked, Failure> {
        if run.dry_run() && (first.id == NOT_WRITTEN || !self.parent.is_there()) {
            return Ok(Linked::Made);
        }
        let linked = self.inside(run, move |run, folder, name| {
            let Ok((from, original)) = run.tree.folder_of(&first.path) else {
                return Ok(Linked::Impossible);
            };
            let is_first = |stat: &Stat| FileId::of(stat) == first.id;
            let there = from.look(&original).ok().flatten();
            if !there.is_some_and(|stat| is_first(&stat)) {
                return Ok(Linked::Impossible);
            }
            if look(folder, name)?.is_some_and(|stat| is_first(&stat)) {
                return Ok(Linked::Before);
            }
            if run.dry_run() {
                return Ok(Linked::Made);
            }
            let made = Temporary::create(folder, |temporary| {
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
            temporary.rename(name).map_err(placing)?;
            Ok(Linked::Made)
        });
        Ok(linked.await?.unwrap_or(Linked::Impossible))
    }

    async fn make(
        &self,
        run: &Arc<Run>,
        entity: &Arc<Entity>,
        wanted: Wanted,
    ) -> Result<Stat, Failure> {
        let atime = entity.attributes.atime;
        let stat = match self.file_type {
            FileType::Regular => return self.write(run, entity, wanted).await,
            FileType::Symlink => {
                let target = entity.target().cloned().unwrap_or_default();
                let target = CString::new(target.to_vec()).map_err(|_| Reason::Target)?;
                if target.is_empty() {
                    return Err(Reason::Target.into());
                }
                self.inside(run, move |run, folder, name| {
                    let made = Temporary::create(folder, |name| folder.make_symlink(name, &target));
                    place(run, folder, name, made, wanted, atime)
                })
            }
            _ => {
                let node_type = match self.file_type {
                    FileType::Block => NodeType::BlockDevice,
                    FileType::Character => NodeType::CharacterDevice,
                    FileType::Socket => NodeType::Socket,
                    FileType::Fifo => NodeType::Fifo,
                    _ => return Err(Reason::TypeMismatch.into()),
                };
                return self.make_node(run, node_type, wanted, atime).await;
            }
        };
        stat.await?
            .ok_or_else(|| Action::Open.failed(Errno::NOENT).into())
    }

    async fn make_node(
        &self,
        run: &Arc<Run>,
        node_type: NodeType,
        wanted: Wanted,
        atime: Timestamp,
    ) -> Result<Stat, Failure> {
        let stat = self.inside(run, move |run, folder, name| {
            let made = Temporary::create(folder, |name| {
                folder.make_node(name, node_type, wanted.device())
            });
            place(run, folder, name, made, wanted, atime)
        });
        stat.await?
            .ok_or_else(|| Action::Open.failed(Errno::NOENT).into())
    }

    /// Writes a regular file.
    async fn write(
        &self,
        run: &Arc<Run>,
        entity: &Arc<Entity>,
        wanted: Wanted,
    ) -> Result<Stat, Failure> {
        let nowhere = || Failure::from(Action::Open.failed(Errno::NOENT));
        let _budget = run.budget(wanted.size).await?;
        let mut pieces = Pieces::new(run, entity, run.keep_damaged);
        let mut chunk = pieces.next().await?;
        let writer = self.inside(run, |_, folder, _| Ok(FileWriter::create(folder)?));
        let writer = Arc::new(writer.await?.ok_or_else(nowhere)?);
        while let Some(bytes) = chunk {
            let writer = Arc::clone(&writer);
            blocking(move || writer.write(&bytes)).await??;
            chunk = pieces.next().await?;
        }
        let atime = entity.attributes.atime;
        let damaged = pieces.gaps.is_some();
        let placed = self.inside(run, move |run, folder, name| {
            let stat = writer.complete(&wanted, atime, run.tree.making().owners)?;
            let writer = Arc::into_inner(writer).ok_or(ExtractError::Thread)?;
            let temporary = writer.into_temporary();
            if damaged {
                let name = place_damaged(folder, temporary, name, &wanted)?;
                return Ok((stat, Some(name)));
            }
            let placed = temporary.rename(name).map_err(in_the_way);
            placed.map(|()| (stat, None))
        });
        let (stat, damaged_name) = placed.await?.ok_or_else(nowhere)?;
        match (pieces.gaps, damaged_name) {
            (Some(gaps), Some(name)) => Err(Reason::KeptDamaged {
                error: gaps.error,
                name: name.as_bytes().to_vec(),
                gaps: gaps.told,
                gap_count: gaps.count,
            }
            .into()),
            _ => Ok(stat),
        }
    }
}

/// What stands there; a directory is in the way of anything that is none.
fn look(folder: &Folder, name: &Component) -> Result<Option<Stat>, Failure> {
    let stat = folder.look(name);
    match stat.map_err(|errno| Action::Look.failed(errno))? {
        Some(stat) if is_type(&stat, NodeType::Directory) => Err(Reason::InTheWay.into()),
        stat => Ok(stat),
    }
}

fn in_the_way(errno: Errno) -> Failure {
    match errno {
        Errno::ISDIR | Errno::NOTEMPTY => Reason::InTheWay.into(),
        errno => Action::Place.failed(errno).into(),
    }
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

/// Gives what was made its attributes and its name.
fn place(
    run: &Run,
    folder: &Folder,
    name: &Component,
    made: Result<(Temporary, ()), Errno>,
    wanted: Wanted,
    atime: Timestamp,
) -> Result<Stat, Failure> {
    let (temporary, ()) = made.map_err(|errno| Action::Make.failed(errno))?;
    let placing = |errno| Action::Place.failed(errno);
    let here = temporary.name().map_err(placing)?;
    wanted.set_at(folder, here, atime, run.tree.making().owners)?;
    let stat = look(folder, here)?.ok_or(placing(Errno::NOENT))?;
    temporary.rename(name).map_err(in_the_way)?;
    Ok(stat)
}

/// Puts the rest of a damaged file beside the place of the whole one. What a run before this put there
/// is replaced, anything else is not.
fn place_damaged(
    folder: &Folder,
    mut temporary: Temporary,
    name: &Component,
    wanted: &Wanted,
) -> Result<Component, Failure> {
    let placing = |errno| Action::Place.failed(errno);
    for number in 1..=DAMAGED_NAMES {
        let suffix = match number {
            1 => DAMAGED.to_owned(),
            number => format!("{DAMAGED}-{number}"),
        };
        let damaged = name.with_suffix(&suffix).ok_or(placing(Errno::INVAL))?;
        match temporary.rename_where_free(&damaged) {
            Ok(()) => return Ok(damaged),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(placing(errno).into()),
        }
        let there = folder.look(&damaged).map_err(placing)?;
        if there.is_some_and(|stat| wanted.stands(&stat, None)) {
            temporary.rename(&damaged).map_err(in_the_way)?;
            return Ok(damaged);
        }
    }
    Err(placing(Errno::EXIST).into())
}
