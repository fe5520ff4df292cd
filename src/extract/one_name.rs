//! Entries whose names are one name in the destination: both are reported.

use std::sync::Arc;

use clfs_format::FileType;

use super::problem::{Failure, Reason};
use super::run::Run;
use crate::read::TreePath;

/// Reports why work on an entry ended. Where another entry of its directory has its name in the
/// destination, that one is a problem too.
pub(super) async fn report(
    run: &Arc<Run>,
    path: TreePath,
    file_type: Option<FileType>,
    failure: Failure,
) {
    let other = match &failure {
        Failure::LeftOut(reason) => match &**reason {
            Reason::OneName { other } => Some(other.clone()),
            _ => None,
        },
        _ => None,
    };
    run.failed(path.clone(), file_type, failure);
    let (Some(other), Some(name)) = (other, path.name()) else {
        return;
    };
    let root = TreePath::root();
    let parent = path.parent().unwrap_or(&root);
    match holds(run, parent, &other).await {
        Ok(true) => {
            let with = name.to_vec();
            run.problem(parent.child(&other), None, Reason::SharesName { with });
        }
        // It is not the container's; the first report names it.
        Ok(false) => {}
        Err(failure) => run.failed(parent.child(&other), None, failure),
    }
}

/// Whether a directory of the container has an entry of this name.
async fn holds(run: &Arc<Run>, directory: &TreePath, name: &[u8]) -> Result<bool, Failure> {
    let directory = run.reading(run.reader.resolve(directory)).await?.entity;
    let mut segments = run.reader.entry_segments(&directory);
    loop {
        match run.reading(segments.next()).await {
            Ok(Some(segment)) => {
                let mut entries = segment.entries().filter_map(Result::ok);
                if entries.any(|entry| entry.name == name) {
                    return Ok(true);
                }
            }
            Ok(None) => return Ok(false),
            // The walk reports it.
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error.into()),
        }
    }
}
