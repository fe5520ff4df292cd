//! A transfer as one HTML page, made from its state folder while it runs or after.
//!
//! The page stands alone: styles, charts (SVG) and the script that searches the failed entries are in
//! it, and its content policy lets nothing else be loaded. It is XML as well, so that tests can parse
//! it strictly. What comes from the source tree, the settings or the history is text of others:
//! [`escape`] is the only way for it into the page.
//!
//! Memory does not grow with the tree: the history goes through [`timeline`], which keeps some hundred
//! stretches of time, and failed entries are written as they are read.

mod chart;
mod escape;
mod failures;
mod files;
mod over_time;
mod page;
mod runs;
mod scale;
mod strip;
mod summary;
mod timeline;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::loss::Lost;
use crate::progress::history::{self, Latest};
use crate::state::{State, StateError, StateView, TransferCounts};
use crate::survey::SizeHistogram;

use timeline::Timeline;

/// Why there is no report, or only a part of one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The page cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// All that is told, but for the failed entries.
struct Subject {
    /// The state folder, absolute where that can be told.
    folder: PathBuf,
    /// When the report is made, milliseconds since 1970.
    at: u64,
    look: StateView,
    standing: TransferCounts,
    /// How many entries failed for each reason.
    reasons: Vec<(String, u64)>,
    /// What the format has no place for.
    lost: Vec<Lost>,
    sizes: SizeHistogram,
    latest: Latest,
    timeline: Timeline,
}

/// Writes the report on the transfer in a state folder. All of the state but the failed entries is
/// read before the first byte is written.
///
/// # Errors
/// When the state cannot be read, or the page not be written.
pub fn write(folder: &Path, out: &mut dyn Write) -> Result<(), ReportError> {
    let look = State::view(folder)?;
    let mut sizes = SizeHistogram::default();
    look.reader.visit_sizes(|size| sizes.add(size, 1))?;
    let subject = Subject {
        folder: std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf()),
        at: history::now(),
        standing: look.counts()?,
        reasons: look.reader.problem_reasons()?,
        lost: look.reader.lost()?,
        sizes,
        latest: history::latest(folder).unwrap_or_default(),
        timeline: Timeline::read(folder),
        look,
    };
    page::write(&subject, out)?;
    Ok(out.flush()?)
}
