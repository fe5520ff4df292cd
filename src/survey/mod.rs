//! A survey of a source before its load: the contents, the entries that would fail, and the cost.
//! It writes only temporary files, and sends no request to a container.
//!
//! The scan of a load scans the tree into a state in a temporary folder. A failure of the load's scan
//! is therefore a failure here, hard links are found in bounded memory, and the size of the database
//! is known. One pass over the rows then counts, and a sample of the objects is read and encoded.

mod estimate;
mod findings;
mod histogram;
mod objects;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clfs_format::{Compression, FileType};

use crate::entry::EntryId;
use crate::events::Silent;
use crate::identity::{Identity, Seed};
use crate::load::encode::{EncodeContext, Encoder};
use crate::load::scan::{Scan, ScanEnd};
use crate::load::{FSTAB, Refusal, root_entry, source_folder};
use crate::problem::{Problem, ProblemLimit};
use crate::progress::Progress;
use crate::source::{SourceTree, missing_mount_signs};
use crate::state::{Counter, LinkGroups, Reader, Settings, State, StateError, Subtrees};
use crate::stop::StopFlag;

pub use estimate::{Estimate, Puts, Synthetic};
pub use findings::{Concern, Finding};
pub use histogram::{SizeClass, SizeHistogram};

use estimate::{Tally, Top};
use findings::SurveyVisitor;

/// The maximum number of paths in each list.
const SHOWN: usize = 10;

/// The source of a survey, and the options of its load.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SurveyOptions {
    /// The source folder.
    pub source: PathBuf,
    /// The table of file systems, as in a load.
    pub fstab: PathBuf,
    /// As in a load.
    pub preserve_hardlinks: bool,
    /// As in a load.
    pub compression: Compression,
    /// The maximum number of threads that list directories.
    pub threads: usize,
    /// The folder for temporary files: about 150 bytes for each entry.
    pub temporary: PathBuf,
    /// Content to read, in bytes, to measure the compression; at most one segment more is read.
    pub sample_bytes: u64,
    /// Stops the survey.
    pub stop: Arc<StopFlag>,
}

impl SurveyOptions {
    /// Creates the defaults, which are those of a load.
    pub fn new(source: PathBuf) -> Self {
        SurveyOptions {
            source,
            fstab: PathBuf::from(FSTAB),
            preserve_hardlinks: false,
            compression: Compression::Lz4,
            threads: 64,
            temporary: std::env::temp_dir(),
            // 24 of the largest segments.
            sample_bytes: 192 << 20,
            stop: Arc::default(),
        }
    }
}

/// Why a survey failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
    /// The source cannot be used.
    #[error(transparent)]
    Source(#[from] Refusal),
    /// The source folder itself cannot be listed.
    #[error("the source {} cannot be listed: {why}", .path.display())]
    Unlisted {
        /// The source.
        path: PathBuf,
        /// The reason.
        why: Problem,
    },
    /// The temporary files would be in the source.
    #[error(
        "temporary files would lie in {}, which is in the source: set TMPDIR to a folder elsewhere",
        .0.display()
    )]
    TemporaryInSource(PathBuf),
    /// The temporary folder cannot be created.
    #[error("no temporary folder can be made in {}: {source}", .path.display())]
    Temporary {
        /// The folder for temporary files.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The temporary database failed.
    #[error("the temporary files cannot be used (TMPDIR names another folder for them): {0}")]
    Database(#[from] StateError),
    /// The stop flag was set.
    #[error("stopped; nothing is left behind")]
    Stopped,
    /// A bug.
    #[error("{0}: this is a bug in clfsload; please report it")]
    Internal(String),
}

/// An entry with its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Large {
    /// The path below the source, raw bytes; empty for the source itself.
    pub path: Vec<u8>,
    /// Bytes of a file; entries of a directory.
    pub size: u64,
    /// Bytes of the files directly in a directory; 0 for a file.
    pub bytes: u64,
}

/// The contents of a tree, and the cost of its load.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Survey {
    /// The source, without symlinks.
    pub source: PathBuf,
    /// As it would be loaded.
    pub preserve_hardlinks: bool,
    /// As it would be loaded.
    pub compression: Compression,
    /// Entries by type, including the source folder; each name counts.
    pub types: Vec<(FileType, u64)>,
    /// Names without known attributes.
    pub unseen: u64,
    /// Regular files as they would be loaded: with links preserved, each counts once.
    pub sizes: SizeHistogram,
    /// The largest of these files.
    pub largest_files: Vec<Large>,
    /// The directories with the most entries.
    pub largest_directories: Vec<Large>,
    /// A path with the most components, and their number; none if the source is empty.
    pub deepest: Option<(Vec<u8>, u64)>,
    /// Hard links.
    pub links: LinkGroups,
    /// Directories that could not be listed: the figures do not include them.
    pub subtrees: Subtrees,
    /// Entries that would fail or change.
    pub findings: Vec<Finding>,
    /// The cost of a load.
    pub estimate: Estimate,
    /// The duration of the scan.
    pub scanned_in: Duration,
}

impl Survey {
    /// Returns all entries, including the source folder and names without known attributes.
    pub fn entries(&self) -> u64 {
        let known: u64 = self.types.iter().map(|(_, count)| count).sum();
        known + self.unseen
    }

    /// Files and their bytes, as they would be loaded.
    pub fn files(&self) -> (u64, u64) {
        let classes = self.sizes.classes();
        classes.fold((0, 0), |(files, bytes), class| {
            (files + class.files, bytes.saturating_add(class.bytes))
        })
    }

    /// Entries that the scan found per second.
    pub fn scan_rate(&self) -> f64 {
        self.entries() as f64 / self.scanned_in.as_secs_f64().max(0.001)
    }

    /// Returns whether a load would end with failed entries.
    pub fn fails(&self) -> bool {
        self.findings.iter().any(|finding| finding.concern.fails())
    }
}

/// Surveys a tree.
///
/// # Errors
/// When the source cannot be listed, the temporary files cannot be written, or the stop flag is set.
pub fn survey(options: &SurveyOptions) -> Result<Survey, SurveyError> {
    let source = source_folder(&options.source)?;
    let folder = temporary_folder(&options.temporary, &source)?;
    let settings = Settings {
        seed: Seed::from_bytes([0x5a; 16]),
        container: "none: this is a dry run".to_owned(),
        compression: options.compression,
        // Hard links are counted even if the load would not preserve them.
        preserve_hardlinks: true,
        examines: true,
        mounts: Vec::new(),
        root: root_entry(&source)?,
        source: source.clone(),
    };
    let state = State::create(&folder.path().join("state"), &settings)?;
    let tree = SourceTree::open(&source, Box::new(state.reader()?));
    let context = Arc::new(EncodeContext {
        identity: Identity::new(settings.seed),
        compression: options.compression,
        source: tree.map_err(|errno| Refusal::Source {
            path: source.clone(),
            source: errno.into(),
        })?,
        memory: Arc::default(),
    });
    let visitor = SurveyVisitor::default();
    let began = Instant::now();
    scan(options, &state, &context.source, &visitor)?;
    let scanned_in = began.elapsed();

    let reader = state.reader()?;
    if reader.has_problem(EntryId::ROOT)? {
        let problems = reader.problems(EntryId::new(0), 1)?;
        if let Some(stored) = problems.first().filter(|stored| stored.id == EntryId::ROOT) {
            return Err(SurveyError::Unlisted {
                path: source,
                why: stored.problem,
            });
        }
    }
    let totals = reader.totals()?;
    let links = reader.link_groups(SHOWN)?;
    let tally = Tally::of(&reader, &links, options.preserve_hardlinks, &options.stop)?;
    let findings = findings::all(
        &reader,
        visitor.into_notes(),
        &links,
        (&source, &missing_mount_signs(&source, &options.fstab)),
    )?;
    let database = reader.database_size()?;
    let mut estimate = tally.estimate(
        Encoder::new(Arc::clone(&context), state.reader()?),
        &reader,
        (options.compression, options.sample_bytes),
        &options.stop,
    )?;
    estimate.database = match options.preserve_hardlinks {
        true => database.total_bytes,
        false => database.total_bytes.saturating_sub(database.links),
    };
    let deepest = match reader.last_entry()? {
        None | Some(EntryId::ROOT) => None,
        Some(last) => {
            let components = reader.components(last)?;
            Some((components.join(&b'/'), components.len() as u64))
        }
    };
    Ok(Survey {
        source,
        preserve_hardlinks: options.preserve_hardlinks,
        compression: options.compression,
        types: FileType::ALL
            .into_iter()
            .map(|kind| (kind, totals.get(Counter::Found(kind))))
            .collect(),
        unseen: reader.unknown_count()?,
        largest_files: large(&reader, &tally.largest_files)?,
        largest_directories: large(&reader, &tally.largest_directories)?,
        sizes: tally.histogram,
        deepest,
        links,
        subtrees: reader.subtrees()?,
        findings,
        estimate,
        scanned_in,
    })
}

fn temporary_folder(place: &Path, source: &Path) -> Result<tempfile::TempDir, SurveyError> {
    let failed = |error| SurveyError::Temporary {
        path: place.to_path_buf(),
        source: error,
    };
    let place = place.canonicalize().map_err(failed)?;
    if place.starts_with(source) {
        return Err(SurveyError::TemporaryInSource(place));
    }
    tempfile::Builder::new()
        .prefix("clfsload-dry-run-")
        .tempdir_in(&place)
        .map_err(failed)
}

fn scan(
    options: &SurveyOptions,
    state: &State,
    source: &SourceTree,
    visitor: &SurveyVisitor,
) -> Result<(), SurveyError> {
    let end = Scan {
        state,
        source,
        preserve_hardlinks: true,
        retry_problems: true,
        threads: options.threads,
        limit: &ProblemLimit::new(None, 0),
        stop: &options.stop,
        progress: &Progress::default(),
        monitor: &Silent,
        committed: &|| (),
        visitor: Some(visitor),
    }
    .run()?;
    match end {
        ScanEnd::Stopped => Err(SurveyError::Stopped),
        _ => Ok(()),
    }
}

fn large(reader: &Reader, top: &Top) -> Result<Vec<Large>, SurveyError> {
    top.descending()
        .map(|(size, id, bytes)| {
            let path = reader.path(id)?;
            Ok(Large { path, size, bytes })
        })
        .collect()
}
