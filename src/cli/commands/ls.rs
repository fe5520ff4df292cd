//! `clfsload ls`: lists directories.

use std::ffi::OsString;
use std::sync::Arc;

use clap::ArgAction;
use clfs_format::FileType;

use super::visit::{Event, SORTED_UP_TO, Visited, resolve, tree_paths, visit};
use crate::cli::output::long_line::LongStyle;
use crate::cli::output::printer::{EarlyExit, OutputArguments, Printer};
use crate::cli::session::ContainerArguments;
use crate::cli::{Failure, Status};
use crate::read::{Reader, Resolved, TreePath, WalkOptions};

const EXAMPLES: &str = "\
Examples:
  clfsload ls /mnt/disk/mycontainer
  clfsload ls -l --sas-token-file token https://myaccount.blob.core.windows.net/mycontainer /home
  clfsload ls -lR --json --index names.db /mnt/disk/mycontainer > all.jsonl

All names are listed, one per line, including those that begin with a dot. Owners are numbers, times UTC.
Exit status: 0 all listed; 1 a PATH does not exist, or the container failed; 3 something was skipped
because it is damaged or unreadable.";

/// Lists directories of a container
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, disable_help_flag = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: ContainerArguments,
    /// What to list [default: the root directory]
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    /// Print mode, links, owner, group, size or device numbers, mtime, symlink targets
    #[arg(short = 'l', long)]
    long: bool,
    /// List subdirectories recursively
    #[arg(short = 'R', long, conflicts_with_all = ["zero", "directory"])]
    recursive: bool,
    /// List directories themselves, not their entries
    #[arg(short = 'd', long)]
    directory: bool,
    /// Mark types: directory/ symlink@ fifo| socket= and, with -l, executable*
    #[arg(short = 'F', long)]
    classify: bool,
    /// Append a slash to directories
    #[arg(short = 'p')]
    slash: bool,
    /// Do not sort; a directory of more than 100,000 entries is never sorted
    #[arg(short = 'U')]
    unsorted: bool,
    /// With -l, print times with nanoseconds
    #[arg(long)]
    full_time: bool,
    /// With -l, print sizes such as 1.5K
    #[arg(short = 'h', long)]
    human_readable: bool,
    /// Always on; accepted for compatibility with ls
    #[arg(short = 'a', long, short_alias = 'A', hide = true)]
    all: bool,
    /// Always on; accepted for compatibility with ls
    #[arg(short = '1', hide = true)]
    one: bool,
    #[command(flatten)]
    output: OutputArguments,
    /// Print help
    #[arg(long, action = ArgAction::HelpShort)]
    help: Option<bool>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let paths = tree_paths(&arguments.paths);
    let list_all = arguments.recursive && paths.iter().any(|path| path.depth() == 0);
    let mut printer = Printer::new(&arguments.output)?;
    let session = arguments.place.open(list_all)?;
    let listing = list(arguments, &session.reader, &paths, &mut printer);
    let outcome = session.wait(listing);
    printer.end(outcome)
}

/// Lists as GNU ls does: first entries that are not listed as directories, then the directories.
async fn list(
    arguments: &Arguments,
    reader: &Arc<Reader>,
    paths: &[TreePath],
    printer: &mut Printer,
) -> Result<(), EarlyExit> {
    let mut directories = Vec::new();
    let mut lines = Lines {
        arguments,
        headings: arguments.recursive || paths.len() > 1,
        printed: false,
    };
    for path in paths {
        let Some(resolved) = resolve(reader, path, printer).await? else {
            continue;
        };
        if resolved.entity.file_type == FileType::Directory && !arguments.directory {
            directories.push(resolved);
        } else {
            lines.entry(&Visited::resolved(&resolved), true, printer)?;
        }
    }
    for resolved in directories {
        lines.directory(reader, resolved, printer).await?;
    }
    Ok(())
}

struct Lines<'a> {
    arguments: &'a Arguments,
    headings: bool,
    /// Whether anything was printed.
    printed: bool,
}

impl Lines<'_> {
    async fn directory(
        &mut self,
        reader: &Arc<Reader>,
        start: Resolved,
        printer: &mut Printer,
    ) -> Result<(), EarlyExit> {
        let options = WalkOptions {
            depth: (!self.arguments.recursive).then_some(0),
            sorted_up_to: match self.arguments.unsorted {
                true => 0,
                false => SORTED_UP_TO,
            },
            ..WalkOptions::default()
        };
        let long = self.arguments.long;
        visit(
            reader,
            start,
            options,
            |_, _| long,
            printer,
            |event, printer| match event {
                Event::Enter(path) => self.heading(&path, printer),
                Event::Entry(entry) => self.entry(&entry, false, printer),
                Event::Leave(_) => Ok(()),
            },
        )
        .await
    }

    fn heading(&mut self, path: &TreePath, printer: &mut Printer) -> Result<(), EarlyExit> {
        if !self.headings || printer.json() || self.arguments.output.zero {
            return Ok(());
        }
        if self.printed {
            printer.line(b"")?;
        }
        self.printed = true;
        let mut line = Vec::new();
        printer.append_path(&mut line, path);
        line.push(b':');
        printer.line(&line)
    }

    fn entry(
        &mut self,
        entry: &Visited,
        full_path: bool,
        printer: &mut Printer,
    ) -> Result<(), EarlyExit> {
        self.printed = true;
        let style = LongStyle {
            full_time: self.arguments.full_time,
            human: self.arguments.human_readable,
        };
        let long = self.arguments.long.then_some(style);
        entry.print(long, full_path, self.mark(entry), printer)
    }

    /// Returns the mark that `-F` and `-p` append to a name.
    fn mark(&self, entry: &Visited) -> Option<u8> {
        let Arguments {
            classify,
            slash,
            long,
            ..
        } = *self.arguments;
        let executable = || {
            let inode = entry.inode.as_deref();
            inode.is_some_and(|entity| entity.attributes.mode & 0o111 != 0)
        };
        match entry.file_type {
            // The path of the root is a slash.
            FileType::Directory if entry.path.depth() == 0 => None,
            FileType::Directory if classify || slash => Some(b'/'),
            _ if !classify => None,
            // The arrow shows the type.
            FileType::Symlink if long && entry.inode.is_some() => None,
            FileType::Symlink => Some(b'@'),
            FileType::Fifo => Some(b'|'),
            FileType::Socket => Some(b'='),
            FileType::Regular if executable() => Some(b'*'),
            _ => None,
        }
    }
}
