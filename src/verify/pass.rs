//! Passes over a container: which objects are judged, side by side.

use std::future::Future;
use std::sync::Arc;

use clfs_format::{FileType, Object, ObjectId};

use super::blocks::inspected;
use super::check::{Check, Crew, Depth, blocking};
use super::deviation::unreadable;
use super::entity::Named;
use super::finding::Found;
use super::names::is_of_cache;
use super::outlet::Outlet;
use super::rule::Rule;
use super::scratch::{NamingReader, OrphanReader, Recorder, Scratch, ScratchError};
use crate::read::ReadError;
use crate::read::index::{Listed, ObjectKey};

/// Objects that are taken from the index together.
const PAGE: usize = 1024;

/// Why a pass ended early.
#[derive(Debug)]
pub(super) enum PassError {
    /// The container or the index failed.
    Read(ReadError),
    /// The scratch database failed.
    Scratch(ScratchError),
}

impl From<ReadError> for PassError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<ScratchError> for PassError {
    fn from(error: ScratchError) -> Self {
        Self::Scratch(error)
    }
}

/// Runs a pass while its reports are written down. With `located`, findings are given away at once;
/// otherwise they are kept until paths are known.
///
/// # Errors
/// The database's error comes first: when it fails, the pass only says that it was stopped.
pub(super) async fn recorded<F>(
    scratch: Scratch,
    mut outlet: Outlet,
    located: bool,
    pass: impl FnOnce(Recorder) -> F,
) -> Result<(Scratch, Outlet), PassError>
where
    F: Future<Output = Result<(), PassError>>,
{
    let (records, batches) = Scratch::recorder();
    let ledger = blocking(move || {
        let mut give = |scratch: &Scratch, found| outlet.give(scratch, found);
        match located {
            true => scratch.record(batches, Some(&mut give))?,
            false => scratch.record(batches, None)?,
        }
        Ok::<_, ScratchError>((scratch, outlet))
    });
    // Both at once: the ledger ends when the pass has dropped its recorders.
    let (recorded, passed) = tokio::join!(ledger, pass(records));
    let recorded = recorded??;
    passed?;
    Ok(recorded)
}

/// The first pass: names, the bucket object, and all directories.
pub(super) async fn directories(check: Arc<Check>) -> Result<(), PassError> {
    let names = Arc::clone(&check);
    blocking(move || names.judge_names()).await??;
    let mut crew = Crew::default();
    crew.start(Arc::clone(&check).judge_bucket()).await?;
    let mut after = None;
    while let Some((page, last)) = page_after(&check, after).await? {
        after = Some(last);
        for listed in page {
            let ObjectId::Entity(handle) = listed.name.id else {
                continue;
            };
            if handle.file_type() == Some(FileType::Directory) && !is_of_cache(&listed.name) {
                crew.start(Arc::clone(&check).judge_directory(listed, handle))
                    .await?;
            }
        }
    }
    Ok(crew.finish().await?)
}

async fn page_after(
    check: &Arc<Check>,
    after: Option<ObjectKey>,
) -> Result<Option<(Vec<Listed>, ObjectKey)>, ReadError> {
    let check = Arc::clone(check);
    blocking(move || {
        let page = check.index.after(after.as_ref(), PAGE);
        let page = page.map_err(|error| check.index_failed(error))?;
        let last = page.last().map(|listed| ObjectKey::new(&listed.name.id));
        Ok(last.map(|last| (page, last)))
    })
    .await?
}

/// The second pass: all other entities.
pub(super) async fn entities(
    check: Arc<Check>,
    mut namings: NamingReader,
    rooted: bool,
) -> Result<(), PassError> {
    let mut crew = Crew::default();
    let mut after = None;
    while let Some((page, last)) = page_after(&check, after).await? {
        after = Some(last);
        let looked_up;
        (namings, looked_up) = blocking(move || {
            let page: Result<Vec<Named>, ScratchError> = page
                .into_iter()
                .filter_map(|listed| named(&namings, listed).transpose())
                .collect();
            (namings, page)
        })
        .await?;
        for named in looked_up? {
            crew.start(Arc::clone(&check).judge_entity(named, rooted))
                .await?;
        }
    }
    Ok(crew.finish().await?)
}

/// An entity that is no directory.
fn named(namings: &NamingReader, listed: Listed) -> Result<Option<Named>, ScratchError> {
    let ObjectId::Entity(handle) = listed.name.id else {
        return Ok(None);
    };
    let Some(file_type) = handle.file_type() else {
        return Ok(None);
    };
    if file_type == FileType::Directory || is_of_cache(&listed.name) {
        return Ok(None);
    }
    Ok(Some(Named {
        namings: namings.of(handle)?,
        listed,
        handle,
        file_type,
    }))
}

/// The last pass: blocks that nothing uses, which may be damaged besides.
pub(super) async fn orphans(
    check: Arc<Check>,
    mut unused: OrphanReader,
    rooted: bool,
) -> Result<(), PassError> {
    let mut crew = Crew::default();
    let mut after: Option<ObjectKey> = None;
    loop {
        let page;
        (unused, page) = blocking(move || {
            let page = unused.after(after.as_ref());
            (unused, page)
        })
        .await?;
        let page = page?;
        let Some(last) = page.last() else { break };
        after = Some(ObjectKey::new(last));
        for id in page {
            crew.start(Arc::clone(&check).judge_orphan(id, rooted))
                .await?;
        }
    }
    Ok(crew.finish().await?)
}

impl Check {
    async fn judge_orphan(self: Arc<Self>, id: ObjectId, rooted: bool) -> Result<(), ReadError> {
        let Some(listed) = self.find(&id)? else {
            return Ok(());
        };
        if is_of_cache(&listed.name) {
            return Ok(());
        }
        let mut records = Vec::new();
        if rooted {
            let text = "no file and no directory uses it";
            records.push(Found::blob(Rule::Orphan, listed.name, text).into());
        }
        let wanted = match listed.name.object_type() {
            clfs_format::ObjectType::Segment => self.depth == Depth::Full,
            _ => true,
        };
        if !wanted {
            records.extend(self.archived(&listed, None).map(Into::into));
        } else {
            match self.fetch(&listed).await? {
                Err(error) => records.push(unreadable(&error, &listed.name, None).into()),
                Ok(fetched) => {
                    let used_as = listed.name.object_type();
                    let (object, found) = inspected(&fetched, used_as, None);
                    records.extend(found.into_iter().map(Into::into));
                    if let Some(Object::DirectorySegment(segment)) = object {
                        let bad = segment.entries.iter_raw().find_map(Result::err);
                        let found = bad.map(|bad| {
                            let rule = super::deviation::rule_of(&bad.error);
                            Found::blob(rule, listed.name, bad.error.to_string())
                        });
                        records.extend(found.map(Into::into));
                    }
                }
            }
        }
        self.records.send(records).await
    }
}
