//! A survey of a source before it is loaded: what is in it, what in it would fail, and what the load
//! would take. Nothing is written but temporary files, and no container is asked.
//!
//! The tree is scanned by the scan of a load into a state of its own in a temporary folder: so what
//! fails there fails here, hard links are found in bounded memory, and the size of the database is
//! seen. A pass over its rows then counts; a sample of the content is read and encoded.

mod directories;
mod estimate;
mod finding;
mod histogram;
mod measure;
mod objects;
mod result;
mod sample;
mod synthetic;
mod tally;
mod witness;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clfs_format::{Compression, FileType, FormatError};

use crate::encode::{EncodeContext, Encoder};
use crate::entry::EntryId;
use crate::identity::{Identity, Seed};
use crate::load::{FSTAB, Refusal, root_entry, source_folder};
use crate::monitor::Silent;
use crate::problem::ProblemLimit;
use crate::progress::Progress;
use crate::scan::{Scan, ScanEnd};
use crate::source::{SourceTree, doubts};
use crate::state::{Counter, Reader, Settings, State, StateError};
use crate::stop::StopFlag;

pub use estimate::{Estimate, Puts, gigabits};
pub use finding::{Concern, Finding};
pub use histogram::{SizeClass, SizeHistogram};
pub use result::{Large, Survey};
pub use synthetic::{Synthetic, synthetic};

use measure::{Measure, Measured};
use tally::Tally;
use witness::{Eyes, Seeing};

/// Paths that are shown of each kind.
const SHOWN: usize = 10;
/// What is drawn is the same each time.
const SEED: u64 = 0x434c_4653;

/// What is surveyed, and how it would be loaded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SurveyOptions {
    /// The source folder.
    pub source: PathBuf,
    /// As in a load.
    pub fstab: PathBuf,
    /// As in a load.
    pub preserve_hardlinks: bool,
    /// As in a load.
    pub compression: Compression,
    /// The most threads that list directories; there are fewer while the source answers quickly.
    pub threads: usize,
    /// Where temporary files may lie: about 150 bytes for each entry.
    pub temporary: PathBuf,
    /// Segments of files are read until it is so many bytes, to see how they compress.
    pub sample_bytes: u64,
    /// Asks the survey to stop.
    pub stop: Arc<StopFlag>,
}

impl SurveyOptions {
    /// The defaults, which are those of a load.
    pub fn new(source: PathBuf) -> Self {
        SurveyOptions {
            source,
            fstab: PathBuf::from(FSTAB),
            preserve_hardlinks: false,
            compression: Compression::Lz4,
            threads: 64,
            temporary: std::env::temp_dir(),
            // 24 of the largest.
            sample_bytes: 192 << 20,
            stop: Arc::default(),
        }
    }
}

/// Why a survey did not reach its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
    /// The source cannot be used.
    #[error(transparent)]
    Source(#[from] Refusal),
    /// The source's folder itself cannot be listed.
    #[error("the source {} cannot be listed: {why}", .path.display())]
    Unlisted {
        /// The source.
        path: PathBuf,
        /// Why.
        why: crate::problem::Problem,
    },
    /// The temporary files lie in the source.
    #[error(
        "temporary files would lie in {}, which is in the source: set TMPDIR to a folder elsewhere",
        .0.display()
    )]
    TemporaryInSource(PathBuf),
    /// There is no place for temporary files.
    #[error("no temporary folder can be made in {}: {source}", .path.display())]
    Temporary {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The temporary database.
    #[error("the temporary files cannot be used (TMPDIR names another folder for them): {0}")]
    Database(#[from] StateError),
    /// It was asked to stop.
    #[error("stopped; nothing is left behind")]
    Stopped,
    /// What cannot be.
    #[error("{0}: this is a fault of clfsload; please report it")]
    Internal(String),
}

impl From<FormatError> for SurveyError {
    fn from(error: FormatError) -> Self {
        SurveyError::Internal(error.to_string())
    }
}

/// Surveys a tree.
///
/// # Errors
/// When the source cannot be listed, there is no room for temporary files, or it was asked to stop.
pub fn survey(options: &SurveyOptions) -> Result<Survey, SurveyError> {
    let source = source_folder(&options.source)?;
    let folder = temporary_folder(&options.temporary, &source)?;
    let temporary = folder.path().join("state");
    let settings = Settings {
        seed: Seed::from_bytes([0x5a; 16]),
        container: "none: this is a dry run".to_owned(),
        compression: options.compression,
        // Groups of hard links are of interest however they would be loaded.
        preserve_hardlinks: true,
        examines: true,
        mounts: Vec::new(),
        root: root_entry(&source)?,
        source,
    };
    let state = State::create(&temporary, &settings)?;
    let looked = Looked::scan(options, &state, &settings)?;
    looked.report(options, &state, &settings)
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

/// A tree that was scanned.
struct Looked {
    context: Arc<EncodeContext>,
    seeing: Seeing,
    took: Duration,
}

impl Looked {
    fn scan(
        options: &SurveyOptions,
        state: &State,
        settings: &Settings,
    ) -> Result<Self, SurveyError> {
        let source =
            SourceTree::open(&settings.source, Box::new(state.reader()?)).map_err(|errno| {
                Refusal::Source {
                    path: settings.source.clone(),
                    source: errno.into(),
                }
            })?;
        let context = EncodeContext {
            identity: Identity::new(settings.seed),
            compression: options.compression,
            source,
            memory: Arc::default(),
        };
        let eyes = Eyes::default();
        let began = Instant::now();
        let end = Scan {
            state,
            source: &context.source,
            preserve_hardlinks: true,
            retry_problems: true,
            threads: options.threads,
            limit: &ProblemLimit::new(None, 0),
            stop: &options.stop,
            progress: &Progress::default(),
            monitor: &Silent,
            committed: &|| (),
            visitor: Some(&eyes),
        }
        .run()?;
        if end == ScanEnd::Stopped {
            return Err(SurveyError::Stopped);
        }
        let reader = state.reader()?;
        if reader.has_problem(EntryId::ROOT)? {
            let problems = reader.problems(EntryId::new(0), 1)?;
            if let Some(stored) = problems.first().filter(|stored| stored.id == EntryId::ROOT) {
                return Err(SurveyError::Unlisted {
                    path: settings.source.clone(),
                    why: stored.problem,
                });
            }
        }
        Ok(Looked {
            context: Arc::new(context),
            seeing: eyes.into_seeing(),
            took: began.elapsed(),
        })
    }

    /// Counts and measures.
    fn report(
        self,
        options: &SurveyOptions,
        state: &State,
        settings: &Settings,
    ) -> Result<Survey, SurveyError> {
        let reader = state.reader()?;
        let totals = reader.totals()?;
        let links = reader.link_groups(SHOWN)?;
        let mut tally = Tally::new(
            &self.context,
            options.preserve_hardlinks,
            options.sample_bytes,
        );
        tally.run(&reader, &options.stop)?;
        let large = |top: tally::Top| -> Result<Vec<Large>, SurveyError> {
            top.descending()
                .map(|(size, id, bytes)| {
                    let path = path(&reader, id)?;
                    Ok(Large { path, size, bytes })
                })
                .collect()
        };
        let largest_files = large(std::mem::take(&mut tally.largest_files))?;
        let largest_directories = large(std::mem::take(&mut tally.largest_directories))?;
        let sizes = std::mem::take(&mut tally.histogram);
        let deepest = match reader.last_entry()? {
            None | Some(EntryId::ROOT) => None,
            Some(last) => {
                let components = reader.path(last)?;
                Some((components.join(&b'/'), components.len() as u64))
            }
        };
        let findings = finding::all(
            &reader,
            self.seeing,
            &links,
            (&settings.source, &doubts(&settings.source, &options.fstab)),
        )?;
        let size = reader.database_size()?;
        let measure = Measure::new(
            Arc::clone(&self.context),
            Encoder::new(Arc::clone(&self.context), state.reader()?),
            &reader,
            &options.stop,
        );
        let mut estimate = estimated(&self.context, tally, measure, options.sample_bytes)?;
        estimate.database = match options.preserve_hardlinks {
            true => size.whole,
            false => size.whole.saturating_sub(size.links),
        };
        Ok(Survey {
            source: settings.source.clone(),
            preserve_hardlinks: options.preserve_hardlinks,
            compression: options.compression,
            types: FileType::ALL
                .into_iter()
                .map(|kind| (kind, totals.get(Counter::Found(kind))))
                .collect(),
            unseen: reader.unknown_count()?,
            sizes,
            largest_files,
            largest_directories,
            deepest,
            links,
            subtrees: reader.subtrees()?,
            findings,
            estimate,
            scanned_in: self.took,
        })
    }
}

fn path(reader: &Reader, id: EntryId) -> Result<Vec<u8>, SurveyError> {
    Ok(reader.path(id)?.join(&b'/'))
}

/// Puts and bytes of what was counted.
fn estimated(
    context: &EncodeContext,
    tally: Tally,
    mut measure: Measure<'_>,
    sample_bytes: u64,
) -> Result<Estimate, SurveyError> {
    let directories = tally.directories.totals;
    let puts = Puts {
        inodes: tally.inodes,
        directories: directories.inodes,
        file_segments: tally.file_segments,
        directory_segments: directories.segments,
        indirect_blocks: tally.indirect.saturating_add(directories.indirect),
        bucket: 1,
        log: 1,
    };
    let fixed = directories
        .bytes
        .saturating_add(tally.back_bytes)
        .saturating_add(measure.bucket()?);
    let uncompressed = [
        tally.small.total(),
        tally.large.total(),
        tally.others.total(),
        tally.segment_bytes,
    ];
    let measured = match context.compression {
        Compression::Disabled => Vec::new(),
        Compression::Lz4 => vec![
            measure.small_files(tally.small)?,
            measure.large_inodes(tally.large)?,
            measure.others(tally.others)?,
            measure.segments(tally.segments, sample_bytes)?,
        ],
    };
    let whole = uncompressed
        .into_iter()
        .fold(directories.plain, u64::saturating_add);
    let bytes = match context.compression {
        Compression::Disabled => uncompressed.into_iter().fold(fixed, u64::saturating_add),
        Compression::Lz4 => {
            let sum: f64 = measured.iter().map(|measured| measured.bytes).sum();
            fixed.saturating_add(sum.round() as u64)
        }
    };
    let variance: f64 = measured
        .iter()
        .map(|measured: &Measured| measured.variance)
        .sum();
    Ok(Estimate {
        puts,
        bytes,
        // 1.96 standard errors to each side.
        margin: (1.96 * variance.sqrt()).round() as u64,
        uncompressed: whole.saturating_add(tally.back_bytes),
        bytes_sampled: measure.read,
        database: 0,
    })
}
