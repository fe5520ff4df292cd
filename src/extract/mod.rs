//! Brings a tree out of a container into a folder.
//!
//! A walk of the container feeds a bounded number of entries that are worked on side by side; a
//! directory gets its attributes when everything in it is done. Every entry is made under a temporary
//! name and then put in its place, so what stands under its own name is whole, and a further run passes
//! it over. Nothing in a container is believed: see [`folder`] for what keeps it below the destination.
//!
//! The library prints nothing: an [`Observer`] hears of problems, [`Counters`] tell how far it is.

mod budget;
mod claims;
mod component;
mod content;
mod disks;
mod entry;
mod folder;
mod inherited;
mod limits;
mod linking;
mod making;
mod one_name;
mod opening;
mod place;
mod problem;
mod record;
mod record_error;
mod remains;
mod run;
mod scratch;
mod summary;
mod temporary;
mod tree;
mod walking;
mod wanted;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::geteuid;

use crate::read::{Entity, Pattern, Reader, TreePath};
use crate::stop::StopFlag;

pub use inherited::inherits_acl;
pub use limits::Limit;
pub(crate) use place::real_path;
pub use problem::{Action, ExtractError, LocalError, Problem, Reason};
pub use record_error::RecordError;
pub use summary::{Counters, Summary};
pub use wanted::Owners;

use record::Record;
use run::Run;
use scratch::Scratch;
use tree::{Making, Tree};

/// Where what is known of inodes is kept between runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordPlace {
    /// In this file, which is made when it is missing.
    File(PathBuf),
    /// Nowhere: the next run fetches every inode again.
    Nowhere,
}

/// What is brought out, where to, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExtractOptions {
    /// The folder that everything goes into. It is made when it is missing.
    pub destination: PathBuf,
    /// What tells the container from others, for the record.
    pub container: String,
    /// What is brought out, with everything below; each keeps its whole path. None: everything.
    pub paths: Vec<TreePath>,
    /// Entries that are left out, with everything below them.
    pub exclude: Vec<Pattern>,
    /// Whether entries get the owners that they have in the container.
    pub owners: Owners,
    /// Whether the content of what is there is compared, not only its size and time.
    pub checksum: bool,
    /// Whether nothing is changed, only counted.
    pub dry_run: bool,
    /// Whether what can be read of damaged files is written under another name.
    pub keep_damaged: bool,
    /// Where what is known of inodes is kept.
    pub record: RecordPlace,
    /// Folder for temporary databases; the system's by default.
    pub temporary: Option<PathBuf>,
}

impl ExtractOptions {
    /// Brings out everything; the superuser sets owners.
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
            record: RecordPlace::Nowhere,
            temporary: None,
        }
    }

    fn is_everything(&self) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|path| path.depth() == 0)
    }
}

/// Hears of what happens. Calls come from several threads.
pub trait Observer: Send + Sync {
    /// Something was left out.
    fn problem(&self, problem: &Problem);

    /// The machine was started anew after a run that had not stored everything: what is there is
    /// compared by content.
    fn content_in_doubt(&self) {}

    /// The destination does not hold everything.
    fn limited(&self, _limits: &[Limit]) {}

    /// More file systems lie below the destination than can be waited for: what was written to some
    /// of them may not be on the disk yet.
    fn not_stored(&self) {}
}

/// How an extraction ended.
#[derive(Debug)]
pub struct Outcome {
    /// What was done, also when it ended early.
    pub summary: Summary,
    /// Why it ended early. What was left out is no reason.
    pub end: Result<(), ExtractError>,
}

/// Extracts what `options` say. Must run on a tokio runtime of several threads.
///
/// `counters` may be read meanwhile. When `stop` is set, what is under way is given up, its
/// temporary files are removed, and the outcome is [`ExtractError::Stopped`].
pub async fn extract(
    reader: &Arc<Reader>,
    options: &ExtractOptions,
    stop: Arc<StopFlag>,
    counters: Arc<Counters>,
    observer: Arc<dyn Observer>,
) -> Outcome {
    let root = tokio::select! {
        root = reader.root() => root.map_err(ExtractError::of_reading),
        () = stop.requested(Duration::ZERO) => Err(ExtractError::Stopped),
    };
    // What is no container makes no destination.
    let prepared = root.and_then(|root| {
        let prepared = prepare(
            reader,
            options,
            &root,
            stop,
            Arc::clone(&counters),
            observer,
        );
        Ok((prepared?, root))
    });
    let end = match prepared {
        Ok((prepared, root)) => prepared.run(options, root).await,
        Err(error) => Err(error),
    };
    Outcome {
        summary: counters.summary(),
        end,
    }
}

struct Prepared {
    run: Run,
    /// The destination gets the root's attributes.
    destination_is_ours: bool,
    /// What an earlier run wrote may be lost.
    in_doubt: bool,
}

fn prepare(
    reader: &Arc<Reader>,
    options: &ExtractOptions,
    root: &Entity,
    stop: Arc<StopFlag>,
    counters: Arc<Counters>,
    observer: Arc<dyn Observer>,
) -> Result<Prepared, ExtractError> {
    let making = Making {
        dry_run: options.dry_run,
        owners: options.owners,
        permissions: true,
    };
    let (mut tree, fresh) = Tree::open(options.destination.clone(), making)?;
    let temporary = options.temporary.clone();
    let temporary = temporary.unwrap_or_else(std::env::temp_dir);
    let record = match &options.record {
        RecordPlace::File(path) => Record::open(path, &options.container)?,
        RecordPlace::Nowhere => Record::temporary(&temporary, &options.container)?,
    };
    record.bind(&place::real_path_text(&options.destination), tree.id()?)?;
    let destination_is_ours =
        record.destination_is_ours(fresh, options.dry_run)? && options.is_everything();
    tree.sweep_for(record.unfinished()?);
    let in_doubt = match options.dry_run {
        true => false,
        false => record.begin(&boot(), record.was_empty() && !fresh, tree.token())?,
    };
    if in_doubt {
        observer.content_in_doubt();
    }
    if !options.dry_run {
        let gives = options.owners == Owners::Same && geteuid().is_root();
        let root = (root.attributes.uid, root.attributes.gid);
        let tried = tree.try_out(gives.then(|| limits::another_owner(root)));
        if tried.is_err() {
            record.left_nothing(tree.token())?;
        }
        tried?;
        if !tree.limits().all().is_empty() {
            observer.limited(tree.limits().all());
        }
    }
    let run = Run::new(run::Parts {
        reader: Arc::clone(reader),
        tree,
        record,
        scratch: Scratch::create(&temporary)?,
        checksum: options.checksum || in_doubt,
        keep_damaged: options.keep_damaged,
        superuser: geteuid().is_root(),
        counters,
        observer,
        stop,
    });
    Ok(Prepared {
        run,
        destination_is_ours,
        in_doubt,
    })
}

impl Prepared {
    async fn run(self, options: &ExtractOptions, root: Entity) -> Result<(), ExtractError> {
        let run = Arc::new(self.run);
        let mut walking = walking::Walking::new(&run, options, self.destination_is_ours);
        let walked = walking.run(options, root).await;
        walking.join().await;
        let end = run.end(walked);
        let all_done = end.is_ok();
        let dry_run = options.dry_run;
        let saw_all = all_done
            && options.is_everything()
            && options.exclude.is_empty()
            && run.counters.summary().problems == 0;
        let stored = run::blocking(move || {
            if dry_run {
                return run.record.flush();
            }
            for token in run.tree.tokens_of_nothing(saw_all) {
                run.record.left_nothing(token)?;
            }
            let all_stored = run.tree.store()?;
            if !all_stored {
                run.observer.not_stored();
            }
            // After a crash of the machine only a run to the end has looked at everything.
            match all_stored && (all_done || !self.in_doubt) {
                true => run.record.stored(),
                false => run.record.flush(),
            }
        });
        let stored = stored.await.and_then(|stored| stored);
        end.and(stored)
    }
}

/// What tells this start of the machine from others (proc(5)); always the same where that is not told.
fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map(|id| id.trim().to_owned()).unwrap_or_default()
}
