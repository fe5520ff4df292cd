//! `clfsload extract`: parses arguments, prints problems and figures, and returns the exit status.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::cli::output::terminal::{Prefix, note, out, warning};
use crate::cli::session::{ContainerArguments, Session};
use crate::cli::{Failure, Status, lock};
use crate::container::location::ContainerLocation;
use crate::extract::{
    Counters, ExtractError, ExtractOptions, Limit, Observer, Outcome, Owners, Problem, RecordError,
    Summary, extract, inherits_acl, real_path,
};
use crate::read::{Pattern, TreePath, unread_directories};
use crate::text::human::{count, counted, size};
use crate::text::{Escaped, Hex};

/// Problems that are printed one by one.
const PRINTED_PROBLEMS: u64 = 50;
/// The interval between lines of figures.
const FIGURES_EVERY: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  clfsload extract /mnt/disk/mycontainer /restored
  clfsload extract https://ACCOUNT.blob.core.windows.net/CONTAINER home/ann --exclude '*.tmp' /restored
  clfsload extract CONTAINER /restored --checksum --problems problems.txt

After an interruption, the same command resumes.
Exit status: 0 everything was extracted; 1 failed or stopped; 3 entries were skipped, and listed.";

/// Extracts a tree, or parts of it, from a container into a folder
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "clfsload extract [OPTIONS] CONTAINER [PATH]... DEST",
    after_help = EXAMPLES
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: ContainerArguments,
    /// Paths in the container (none: everything), and last the folder to extract into; each path is kept
    /// in full below that folder
    #[arg(value_name = "[PATH]... DEST", num_args = 1.., required = true)]
    paths: Vec<OsString>,
    /// Skip entries that match, with everything below them; can be repeated. A GLOB without "/" matches the last
    /// component of a path; one with "/" matches the path from the container's root
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<Pattern>,
    /// Give every entry the owner that it has in the container (default for the superuser)
    #[arg(long, conflicts_with = "no_same_owner")]
    same_owner: bool,
    /// Leave every entry with the user who runs the command, without set-user-ID and set-group-ID
    #[arg(long)]
    no_same_owner: bool,
    /// Compare the content of existing files with the container, and not only size and time
    #[arg(long)]
    checksum: bool,
    /// Write the readable parts of damaged files as NAME.damaged (a new file in each run), with holes
    /// for the rest
    #[arg(long)]
    keep_damaged: bool,
    /// Change nothing; count what a run would do
    #[arg(long)]
    dry_run: bool,
    /// Write a line for every problem to this file
    #[arg(long, value_name = "FILE")]
    problems: Option<PathBuf>,
    /// The file in which runs record what they wrote, so that the next run downloads little
    /// [default: a file in ~/.cache/clfsload]
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let (destination, paths) = arguments.paths()?;
    let problems = match &arguments.problems {
        Some(path) => Some(
            File::create(path)
                .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?,
        ),
        None => None,
    };
    // Before it is opened, because a missing one is created.
    let old_index = arguments.place.index.as_deref();
    let old_index = old_index.filter(|path| path.exists());
    // For single paths, requesting each name is cheaper than listing all.
    let session = arguments.place.open(paths.is_empty())?;
    if is_in_container(&session.location, &destination) {
        return Err(Failure::usage(format!(
            "{}: the destination is in the container's own folder: give another one",
            destination.display()
        )));
    }
    if let Some(index) = old_index {
        warning(&format!(
            "{}: this list of the container's names is from an earlier run: blobs that were repaired or \
             rewritten since are not noticed. To notice them, remove the file and run the same command again",
            index.display()
        ));
    }
    if inherits_acl(&destination) {
        warning(&format!(
            "{} has a default ACL, or the folder in which it is created has one: extracted entries inherit it, \
             and users and groups that it names may get access. To extract only the permissions of the container, \
             remove it (setfacl -k) and extract into an empty folder",
            Escaped(destination.as_os_str().as_bytes())
        ));
    }
    let options = arguments.options(&session, destination, paths);
    print_stop(&session);
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
    // A run that did nothing has no summary.
    if outcome.end.is_ok() || outcome.summary != Summary::default() {
        for line in summary_lines(&outcome.summary, options.dry_run) {
            out(&line);
        }
    }
    // The end is reported before an incomplete list.
    match (status(outcome), listed) {
        (ended, Ok(())) => ended,
        (Ok(_), Err(list)) => Err(list),
        (Err(end), Err(list)) => Err(end.with(Prefix::Error, &list.message)),
    }
}

impl Arguments {
    /// Returns the destination, and the paths in the container.
    fn paths(&self) -> Result<(PathBuf, Vec<TreePath>), Failure> {
        let Some((destination, paths)) = self.paths.split_last() else {
            return Err(Failure::usage("the destination is missing"));
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
            Some(file) => Some(file.clone()),
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

/// Returns whether the destination is in a container that is a folder.
fn is_in_container(location: &ContainerLocation, destination: &Path) -> bool {
    let ContainerLocation::Folder { path } = location else {
        return false;
    };
    path.canonicalize()
        .is_ok_and(|container| real_path(destination).starts_with(container))
}

/// Returns the path of the record: one file for each container and destination, in the user's cache folder (XDG
/// Base Directory Specification).
fn default_record(container: &str, destination: &Path) -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let folder = cache.map(|cache| cache.join("clfsload"));
    let why = match &folder {
        None => Some("HOME is not set".to_owned()),
        Some(folder) => std::fs::create_dir_all(folder)
            .err()
            .map(|error| format!("{}: {error}", folder.display())),
    };
    if let Some(why) = why {
        warning(&format!(
            "no record is kept ({why}): the next run will compare all content. To keep one, give --record FILE"
        ));
        return None;
    }
    let mut hash = Sha256::new();
    hash.update(container.as_bytes());
    hash.update([0]);
    hash.update(real_path(destination).as_os_str().as_bytes());
    let name = Hex(&hash.finalize()).to_string();
    Some(folder?.join(format!("extract-{name}.sqlite")))
}

/// Prints a message when a stop is requested, because stopping takes a moment.
fn print_stop(session: &Session) {
    let stop = Arc::clone(&session.stop);
    session.runtime.spawn(async move {
        stop.requested(Duration::ZERO).await;
        note("stopping: incomplete files are removed. Press Ctrl-C again to quit now");
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
                "{} s: {} files, {} downloaded; {} hard links, {} already up to date, {} problems",
                started.elapsed().as_secs(),
                done.files,
                size(done.content_bytes),
                done.links,
                done.up_to_date,
                done.problems,
            ));
        }
    })
}

/// Prints problems to standard error, and writes them to a file.
struct Reporter {
    printed: AtomicU64,
    /// The list of problems, or why it could not be written.
    list: Option<Mutex<std::io::Result<BufWriter<File>>>>,
}

impl Reporter {
    fn new(file: Option<File>) -> Self {
        Self {
            printed: AtomicU64::new(0),
            list: file.map(|file| Mutex::new(Ok(BufWriter::new(file)))),
        }
    }

    /// Prints where the other problems are. Fails if they could not be written.
    fn finish(&self, summary: &Summary, file: Option<&Path>) -> Result<(), Failure> {
        let more = summary.problems.saturating_sub(PRINTED_PROBLEMS);
        match (more, file) {
            (0, _) => {}
            (more, Some(file)) => note(&format!("{more} more problems are in {}", file.display())),
            (more, None) => note(&format!(
                "{more} more problems were not printed. To list all, give --problems FILE"
            )),
        }
        let (Some(list), Some(file)) = (&self.list, file) else {
            return Ok(());
        };
        let mut list = lock(list);
        let written = match &mut *list {
            Ok(writer) => writer.flush().map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        written.map_err(|error| {
            Failure::failed(format!(
                "{}: the list of problems is incomplete: {error}",
                file.display()
            ))
        })
    }
}

impl Observer for Reporter {
    fn problem(&self, problem: &Problem) {
        if self.printed.fetch_add(1, Relaxed) < PRINTED_PROBLEMS {
            match problem.was_extracted() {
                true => warning(&format!("{problem}")),
                false => warning(&format!("skipped: {problem}")),
            }
        }
        if let Some(list) = &self.list {
            let mut list = lock(list);
            if let Ok(writer) = &mut *list
                && let Err(error) = writeln!(writer, "{problem}")
            {
                *list = Err(error);
            }
        }
    }

    fn content_in_doubt(&self) {
        note(
            "the machine was restarted after an extraction to this destination that had not flushed all files to \
             the disk: the content of existing files is compared",
        );
    }

    fn limited(&self, limits: &[Limit]) {
        let limits: Vec<String> = limits.iter().map(Limit::to_string).collect();
        warning(&format!(
            "the destination's file system cannot store everything: {}",
            limits.join("; ")
        ));
    }

    fn not_synced(&self) {
        note(
            "more than 32 file systems are mounted below the destination, and the others were not flushed to the \
             disk: run sync(1). If the machine crashes before that, the next run compares all content",
        );
    }
}

fn status(outcome: Outcome) -> Result<Status, Failure> {
    let error = match outcome.end {
        Ok(()) if outcome.summary.problems > 0 => return Ok(Status::Problems),
        Ok(()) => return Ok(Status::Done),
        Err(error) => error,
    };
    let is_usage = matches!(
        error,
        ExtractError::Record {
            error: RecordError::OtherDestination(_),
            ..
        }
    );
    let says_what_next = matches!(
        error,
        ExtractError::Stopped
            | ExtractError::Local { .. }
            | ExtractError::Destination { .. }
            | ExtractError::Record { .. }
    );
    let failure = Failure::of(&error, is_usage);
    Err(
        match says_what_next || outcome.summary == Summary::default() {
            true => failure,
            false => failure.with(
                Prefix::Note,
                "extracted entries stay: run the same command again to resume",
            ),
        },
    )
}

fn summary_lines(done: &Summary, dry_run: bool) -> Vec<String> {
    let would = if dry_run {
        "would extract: "
    } else {
        "extracted: "
    };
    let mut lines = unread_directories(done.directories_unread, done.directories_unread_in_part);
    lines.push(format!(
        "{would}{}, {}, {} fifos, sockets and devices, {}; {}",
        counted(done.files, "file", "files"),
        counted(done.symlinks, "symlink", "symlinks"),
        count(done.specials),
        counted(done.links, "hard link", "hard links"),
        counted(done.directories, "directory", "directories"),
    ));
    let content = match dry_run {
        true => format!(
            "downloaded; {} of content to download",
            size(done.content_bytes)
        ),
        false => format!("and {} downloaded", size(done.content_bytes)),
    };
    lines.push(format!(
        "{} already up to date; {} {content}",
        count(done.up_to_date),
        counted(done.inodes_downloaded, "inode", "inodes"),
    ));
    let mut add = |number: u64, text: &str| {
        if number > 0 {
            lines.push(format!("{number} {text}"));
        }
    };
    add(
        done.corrected,
        "up-to-date entries had other permissions or times, which were corrected",
    );
    add(
        done.compared,
        "up-to-date entries were compared with the container, because the record did not show that they were written from its current blobs",
    );
    add(
        done.copies,
        "hard links could not be created: the files were written again",
    );
    add(
        done.excluded,
        "entries were excluded, with everything below them",
    );
    add(
        done.leftovers_removed,
        "incomplete files of an earlier run were removed",
    );
    add(
        done.deviating,
        "inodes break a rule of the format but could be read: clfsload verify lists the rules",
    );
    add(
        done.kept_damaged,
        "damaged files: their readable parts are in files named .damaged",
    );
    add(
        done.problems,
        "problems: entries that were skipped, or lack something that the destination cannot store",
    );
    lines
}
