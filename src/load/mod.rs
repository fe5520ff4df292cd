//! A load: `scan`, `encode`, `upload` and `pipeline`, which `prepare` and [`Load::run`] connect.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//!
//! use clfsload::container::ContainerLocation;
//! use clfsload::events::Silent;
//! use clfsload::load::{End, LoadOptions, Mode, prepare};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let scratch = tempfile::tempdir()?;
//! # let state = scratch.path().join("state");
//! let location = ContainerLocation::Folder { path: scratch.path().join("container") };
//! let options = LoadOptions::new(state, "fixtures/tree".into(), location);
//! let load = prepare(options, Mode::New, Arc::new(|notice| eprintln!("{notice}")))?;
//! let summary = load.run(&Silent)?;
//! assert_eq!(summary.end, End::Finished);
//! # Ok(())
//! # }
//! ```

#[doc(hidden)]
pub mod adaptive_pool;
mod bounds;
#[doc(hidden)]
pub mod encode;
mod entry_lists;
mod error;
mod finish;
mod found;
#[doc(hidden)]
pub mod pipeline;
mod prepare;
mod running;
#[doc(hidden)]
pub mod scan;
mod source;
mod summary;
#[doc(hidden)]
pub mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clfs_format::Compression;

use crate::container::azure::Timeouts;
use crate::container::limit::Limiter;
use crate::container::retry::RetryPolicy;
use crate::container::{Container, ContainerLocation, Credential};
use crate::events::{Event, Monitor};
use crate::identity::{Identity, Seed};
use crate::load::encode::EncodeContext;
use crate::load::upload::Uploader;
use crate::problem::ProblemLimit;
use crate::progress::{Progress, ProgressSampler};
use crate::source::{MissingMountSign, SourceIdentity};
use crate::state::{Settings, State};
use crate::stop::StopFlag;

use bounds::Holders;
use running::Running;

/// The table of file systems.
pub(crate) const FSTAB: &str = "/etc/fstab";

pub use error::{LoadError, Refusal};
pub use pipeline::WhenChanged;
pub use prepare::{Mode, prepare, prepare_with};
pub(crate) use prepare::{check_parents, check_places, root_entry, source_folder};
pub use summary::{End, Summary};
pub use upload::UploadLimits;

/// The options of a load.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadOptions {
    /// The state folder.
    pub state: PathBuf,
    /// The source folder.
    pub source: PathBuf,
    /// How the source is identified in this run.
    pub source_identity: SourceIdentity,
    /// The table of file systems whose mount points are checked: `/etc/fstab`.
    pub fstab: PathBuf,
    /// The container.
    pub container: ContainerLocation,
    /// The credential for the container.
    pub credential: Credential,
    /// Compression. Default: that of the transfer, or LZ4 for a new one.
    pub compression: Option<Compression>,
    /// Whether several names of one inode become one object. Default: as in the transfer, or false for a new one.
    pub preserve_hardlinks: Option<bool>,
    /// The seed of a new transfer. Default: random.
    pub seed: Option<Seed>,
    /// Maximum number of threads that list directories. Fewer are used while the source responds quickly.
    pub scan_threads: usize,
    /// Maximum number of threads that read and encode. Fewer are used while the source responds quickly.
    pub encode_threads: usize,
    /// Limits of uploads in flight.
    pub limits: UploadLimits,
    /// How failed requests are repeated.
    pub retry: RetryPolicy,
    /// Timeouts of one request.
    pub request_timeouts: Timeouts,
    /// Stops the run when it is set.
    pub stop: Arc<StopFlag>,
    /// Stop after this many failed entries. Without it there is no limit.
    pub max_problems: Option<u64>,
    /// Whether a resume retries failed entries.
    pub retry_problems: bool,
    /// Whether to finish without failed entries.
    pub skip_failed: bool,
    /// What to do with files that change while they are read.
    pub when_changed: WhenChanged,
    /// How long one call to the source may take before it is reported.
    pub source_patience: Duration,
}

impl LoadOptions {
    /// Returns the default options, without a credential, which a container in Azure needs.
    ///
    /// 64 threads list: with an NFS server that responds in a millisecond they examine 64,000 entries a
    /// second, about as many as the database can record. 64 threads read: at three calls a file that is
    /// 20,000 files a second. More threads would only take memory and descriptors.
    pub fn new(state: PathBuf, source: PathBuf, container: ContainerLocation) -> Self {
        LoadOptions {
            state,
            source,
            source_identity: SourceIdentity::default(),
            fstab: PathBuf::from(FSTAB),
            container,
            credential: Credential::None,
            compression: None,
            preserve_hardlinks: None,
            seed: None,
            scan_threads: 64,
            encode_threads: 64,
            limits: UploadLimits::default(),
            retry: RetryPolicy::default(),
            request_timeouts: Timeouts::default(),
            stop: Arc::default(),
            max_problems: Some(50),
            retry_problems: true,
            skip_failed: false,
            when_changed: WhenChanged::default(),
            source_patience: Duration::from_secs(30),
        }
    }
}

/// A transfer that is ready to run: the state is open and locked, and the container is the right one.
#[derive(Debug)]
pub struct Load {
    options: LoadOptions,
    holders: Holders,
    state: State,
    settings: Settings,
    missing_mount_signs: Vec<MissingMountSign>,
    /// The mounts below the source were recorded by this run, not by the one that started the transfer.
    has_inherited_mounts: bool,
    container: Arc<dyn Container>,
    limiter: Arc<Limiter>,
    runtime: tokio::runtime::Runtime,
    progress: Arc<Progress>,
}

impl Load {
    /// Returns the state of the transfer.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Returns the figures of the run, for a display.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Ends the threads of the runtime. Waits at most a second for calls that a file system blocks, for which a drop would
    /// wait without limit.
    ///
    /// A shutdown without any wait detaches many threads while they end, which may crash in glibc before 2.42:
    /// `pthread_detach` reads the memory of a thread that ends at the same time (glibc bug 19951).
    pub fn leave(self) {
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }

    /// Returns the runtime of the requests.
    pub fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }

    /// Returns the event of the start.
    pub fn started_event(&self, mode: Mode) -> Event<'_> {
        Event::Started {
            source: &self.settings.source,
            container: self.container.location(),
            resumed: mode == Mode::Resume,
        }
    }

    /// Warnings that the source, or a file system below it, may not be mounted.
    pub fn missing_mount_signs(&self) -> impl Iterator<Item = Event<'_>> {
        let inherited = self
            .has_inherited_mounts
            .then_some(Event::MountsNotRecorded {
                mounts: &self.settings.mounts,
            });
        let missing_mount_signs = self.missing_mount_signs.iter().map(|sign| match sign {
            MissingMountSign::Empty(path) => Event::SourceEmpty { path },
            MissingMountSign::NotMounted(path) => Event::SourceNotMounted { path },
        });
        inherited.into_iter().chain(missing_mount_signs)
    }

    /// Returns the flag that stops the run, for a signal handler's thread.
    pub fn stop(&self) -> &Arc<StopFlag> {
        &self.options.stop
    }

    /// Runs the transfer until it is finished, paused or stopped.
    ///
    /// # Errors
    /// When the state or the container fails. Failed entries are not an error but [`End::Problems`].
    pub fn run(&self, monitor: &dyn Monitor) -> Result<Summary, LoadError> {
        let started = Instant::now();
        let ran = self.run_phases(started, monitor);
        // The lists are written however the run ended.
        let listed =
            entry_lists::write_problems(&self.state).and(entry_lists::write_changed(&self.state));
        let end = ran?;
        listed?;
        Summary::read(&self.state, end, started.elapsed(), &self.progress)
    }

    fn run_phases(&self, started: Instant, monitor: &dyn Monitor) -> Result<End, LoadError> {
        let problems_before = self.state.reader()?.problem_count()?;
        if self.state.is_finished()? {
            return Ok(match problems_before {
                0 => End::WasFinished,
                _ => End::FinishedWithout,
            });
        }
        let source = source::open(&self.state, &self.settings, self.options.source_identity)?
            .with_open_directories(self.holders.directories);
        let context = Arc::new(EncodeContext {
            identity: Identity::new(self.settings.seed),
            compression: self.settings.compression,
            source,
            memory: Arc::default(),
        });
        let uploader = Arc::new(Uploader::new(
            Arc::clone(&self.container),
            self.runtime.handle().clone(),
            Arc::clone(&self.limiter),
            self.options.limits.bytes,
            Arc::clone(&self.options.stop),
            Arc::clone(&self.progress),
        ));
        let running = Running {
            load: self,
            context: &context,
            uploader: &uploader,
            limit: ProblemLimit::new(self.options.max_problems, problems_before),
            monitor,
        };
        let sampler = ProgressSampler {
            progress: &self.progress,
            state: &self.state,
            reader: self.state.reader()?,
            source: &context.source,
            limiter: &self.limiter,
            started,
        };
        std::thread::scope(|threads| {
            let (_watching, over) = std::sync::mpsc::channel();
            let (_sampling, no_more) = std::sync::mpsc::channel();
            let (running, sampler) = (&running, sampler);
            threads.spawn(move || running.watch_source(&over));
            threads.spawn(move || sampler.run(&no_more, monitor));
            running.phases()
        })
    }
}
