//! Opens the source of a transfer, and compares it with the recorded one.

use super::{LoadError, Refusal};
use crate::source::{Mismatch, OpenError, SourceIdentity, SourceTree};
use crate::state::{Settings, State};

/// Opens the source.
///
/// # Errors
/// When it does not exist or does not respond, or another folder or file system is in its place.
pub(super) fn open(
    state: &State,
    settings: &Settings,
    identity: SourceIdentity,
) -> Result<SourceTree, LoadError> {
    let reader = state.reader()?;
    let known = reader.known_root()?;
    let path = &settings.source;
    let unusable = |source| Refusal::Source {
        path: path.clone(),
        source,
    };
    let mut mounts = settings.mounts.clone();
    if identity == SourceIdentity::Attributes {
        mounts.iter_mut().for_each(|mount| mount.inode = None);
    }
    let tree = SourceTree::open(path, Box::new(reader))
        .map_err(|errno| unusable(errno.into()))?
        .with_identity(identity)
        .with_mounts(&mounts);
    let checked = tree.check_root(&known).map_err(|error| match error {
        OpenError::State(error) => LoadError::State(error),
        OpenError::Problem(problem) => unusable(std::io::Error::other(problem.to_string())).into(),
    })?;
    checked.map_err(|mismatch| match mismatch {
        Mismatch::Other(difference) => Refusal::OtherSource {
            path: path.clone(),
            difference,
        },
        Mismatch::Renumbered => Refusal::SourceRenumbered(path.clone()),
        Mismatch::Unproven => Refusal::SourceUnproven(path.clone()),
        Mismatch::Unrecorded => Refusal::SourceUnrecorded(path.clone()),
        Mismatch::Emptied => Refusal::SourceEmptied(path.clone()),
    })?;
    Ok(tree)
}
