//! `clfsload find`: searches for entries.

use std::ffi::OsString;
use std::sync::Arc;

use super::command::ContainerArguments;
use super::long_line::{self, LongStyle};
use super::matching::{Bound, Filter, TypeLetter, time};
use super::printer::{Halt, OutputArguments, Printer};
use super::record::EntryRecord;
use super::visit::{Event, SORTED_UP_TO, Visited, resolve, tree_paths, visit};
use super::{Failure, Status, size};
use crate::read::{Pattern, Reader, TreePath, WalkOptions};

const EXAMPLES: &str = "\
Examples:
  clfsload find /mnt/disk/mycontainer --name '*.h5' --size +1G
  clfsload find -0 CONTAINER /home --type f --newer-than 2026-01-31 | xargs -0 clfsload cat CONTAINER
  clfsload find CONTAINER --name '/home/*/.cache/**' --type f --older-than 90days

A GLOB without '/' is compared with the name, one with '/' with the complete path; '**' matches any number
of directories. N means exactly, +N more than, -N less than. Tests of attributes download the inodes of
those entries that match --name and --type.
Exit status: 0 all searched; 1 a PATH does not exist, or the container failed; 3 something was skipped
because it is damaged or unreadable.";

/// Searches for entries by name, type, size, time and owner
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: ContainerArguments,
    /// Where to start [default: the root directory]
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    /// Match the name, or with '/' the path; several times: match any of them
    #[arg(long = "name", value_name = "GLOB")]
    names: Vec<Pattern>,
    /// Match types: f file, d directory, l symlink, b, c device, s socket, p fifo
    #[arg(
        long = "type",
        value_name = "f,d,...",
        hide_possible_values = true,
        value_enum,
        value_delimiter = ','
    )]
    types: Vec<TypeLetter>,
    /// Match the size in bytes; K, M, G and T are powers of 1024
    #[arg(long, value_name = "[+-]N", allow_hyphen_values = true, value_parser = Bound::parse_with(size::parse))]
    size: Option<Bound>,
    /// Match mtimes after 2026-01-31, "2026-01-31 12:00:00" (UTC), or an age: 30days, 2h
    #[arg(long, value_name = "TIME", value_parser = time)]
    newer_than: Option<std::time::SystemTime>,
    /// Match mtimes before TIME
    #[arg(long, value_name = "TIME", value_parser = time)]
    older_than: Option<std::time::SystemTime>,
    /// Match the uid of the owner
    #[arg(long, value_name = "N")]
    uid: Option<u32>,
    /// Match the gid of the group
    #[arg(long, value_name = "N")]
    gid: Option<u32>,
    /// Match the number of links
    #[arg(long, value_name = "[+-]N", allow_hyphen_values = true, value_parser = Bound::parse_with(size::parse))]
    links: Option<Bound>,
    /// Descend at most N levels below PATH
    #[arg(long, value_name = "N")]
    max_depth: Option<usize>,
    /// Print attributes, as ls -l does
    #[arg(short = 'l', long)]
    long: bool,
    #[command(flatten)]
    output: OutputArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let paths = tree_paths(&arguments.paths);
    let list_all = paths.iter().any(|path| path.depth() == 0) && arguments.max_depth.is_none();
    let filter = Filter {
        names: arguments.names.clone(),
        types: arguments
            .types
            .iter()
            .map(|letter| letter.file_type())
            .collect(),
        size: arguments.size,
        newer_than: arguments.newer_than,
        older_than: arguments.older_than,
        uid: arguments.uid,
        gid: arguments.gid,
        links: arguments.links,
    };
    let mut printer = Printer::new(&arguments.output)?;
    let session = arguments.place.open(list_all)?;
    let search = search(arguments, &filter, &session.reader, &paths, &mut printer);
    let outcome = session.wait(search);
    printer.end(outcome)
}

async fn search(
    arguments: &Arguments,
    filter: &Filter,
    reader: &Arc<Reader>,
    paths: &[TreePath],
    printer: &mut Printer,
) -> Result<(), Halt> {
    let needs_inode = arguments.long || filter.needs_inode();
    let found = |entry: &Visited, printer: &mut Printer| {
        if !filter.accepts_entry(&entry.path, entry.file_type) {
            return Ok(());
        }
        match &entry.inode {
            Some(entity) if !filter.accepts_inode(&entity.attributes) => Ok(()),
            // Unknown: the inode is damaged, which was reported.
            None if filter.needs_inode() => Ok(()),
            _ => print(arguments, entry, printer),
        }
    };
    for path in paths {
        let Some(resolved) = resolve(reader, path, printer).await? else {
            continue;
        };
        found(&Visited::resolved(&resolved), printer)?;
        if arguments.max_depth == Some(0) {
            continue;
        }
        let options = WalkOptions {
            // The depth of a walk is the number of levels that are entered below the start.
            depth: arguments.max_depth.map(|depth| depth.saturating_sub(1)),
            sorted_up_to: SORTED_UP_TO,
            ..WalkOptions::default()
        };
        visit(
            reader,
            resolved,
            options,
            |path, file_type| needs_inode && filter.accepts_entry(path, file_type),
            printer,
            |event, printer| match event {
                Event::Entry(entry) => found(&entry, printer),
                _ => Ok(()),
            },
        )
        .await?;
    }
    Ok(())
}

fn print(arguments: &Arguments, entry: &Visited, printer: &mut Printer) -> Result<(), Halt> {
    let inode = entry.inode.as_deref().filter(|_| arguments.long);
    if printer.json() {
        let record = EntryRecord::new(&entry.path, entry.file_type, entry.handle, inode);
        return printer.record(&record);
    }
    let mut line = Vec::new();
    if arguments.long {
        let style = LongStyle {
            full_time: false,
            human: false,
        };
        match inode {
            Some(entity) => long_line::append(&mut line, entity, style),
            None => long_line::append_unknown(&mut line, entry.file_type, style),
        }
    }
    printer.append_path(&mut line, &entry.path);
    if let Some(entity) = inode {
        long_line::append_target(&mut line, entity, printer);
    }
    printer.line(&line)
}
