//! `clfsload du`: sums sizes.

use std::collections::HashSet;
use std::ffi::OsString;
use std::sync::Arc;

use clap::ArgAction;
use clfs_format::{FileType, Filehandle};

use super::visit::{Event, SORTED_UP_TO, Visited, resolve, tree_paths, visit};
use crate::cli::output::long_line::short_size;
use crate::cli::output::printer::{EarlyExit, OutputArguments, Printer};
use crate::cli::output::record::UsageRecord;
use crate::cli::session::ContainerArguments;
use crate::cli::{Failure, Status};
use crate::read::{Reader, TreePath, WalkOptions};

const EXAMPLES: &str = "\
Examples:
  clfsload du -hs /mnt/disk/mycontainer
  clfsload du -d 2 --index names.db /mnt/disk/mycontainer /home

A line has bytes, entries below, and path, separated by tabs. Bytes are the sizes of files and symlinks;
a file with several names is counted once, at its first name. Directories themselves count 0 bytes.
Exit status: 0 all counted; 1 a PATH does not exist, or the container failed; 3 something was skipped
because it is damaged or unreadable.";

/// Sums the sizes of the entries below directories
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, disable_help_flag = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: ContainerArguments,
    /// Where to start [default: the root directory]
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    /// Print only the sum of each PATH
    #[arg(short = 's', long, conflicts_with = "max_depth")]
    summarize: bool,
    /// Print directories at most DEPTH levels below PATH
    #[arg(short = 'd', long, value_name = "DEPTH")]
    max_depth: Option<usize>,
    /// Print sizes such as 1.5K
    #[arg(short = 'h', long, conflicts_with = "json")]
    human_readable: bool,
    #[command(flatten)]
    output: OutputArguments,
    /// Print help
    #[arg(long, action = ArgAction::HelpShort)]
    help: Option<bool>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let paths = tree_paths(&arguments.paths);
    let list_all = paths.iter().any(|path| path.depth() == 0);
    let mut printer = Printer::new(&arguments.output)?;
    let session = arguments.place.open(list_all)?;
    let outcome = session.wait(sum_all(arguments, &session.reader, &paths, &mut printer));
    printer.end(outcome)
}

async fn sum_all(
    arguments: &Arguments,
    reader: &Arc<Reader>,
    paths: &[TreePath],
    printer: &mut Printer,
) -> Result<(), EarlyExit> {
    let mut sums = Sums {
        arguments,
        open: Vec::new(),
        counted: HashSet::new(),
    };
    for path in paths {
        let Some(resolved) = resolve(reader, path, printer).await? else {
            continue;
        };
        if resolved.entity.file_type != FileType::Directory {
            let sum = sums.own(&Visited::resolved(&resolved));
            sums.print(path, sum, printer)?;
            continue;
        }
        let options = WalkOptions {
            sorted_up_to: SORTED_UP_TO,
            ..WalkOptions::default()
        };
        visit(
            reader,
            resolved,
            options,
            |_, file_type| has_size(file_type),
            printer,
            |event, printer| sums.take(event, printer),
        )
        .await?;
    }
    Ok(())
}

/// Returns whether the size of a type is that of content; that of a directory is its list of names.
fn has_size(file_type: FileType) -> bool {
    matches!(file_type, FileType::Regular | FileType::Symlink)
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    bytes: u64,
    entries: u64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        // The sizes in a container are untrusted.
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.entries = self.entries.saturating_add(other.entries);
    }
}

struct Sums<'a> {
    arguments: &'a Arguments,
    /// The current directory and its ancestors.
    open: Vec<Sum>,
    /// Entities with several names that were counted.
    counted: HashSet<Filehandle>,
}

impl Sums<'_> {
    fn take(&mut self, event: Event, printer: &mut Printer) -> Result<(), EarlyExit> {
        match event {
            Event::Enter(_) => self.open.push(Sum::default()),
            Event::Entry(entry) => {
                let mut sum = self.own(&entry);
                sum.entries = 1;
                if let Some(directory) = self.open.last_mut() {
                    directory.add(sum);
                }
            }
            Event::Leave(path) => {
                let sum = self.open.pop().unwrap_or_default();
                let depth = self.open.len();
                if let Some(above) = self.open.last_mut() {
                    above.add(sum);
                }
                let deepest = match self.arguments.summarize {
                    true => Some(0),
                    false => self.arguments.max_depth,
                };
                if deepest.is_none_or(|deepest| depth <= deepest) {
                    self.print(&path, sum, printer)?;
                }
            }
        }
        Ok(())
    }

    /// Returns what an entry adds to its directory.
    fn own(&mut self, entry: &Visited) -> Sum {
        let inode = entry.inode.as_deref();
        let Some(entity) = inode.filter(|entity| has_size(entity.file_type)) else {
            return Sum::default();
        };
        let again = entity.attributes.nlink > 1 && !self.counted.insert(entity.handle);
        Sum {
            bytes: if again { 0 } else { entity.attributes.size },
            entries: 0,
        }
    }

    fn print(&self, path: &TreePath, sum: Sum, printer: &mut Printer) -> Result<(), EarlyExit> {
        if printer.json() {
            return printer.record(&UsageRecord::new(path, sum.bytes, sum.entries));
        }
        let bytes = match self.arguments.human_readable {
            true => short_size(sum.bytes),
            false => sum.bytes.to_string(),
        };
        let mut line = format!("{bytes}\t{}\t", sum.entries).into_bytes();
        printer.append_path(&mut line, path);
        printer.line(&line)
    }
}
