//! Makes an entry under a temporary name and puts it in its place.

use std::ffi::CString;
use std::sync::Arc;

use clfs_format::{FileType, Timestamp};
use rustix::fs::{FileType as NodeType, Stat};
use rustix::io::Errno;

use super::component::Component;
use super::content::{FileWriter, Pieces, Rules};
use super::entry::{Entry, look};
use super::folder::Folder;
use super::problem::{Action, ExtractError, Failure, Reason};
use super::remains::RemainsNames;
use super::run::{Run, blocking};
use super::temporary::Temporary;
use super::tree::{named, taken};
use super::wanted::{Missing, Wanted};
use crate::read::Entity;

/// What was made.
pub(super) struct Made {
    pub(super) stat: Stat,
    pub(super) missing: Missing,
    /// Of the content; the inode's own are not looked at.
    pub(super) rules: Rules,
}

impl Entry {
    /// Makes what is not there, or is not what it should be. `there`: something stands under its name.
    pub(super) async fn make(
        &self,
        run: &Arc<Run>,
        entity: &Arc<Entity>,
        wanted: Wanted,
        there: bool,
    ) -> Result<Made, Failure> {
        let atime = entity.attributes.atime;
        let made = match self.file_type {
            FileType::Regular => return self.write(run, entity, wanted, there).await,
            FileType::Symlink => {
                let target = entity.target().cloned().unwrap_or_default();
                let target = CString::new(target.to_vec()).map_err(|_| Reason::Target)?;
                if target.is_empty() {
                    return Err(Reason::Target.into());
                }
                let made = self.inside(run, move |run, folder, name| {
                    let names = run.tree.temporaries();
                    let made = names.create(folder, |name| folder.make_symlink(name, &target));
                    place(run, (folder, name), there, made, wanted, atime)
                });
                made.await?
            }
            _ => {
                let node_type = match self.file_type {
                    FileType::Block => NodeType::BlockDevice,
                    FileType::Character => NodeType::CharacterDevice,
                    FileType::Socket => NodeType::Socket,
                    FileType::Fifo => NodeType::Fifo,
                    _ => return Err(Reason::TypeMismatch.into()),
                };
                let made = self.inside(run, move |run, folder, name| {
                    let made = run.tree.temporaries().create(folder, |name| {
                        folder.make_node(name, node_type, wanted.device())
                    });
                    place(run, (folder, name), there, made, wanted, atime)
                });
                made.await?
            }
        };
        made.ok_or_else(|| Action::Open.failed(Errno::NOENT).into())
    }

    /// Writes a regular file.
    async fn write(
        &self,
        run: &Arc<Run>,
        entity: &Arc<Entity>,
        wanted: Wanted,
        there: bool,
    ) -> Result<Made, Failure> {
        let nowhere = || Failure::from(Action::Open.failed(Errno::NOENT));
        let _budget = run.budget.take(wanted.size).await?;
        let mut pieces = Pieces::new(run, entity, run.keep_damaged);
        let mut chunk = pieces.next().await?;
        let writer = self.inside(run, |run, folder, _| {
            Ok(FileWriter::create(folder, run.tree.temporaries())?)
        });
        let writer = Arc::new(writer.await?.ok_or_else(nowhere)?);
        while let Some(bytes) = chunk {
            let writer = Arc::clone(&writer);
            blocking(move || writer.write(&bytes)).await??;
            chunk = pieces.next().await?;
        }
        let atime = entity.attributes.atime;
        let rules = pieces.rules();
        let Some(gaps) = pieces.gaps else {
            let placed = self.inside(run, move |run, folder, name| {
                let (stat, missing) = writer.complete(&wanted, atime, run.tree.making())?;
                let writer = Arc::into_inner(writer).ok_or(ExtractError::Thread)?;
                give_name(folder, name, there, writer.into_temporary())?;
                Ok((stat, missing))
            });
            let (stat, missing) = placed.await?.ok_or_else(nowhere)?;
            return Ok(Made {
                stat,
                missing,
                rules,
            });
        };
        let names = RemainsNames::of(self, run).await?;
        let placed = self.inside(run, move |run, _, _| {
            // The file is reported anyway.
            let _: Missing = writer.complete_remains(&wanted, run.tree.making())?;
            let writer = Arc::into_inner(writer).ok_or(ExtractError::Thread)?;
            names.place(writer.into_temporary())
        });
        let name = placed.await?.ok_or_else(nowhere)?;
        Err(Reason::KeptDamaged {
            error: gaps.error,
            name: name.as_bytes().to_vec(),
            gaps: gaps.told,
            gap_count: gaps.count,
        }
        .into())
    }
}

/// Gives what was made its name. Where nothing stood under it, nothing is replaced: what is met then
/// belongs to another entry, whose name is the same to the file system.
pub(super) fn give_name(
    folder: &Folder,
    name: &Component,
    there: bool,
    mut temporary: Temporary,
) -> Result<(), Failure> {
    let placed = match there {
        true => temporary.rename(name),
        false => temporary.rename_where_free(name),
    };
    placed.map_err(|errno| match errno {
        Errno::ISDIR | Errno::NOTEMPTY => Reason::InTheWay.into(),
        Errno::EXIST if !there => taken(folder, name),
        errno => named(errno, name, folder, Action::Place),
    })
}

/// Gives what was made its attributes and its name.
fn place(
    run: &Run,
    (folder, name): (&Folder, &Component),
    there: bool,
    made: Result<(Temporary, ()), Errno>,
    wanted: Wanted,
    atime: Timestamp,
) -> Result<Made, Failure> {
    let (temporary, ()) = made.map_err(|errno| Action::Make.failed(errno))?;
    let placing = |errno| Action::Place.failed(errno);
    let here = temporary.name().map_err(placing)?;
    let missing = wanted.set_at(folder, here, atime, run.tree.making())?;
    let stat = look(folder, here)?.ok_or(placing(Errno::NOENT))?;
    give_name(folder, name, there, temporary)?;
    Ok(Made {
        stat,
        missing,
        rules: Rules::Kept,
    })
}
