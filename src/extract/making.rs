//! Makes an entry under a temporary name and puts it in its place.

use std::ffi::CString;
use std::sync::Arc;

use clfs_format::{FileType, Timestamp};
use rustix::fs::{FileType as NodeType, Stat};
use rustix::io::Errno;

use super::component::Component;
use super::content::{FileWriter, Pieces};
use super::entry::{Entry, look};
use super::folder::{Folder, Temporary};
use super::problem::{Action, ExtractError, Failure, Reason};
use super::remains::RemainsNames;
use super::run::{Run, blocking};
use super::wanted::Wanted;
use crate::read::Entity;

impl Entry {
    /// Makes what is not there, or is not what it should be.
    pub(super) async fn make(
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
        let _budget = run.budget.take(wanted.size).await?;
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
        let Some(gaps) = pieces.gaps else {
            let placed = self.inside(run, move |run, _, name| {
                let stat = writer.complete(&wanted, atime, run.tree.making().owners)?;
                let writer = Arc::into_inner(writer).ok_or(ExtractError::Thread)?;
                let placed = writer.into_temporary().rename(name);
                placed.map_err(in_the_way)?;
                Ok(stat)
            });
            return placed.await?.ok_or_else(nowhere);
        };
        let names = RemainsNames::of(self, run).await?;
        let placed = self.inside(run, move |run, _, _| {
            writer.complete_remains(&wanted, run.tree.making().owners)?;
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

fn in_the_way(errno: Errno) -> Failure {
    match errno {
        Errno::ISDIR | Errno::NOTEMPTY => Reason::InTheWay.into(),
        errno => Action::Place.failed(errno).into(),
    }
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
