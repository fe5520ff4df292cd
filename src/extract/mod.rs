//! Extracts a tree from a container into a folder.
//!
//! A walk of the container ([`walk`]) starts a task for each entry, a limited number at a time; a directory
//! gets its attributes when everything in it is finished. Entries are created under temporary names and then
//! renamed, so a file under its own name is complete, and a further run keeps it. The container is untrusted:
//! [`folder`] keeps every call below the destination.
//!
//! The library prints nothing: an [`Observer`] receives the problems, and [`Counters`] show the progress.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//!
//! use clfsload::extract::{ExtractOptions, Observer, Problem, extract};
//! use clfsload::read::{OpenOptions, Reader};
//! # use clfsload::container::ContainerLocation;
//! # use clfsload::events::Silent;
//! # use clfsload::load::{LoadOptions, Mode, prepare};
//!
//! struct Lines;
//!
//! impl Observer for Lines {
//!     fn problem(&self, problem: &Problem) {
//!         eprintln!("{problem}");
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let scratch = tempfile::tempdir()?;
//! # let location = ContainerLocation::Folder { path: scratch.path().join("container") };
//! # let options = LoadOptions::new(scratch.path().join("state"), "fixtures/tree".into(), location.clone());
//! # prepare(options, Mode::New, Arc::new(|_| ()))?.run(&Silent)?;
//! # let runtime = tokio::runtime::Runtime::new()?;
//! # runtime.block_on(async {
//! let reader = Reader::open(&location, &OpenOptions::default(), Arc::new(|_| ())).await?;
//! let destination = scratch.path().join("tree");
//! let options = ExtractOptions::new(destination, location.identity());
//! let outcome = extract(
//!     &Arc::new(reader),
//!     &options,
//!     Arc::default(),
//!     Arc::default(),
//!     Arc::new(Lines),
//! )
//! .await;
//! outcome.end?;
//! assert_eq!(outcome.summary.problems, 0);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })
//! # }
//! ```

mod attributes;
mod content;
mod entry;
mod folder;
mod limits;
mod links;
mod problem;
mod record;
mod run;
mod temporary;
mod tree;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustix::process::geteuid;
use tokio::runtime::Handle;

use crate::read::{Entity, Pattern, Reader, TreePath};
use crate::stop::StopFlag;

pub use attributes::Owners;
pub use limits::{Limit, inherits_acl};
pub use problem::{Action, ExtractError, LocalError, Problem, Reason};
pub use record::RecordError;

use links::Links;
use record::ExtractionRecord;
use run::Run;
use tree::{Tree, WritePolicy};
use walk::Walker;

/// What to extract, where to, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExtractOptions {
    /// The folder to extract into. It is created if it is missing, but not its parents.
    pub destination: PathBuf,
    /// The identity of the container, for the record.
    pub container: String,
    /// The paths to extract, with everything below; each keeps its full path. Empty: everything.
    pub paths: Vec<TreePath>,
    /// Entries to skip, with everything below them.
    pub exclude: Vec<Pattern>,
    /// Whether entries get the owners that they have in the container.
    pub owners: Owners,
    /// Whether the content of existing files is compared, and not only size and time.
    pub checksum: bool,
    /// Whether to count only, and change nothing.
    pub dry_run: bool,
    /// Whether the readable parts of damaged files are written under another name.
    pub keep_damaged: bool,
    /// The file in which runs record what they wrote; it is created if it is missing. None: the next run
    /// downloads every inode again.
    pub record: Option<PathBuf>,
    /// The folder for temporary databases; the system's by default.
    pub temporary: Option<PathBuf>,
}

impl ExtractOptions {
    /// Extracts everything; sets owners if the user is the superuser.
    pub fn new(destination: PathBuf, container: String) -> Self {
        Self {
            destination,
            container,
            paths: Vec::new(),
            exclude: Vec::new(),
            owners: match geteuid().is_root() {
                true => Owners::Same,
                false => Owners::Mine,
            },
            checksum: false,
            dry_run: false,
            keep_damaged: false,
            record: None,
            temporary: None,
        }
    }

    fn is_everything(&self) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|path| path.depth() == 0)
    }
}

/// Receives events. Calls come from several threads.
pub trait Observer: Send + Sync {
    /// Reports that an entry was skipped, or lacks an attribute.
    fn problem(&self, problem: &Problem);

    /// Reports that the machine was restarted after a run that had not flushed everything to the disk: the content of
    /// existing files is compared.
    fn content_in_doubt(&self) {}

    /// Reports that the destination cannot store everything.
    fn limited(&self, _limits: &[Limit]) {}

    /// Reports that more file systems are mounted below the destination than are flushed: on some of them, files
    /// may not be on the disk yet.
    fn not_synced(&self) {}
}

macro_rules! counters {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// Work that is completed so far. In a dry run: the work that a run would do.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$meta])* pub(super) $name: AtomicU64,)*
        }

        /// The work of one run. In a dry run: the work that a run would do.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Summary {
            $($(#[$meta])* pub $name: u64,)*
        }

        impl Counters {
            /// Returns the current figures.
            pub fn summary(&self) -> Summary {
                Summary { $($name: self.$name.load(Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Regular files that were written.
    files,
    /// Bytes of files' content that were downloaded, to be written or compared. In a dry run, unless content
    /// is compared, the bytes to download.
    content_bytes,
    /// Directories that are finished: every entry was tried, and they have their attributes.
    directories,
    /// Symlinks that were created.
    symlinks,
    /// Fifos, sockets and devices that were created.
    specials,
    /// Further names of files that were created as hard links.
    links,
    /// Further names of files that could not be linked and were written as separate files.
    copies,
    /// Entries that were complete before, further names among them.
    up_to_date,
    /// Up-to-date entries whose permissions or times were corrected.
    corrected,
    /// Up-to-date entries that were compared with the container, because the record did not show that they
    /// were written from its current blobs.
    compared,
    /// Entries that were excluded. Entries below an excluded directory are not counted.
    excluded,
    /// Problems: entries, or parts of directories, that were skipped and reported.
    problems,
    /// Directories that could not be read; nothing below them was extracted. Each is a problem too.
    directories_unread,
    /// Directories of which a part could not be read; its entries were not extracted.
    directories_unread_in_part,
    /// Damaged files whose readable parts were written under another name. Each is a problem too.
    kept_damaged,
    /// Inodes that break a rule of the format but could be read.
    deviating,
    /// Incomplete files of killed runs that were removed.
    leftovers_removed,
    /// Inodes of entries other than directories that were downloaded.
    inodes_downloaded,
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Relaxed);
}

/// The result of an extraction.
#[derive(Debug)]
pub struct Outcome {
    /// The completed work, also of a run that ended early.
    pub summary: Summary,
    /// Why the run ended early. Skipped entries are not a reason.
    pub end: Result<(), ExtractError>,
}

/// Extracts as `options` say. Must be called on a tokio runtime with several threads and at least 144 blocking
/// threads (tokio's default is 512): each of up to 64 entries in progress holds one, and folder containers need
/// further ones for reads.
///
/// `counters` may be read meanwhile. To end early, set `stop`: requests in flight are abandoned, incomplete
/// files removed, and the outcome is [`ExtractError::Stopped`]. Dropping the future does not stop the work,
/// which runs on threads that may block.
pub async fn extract(
    reader: &Arc<Reader>,
    options: &ExtractOptions,
    stop: Arc<StopFlag>,
    counters: Arc<Counters>,
    observer: Arc<dyn Observer>,
) -> Outcome {
    // Before the destination is created: the folder or URL may not be a container.
    let root = tokio::select! {
        root = reader.root() => root.map_err(ExtractError::of_reading),
        () = stop.requested(Duration::ZERO) => Err(ExtractError::Stopped),
    };
    let end = match root {
        Err(error) => Err(error),
        Ok(root) => {
            let (reader, options) = (Arc::clone(reader), options.clone());
            let (runtime, counters) = (Handle::current(), Arc::clone(&counters));
            let work = move || {
                let prepared =
                    Prepared::new(reader, &options, &root, runtime, stop, counters, observer)?;
                prepared.run(&options, root)
            };
            let done = tokio::task::spawn_blocking(work).await;
            done.unwrap_or(Err(ExtractError::Thread))
        }
    };
    Outcome {
        summary: counters.summary(),
        end,
    }
}

struct Prepared {
    run: Run,
    /// Whether the destination gets the root's attributes.
    owns_destination: bool,
    /// Whether files of an earlier run may have lost their content.
    in_doubt: bool,
}

impl Prepared {
    fn new(
        reader: Arc<Reader>,
        options: &ExtractOptions,
        root: &Entity,
        runtime: Handle,
        stop: Arc<StopFlag>,
        counters: Arc<Counters>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, ExtractError> {
        let policy = WritePolicy {
            dry_run: options.dry_run,
            owners: options.owners,
            permissions: true,
        };
        let (mut tree, fresh) = Tree::open(options.destination.clone(), policy)?;
        let temporary = options.temporary.clone();
        let temporary = temporary.unwrap_or_else(std::env::temp_dir);
        let record = match &options.record {
            Some(path) => ExtractionRecord::open(path, &options.container)?,
            None => ExtractionRecord::temporary(&temporary, &options.container)?,
        };
        let real_path = real_path(&options.destination);
        let real_path = real_path.as_os_str().as_encoded_bytes().escape_ascii();
        record.bind(&real_path.to_string(), tree.id()?)?;
        let owns_destination =
            record.owns_destination(fresh, options.dry_run)? && options.is_everything();
        tree.remove_leftovers_of(record.unfinished()?);
        let mut in_doubt = false;
        if !options.dry_run {
            in_doubt = record.begin(&boot_id(), record.was_empty() && !fresh, tree.token())?;
            if in_doubt {
                observer.content_in_doubt();
            }
            let sets_owners = options.owners == Owners::Same && geteuid().is_root();
            let root = (root.attributes.uid, root.attributes.gid);
            let probed = tree.probe(sets_owners.then(|| limits::another_owner(root)));
            if probed.is_err() {
                record.forget_token(tree.token())?;
            }
            probed?;
            if !tree.limits().all().is_empty() {
                observer.limited(tree.limits().all());
            }
        }
        let run = Run {
            reader,
            tree,
            record,
            links: Links::create(&temporary)?,
            checksum: options.checksum || in_doubt,
            keep_damaged: options.keep_damaged,
            superuser: geteuid().is_root(),
            counters,
            observer,
            stop,
            runtime,
            inode_locks: run::InodeLocks::default(),
            budget: run::Budget::new(),
            end: std::sync::Mutex::default(),
        };
        Ok(Self {
            run,
            owns_destination,
            in_doubt,
        })
    }

    fn run(self, options: &ExtractOptions, root: Entity) -> Result<(), ExtractError> {
        let run = Arc::new(self.run);
        let mut walker = Walker::new(&run, options, self.owns_destination);
        let walked = walker.run(options, root);
        walker.join();
        let end = run.end(walked);
        let complete = end.is_ok();
        let synced = if options.dry_run {
            run.record.flush()
        } else {
            let saw_everything = complete
                && options.is_everything()
                && options.exclude.is_empty()
                && run.counters.summary().problems == 0;
            // After a crash of the machine, only a complete run has compared everything.
            finish(&run, saw_everything, complete || !self.in_doubt)
        };
        end.and(synced)
    }
}

/// Flushes the destination to the disk, and the record after it. `may_clear`: whether the record may forget
/// that files were not flushed.
fn finish(run: &Run, saw_everything: bool, may_clear: bool) -> Result<(), ExtractError> {
    for token in run.tree.tokens_without_leftovers(saw_everything) {
        run.record.forget_token(token)?;
    }
    let all_synced = run.tree.sync()?;
    if !all_synced {
        run.observer.not_synced();
    }
    match all_synced && may_clear {
        true => run.record.mark_synced(),
        false => run.record.flush(),
    }
}

/// Returns the id of this boot of the machine (proc(5)); a constant where the system has none.
fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Returns the canonical path of a folder that may be missing; it identifies the destination.
pub(crate) fn real_path(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let parent = absolute.parent().and_then(|path| path.canonicalize().ok());
        match (parent, absolute.file_name()) {
            (Some(parent), Some(name)) => parent.join(name),
            _ => absolute,
        }
    })
}
