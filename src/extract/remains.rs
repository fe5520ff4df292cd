//! Where what can be read of a damaged file goes: beside the place of the whole one.

use std::sync::Arc;

use rustix::io::Errno;

use super::component::Component;
use super::entry::Entry;
use super::problem::{Action, Failure};
use super::run::Run;
use super::temporary::Temporary;
use crate::read::TreePath;

/// What the remains of a damaged file end with.
const DAMAGED: &str = ".damaged";
/// Names that are tried.
const NAMES: u32 = 100;

/// Names for the remains of one file, in the order in which they are tried.
pub(super) struct RemainsNames(Vec<Component>);

impl RemainsNames {
    /// Those that the container's own directory does not hold: what stands under these is, or will be,
    /// an entry of its own. Parts of the directory that cannot be read are passed over; what they
    /// name does not come out by this run.
    pub(super) async fn of(entry: &Entry, run: &Arc<Run>) -> Result<Self, Failure> {
        let mut names: Vec<Component> = (1..=NAMES)
            .filter_map(|number| match number {
                1 => entry.name.with_suffix(DAMAGED),
                number => entry.name.with_suffix(&format!("{DAMAGED}-{number}")),
            })
            .collect();
        let root = TreePath::root();
        let parent = entry.path.parent().unwrap_or(&root);
        let directory = run.reading(run.reader.resolve(parent)).await?.entity;
        let mut segments = run.reader.entry_segments(&directory);
        loop {
            match run.reading(segments.next()).await {
                Ok(Some(segment)) => {
                    for held in segment.entries().filter_map(Result::ok) {
                        names.retain(|name| name.as_bytes() != held.name);
                    }
                }
                Ok(None) => return Ok(Self(names)),
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Puts the remains under the first name that is free. Nothing is replaced: whether what stands
    /// there came from an earlier run cannot be told for sure.
    pub(super) fn place(self, mut temporary: Temporary) -> Result<Component, Failure> {
        for name in self.0 {
            match temporary.rename_where_free(&name) {
                Ok(()) => return Ok(name),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Action::Place.failed(errno).into()),
            }
        }
        Err(Action::Place.failed(Errno::EXIST).into())
    }
}
