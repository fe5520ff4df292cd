//! `clfsload extract`: words into options, problems into lines, the end into an exit status.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::command::{ContainerWords, Session};
use super::output::amount::size;
use super::terminal::{err, out};
use super::{Failure, Status};
use crate::container::location::ContainerLocation;
use crate::extract::{
    Counters, ExtractError, ExtractOptions, Limit, Observer, Outcome, Owners, Problem, RecordError,
    RecordPlace, Summary, extract, inherits_acl, real_path,
};
use crate::monitor::Escaped;
use crate::read::{Pattern, TreePath, unread_directories};

/// Problems that are printed one by one.
const PRINTED_PROBLEMS: u64 = 50;
/// How often a line of figures is printed.
const FIGURES_EVERY: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  clfsload extract /mnt/disk/mycontainer /restored
  clfsload extract https://ACCOUNT.blob.core.windows.net/CONTAINER home/ann --exclude '*.tmp' /restored
  clfsload extract CONTAINER /restored --checksum --problems left-out.txt

What ended early goes on when the same command is run again.
Exit status: 0 all is out; 1 failed or stopped; 3 something was left out, and listed.";

/// Brings a tree, or parts of it, out of a container into a folder
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "clfsload extract [OPTIONS] CONTAINER [PATH]... DEST",
    after_help = EXAMPLES
)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: ContainerWords,
    /// Paths in the container (none: everything), and last the folder to bring them into; below it
    /// each keeps its whole path
    #[arg(value_name = "[PATH]... DEST", num_args = 1.., required = true)]
    words: Vec<OsString>,
    /// Leave out what matches, with everything below it; may be given several times. Without a "/"
    /// the last component of a path is compared, with one the whole path from the container's root
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<Pattern>,
    /// Give everything the owner that it has in the container (for the superuser this is so anyway)
    #[arg(long, conflicts_with = "no_same_owner")]
    same_owner: bool,
    /// Let everything belong to who runs this; set-user-ID and set-group-ID are then left out
    #[arg(long)]
    no_same_owner: bool,
    /// Compare the content of what is there with the container's, instead of size and time
    #[arg(long)]
    checksum: bool,
    /// Of damaged files write what can be read, as NAME.damaged (a new file in each run), with holes for the rest
    #[arg(long)]
    keep_damaged: bool,
    /// Change nothing; count what would be done
    #[arg(long)]
    dry_run: bool,
    /// Write a line for every problem into this file
    #[arg(long, value_name = "FILE")]
    problems: Option<PathBuf>,
    /// Where to keep what is known of the container's inodes, so that running this again asks for
    /// little [default: a file in ~/.cache/clfsload]
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let (destination, paths) = arguments.words()?;
    let problems = match &arguments.problems {
        Some(path) => Some(File::create(path).map_err(|error| Failure {
            message: format!("{}: {error}", path.display()),
            status: Status::Failed,
        })?),
        None => None,
    };
    // For single paths, asking for each name is cheaper than listing all.
    let session = arguments.place.open(paths.is_empty())?;
    let apart = is_apart(&session.location, &destination);
    if !apart {
        return Err(Failure::usage(format!(
            "{}: it lies in the container's own folder: give another destination",
            destination.display()
        )));
    }
    if inherits_acl(&destination) {
        err(&format!(
            "warning: {} has a default ACL, or the folder that it is made in has: what is extracted inherits it, and \
             users and groups that it names may get access. To extract the permissions of the container only, \
             remove it (setfacl -k) and extract into an empty folder",
            Escaped(destination.as_os_str().as_bytes())
        ));
    }
    let options = arguments.options(&session, destination, paths);
    tell_of_stop(&session);
    let reporter = Arc::new(Reporter::new(problems));
    let counters = Arc::new(Counters::default());
    let figures = print_figures(&session, &counters);
    let outcome = session.runtime.block_on(extract(
        &session.reader,
        &options,
        Arc::clone(&session.stop),
        counters,
        Arc::clone(&reporter) as Arc<dyn Observer>,
    ));
    figures.abort();
    let listed = reporter.finish(&outcome.summary, arguments.problems.as_deref());
    // Nothing is told of a run that did not come to do anything.
    if outcome.end.is_ok() || outcome.summary != Summary::default() {
        for line in summary_lines(&outcome.summary, options.dry_run) {
            out(&line);
        }
    }
    // How it ended is told before a list that is not whole.
    match (status(outcome), listed) {
        (ended, Ok(())) => ended,
        (Ok(_), Err(list)) => Err(list),
        (Err(mut end), Err(list)) => {
            end.message = format!("{}\n{}", end.message, list.message);
            Err(end)
        }
    }
}

impl Arguments {
    fn words(&self) -> Result<(PathBuf, Vec<TreePath>), Failure> {
        let Some((destination, paths)) = self.words.split_last() else {
            return Err(Failure::usage("no destination was given"));
        };
        let paths = paths.iter().map(|path| TreePath::parse(path.as_bytes()));
        Ok((PathBuf::from(destination), paths.collect()))
    }

    fn options(
        &self,
        session: &Session,
        destination: PathBuf,
        paths: Vec<TreePath>,
    ) -> ExtractOptions {
        let container = session.location.identity();
        let record = match &self.record {
            Some(file) => RecordPlace::File(file.clone()),
            None => default_record(&container, &destination),
        };
        let mut options = ExtractOptions::new(destination, container);
        options.paths = paths;
        options.exclude.clone_from(&self.exclude);
        match (self.same_owner, self.no_same_owner) {
            (true, _) => options.owners = Owners::Same,
            (_, true) => options.owners = Owners::Mine,
            _ => {}
        }
        options.checksum = self.checksum;
        options.keep_damaged = self.keep_damaged;
        options.dry_run = self.dry_run;
        options.record = record;
        options
    }
}

/// Whether the destination lies outside of a container that is a folder.
fn is_apart(location: &ContainerLocation, destination: &Path) -> bool {
    let ContainerLocation::Folder { path } = location else {
        return true;
    };
    match path.canonicalize() {
        Ok(container) => !real_path(destination).starts_with(container),
        Err(_) => true,
    }
}

/// A file of its own for each container and destination in the user's folder for caches (XDG Base
/// Directory Specification).
fn default_record(container: &str, destination: &Path) -> RecordPlace {
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let made = match cache {
        None => Err("HOME is not set".to_owned()),
        Some(cache) => {
            let folder = cache.join("clfsload");
            match std::fs::create_dir_all(&folder) {
                Ok(()) => Ok(folder),
                Err(error) => Err(format!("{}: {error}", folder.display())),
            }
        }
    };
    match made {
        Ok(folder) => {
            let mut hash = Sha256::new();
            hash.update(container.as_bytes());
            hash.update([0]);
            hash.update(real_path(destination).as_os_str().as_bytes());
            let name: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
            RecordPlace::File(folder.join(format!("extract-{name}.sqlite")))
        }
        Err(why) => {
            err(&format!(
                "clfsload: no record is kept ({why}): running this again fetches every inode anew; \
                 --record FILE keeps one"
            ));
            RecordPlace::Nowhere
        }
    }
}

/// Says that the wish to stop was heard: ending takes a moment.
fn tell_of_stop(session: &Session) {
    let stop = Arc::clone(&session.stop);
    session.runtime.spawn(async move {
        stop.requested(Duration::ZERO).await;
        err("clfsload: stopping: what is half written is removed; once more stops at once");
    });
}

fn print_figures(session: &Session, counters: &Arc<Counters>) -> tokio::task::JoinHandle<()> {
    let counters = Arc::clone(counters);
    let started = Instant::now();
    session.runtime.spawn(async move {
        loop {
            tokio::time::sleep(FIGURES_EVERY).await;
            let done = counters.summary();
            out(&format!(
                "{} s: {} files, {} of content; {} further names, {} were whole, {} problems",
                started.elapsed().as_secs(),
                done.files,
                size(done.content_bytes),
                done.links,
                done.whole,
                done.problems,
            ));
        }
    })
}

/// Problems to standard error and into a file.
struct Reporter {
    printed: AtomicU64,
    file: Option<Mutex<Lines>>,
}

struct Lines {
    writer: BufWriter<File>,
    failed: Option<std::io::Error>,
}

impl Reporter {
    fn new(file: Option<File>) -> Self {
        Self {
            printed: AtomicU64::new(0),
            file: file.map(|file| {
                Mutex::new(Lines {
                    writer: BufWriter::new(file),
                    failed: None,
                })
            }),
        }
    }

    /// Tells where the rest is, and whether it could be written.
    fn finish(&self, summary: &Summary, file: Option<&Path>) -> Result<(), Failure> {
        let more = summary.problems.saturating_sub(PRINTED_PROBLEMS);
        match (more, file) {
            (0, _) => {}
            (more, Some(file)) => err(&format!(
                "clfsload: {more} more problems are in {}",
                file.display()
            )),
            (more, None) => err(&format!(
                "clfsload: {more} more problems were not printed; --problems FILE lists all"
            )),
        }
        let (Some(lines), Some(file)) = (&self.file, file) else {
            return Ok(());
        };
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        let flushed = lines.writer.flush();
        match lines.failed.take().map_or(flushed, Err) {
            Ok(()) => Ok(()),
            Err(error) => Err(Failure {
                message: format!(
                    "{}: the list of problems is not whole: {error}",
                    file.display()
                ),
                status: Status::Failed,
            }),
        }
    }
}

impl Observer for Reporter {
    fn problem(&self, problem: &Problem) {
        if self.printed.fetch_add(1, Relaxed) < PRINTED_PROBLEMS {
            match problem.was_extracted() {
                true => err(&format!("warning: {problem}")),
                false => err(&format!("clfsload: left out: {problem}")),
            }
        }
        if let Some(lines) = &self.file {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = writeln!(lines.writer, "{problem}") {
                lines.failed.get_or_insert(error);
            }
        }
    }

    fn content_in_doubt(&self) {
        err(
            "clfsload: the machine was started anew since an earlier extraction to this place, which \
             had not stored everything: the content of what is there is compared",
        );
    }

    fn limited(&self, limits: &[Limit]) {
        let limits: Vec<String> = limits.iter().map(Limit::to_string).collect();
        err(&format!(
            "warning: the destination's file system does not hold everything: {}",
            limits.join("; ")
        ));
    }

    fn not_stored(&self) {
        err(
            "clfsload: so many file systems are mounted below the destination that some were not waited \
             for: sync(1) stores them. If the machine fails before, the next run compares all content",
        );
    }
}

fn status(outcome: Outcome) -> Result<Status, Failure> {
    let failed = |message| Failure {
        message,
        status: Status::Failed,
    };
    match outcome.end {
        Ok(()) if outcome.summary.problems > 0 => Ok(Status::Problems),
        Ok(()) => Ok(Status::Done),
        Err(error @ (ExtractError::Stopped | ExtractError::Local { .. })) => {
            Err(failed(error.to_string()))
        }
        Err(
            error @ ExtractError::Record {
                error: RecordError::OtherDestination(_),
                ..
            },
        ) => Err(Failure::usage(error.to_string())),
        Err(error @ (ExtractError::Destination { .. } | ExtractError::Record { .. })) => {
            Err(failed(error.to_string()))
        }
        Err(error) if outcome.summary == Summary::default() => Err(failed(error.to_string())),
        Err(error) => Err(failed(format!(
            "{error}\nwhat was brought out stays: run the same command again to go on"
        ))),
    }
}

fn summary_lines(done: &Summary, dry_run: bool) -> Vec<String> {
    let would = if dry_run {
        "would bring out: "
    } else {
        "brought out: "
    };
    let mut lines = unread_directories(done.directories_unread, done.directories_unread_in_part);
    lines.push(format!(
        "{would}{} files, {} symlinks, {} fifos, sockets and devices, {} further names (links); {} directories",
        done.files, done.symlinks, done.specials, done.links, done.directories
    ));
    let content = match dry_run {
        true => format!("{} of content would be fetched", size(done.content_bytes)),
        false => format!("{} of content fetched", size(done.content_bytes)),
    };
    lines.push(format!(
        "{} were whole before; {} inodes and {content}",
        done.whole, done.inodes_fetched,
    ));
    let mut note = |count: u64, text: &str| {
        if count > 0 {
            lines.push(format!("{count} {text}"));
        }
    };
    note(
        done.mended,
        "of what was whole had other permissions or times, which were put right",
    );
    note(
        done.compared,
        "of what was whole had to be compared with the container, since the record does not show that it was written from the blobs that are there now",
    );
    note(
        done.copies,
        "further names could not be linked and became files of their own",
    );
    note(
        done.excluded,
        "entries were excluded, with what is below them",
    );
    note(
        done.swept,
        "half-written files of an earlier run were removed",
    );
    note(
        done.deviating,
        "inodes break a rule of the format and were read nevertheless: clfsload verify tells which",
    );
    note(
        done.kept_damaged,
        "damaged files: what can be read of them is in files named .damaged",
    );
    note(
        done.problems,
        "problems: entries that were left out, or lack what the destination does not hold",
    );
    lines
}
