//! `clfsload find`: searches for entries.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::SystemTime;

use clfs_format::{Attributes, FileType};

use super::visit::{Event, SORTED_UP_TO, Visited, resolve, tree_paths, visit};
use crate::cli::args::values::{Bound, one_of, parse_time};
use crate::cli::output::long_line::LongStyle;
use crate::cli::output::printer::{EarlyExit, OutputArguments, Printer};
use crate::cli::output::record::system_time;
use crate::cli::session::ContainerArguments;
use crate::cli::{Failure, Status};
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

/// The letters of `--type`.
const TYPES: &[(&str, FileType)] = &[
    ("f", FileType::Regular),
    ("d", FileType::Directory),
    ("l", FileType::Symlink),
    ("b", FileType::Block),
    ("c", FileType::Character),
    ("s", FileType::Socket),
    ("p", FileType::Fifo),
];

/// Searches for entries by name, type, size, time and owner
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: ContainerArguments,
    /// Where to start [default: the root directory]
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    #[command(flatten)]
    filter: Filter,
    /// Descend at most N levels below PATH
    #[arg(long, value_name = "N")]
    max_depth: Option<usize>,
    /// Print attributes, as ls -l does
    #[arg(short = 'l', long)]
    long: bool,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let paths = tree_paths(&arguments.paths);
    let list_all = paths.iter().any(|path| path.depth() == 0) && arguments.max_depth.is_none();
    let mut printer = Printer::new(&arguments.output)?;
    let session = arguments.place.open(list_all)?;
    let search = search(arguments, &session.reader, &paths, &mut printer);
    let outcome = session.wait(search);
    printer.end(outcome)
}

async fn search(
    arguments: &Arguments,
    reader: &Arc<Reader>,
    paths: &[TreePath],
    printer: &mut Printer,
) -> Result<(), EarlyExit> {
    let filter = &arguments.filter;
    let needs_inode = arguments.long || filter.needs_inode();
    let long = arguments.long.then(LongStyle::default);
    let found = |entry: &Visited, printer: &mut Printer| {
        if !filter.accepts_entry(&entry.path, entry.file_type) {
            return Ok(());
        }
        match &entry.inode {
            Some(entity) if !filter.accepts_inode(&entity.attributes) => Ok(()),
            // Unknown: the inode is damaged, which was reported.
            None if filter.needs_inode() => Ok(()),
            _ => entry.print(long, true, None, printer),
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

/// The conditions that an entry must meet. An empty list or `None` accepts all.
#[derive(Debug, Default, clap::Args)]
struct Filter {
    /// Match the name, or with '/' the path; several times: match any of them
    #[arg(long = "name", value_name = "GLOB")]
    names: Vec<Pattern>,
    /// Match types: f file, d directory, l symlink, b, c device, s socket, p fifo
    #[arg(
        long = "type",
        value_name = "f,d,...",
        hide_possible_values = true,
        value_parser = one_of(TYPES),
        value_delimiter = ','
    )]
    types: Vec<FileType>,
    /// Match the size in bytes; K, M, G and T are powers of 1024
    #[arg(long, value_name = "[+-]N", allow_hyphen_values = true)]
    size: Option<Bound>,
    /// Match mtimes after 2026-01-31, "2026-01-31 12:00:00" (UTC), or an age: 30days, 2h
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    newer_than: Option<SystemTime>,
    /// Match mtimes before TIME
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    older_than: Option<SystemTime>,
    /// Match the uid of the owner
    #[arg(long, value_name = "N")]
    uid: Option<u32>,
    /// Match the gid of the group
    #[arg(long, value_name = "N")]
    gid: Option<u32>,
    /// Match the number of links
    #[arg(long, value_name = "[+-]N", allow_hyphen_values = true)]
    links: Option<Bound>,
}

impl Filter {
    /// Returns whether the name and the type meet the conditions. They are known from the directory.
    fn accepts_entry(&self, path: &TreePath, file_type: FileType) -> bool {
        (self.types.is_empty() || self.types.contains(&file_type))
            && (self.names.is_empty() || self.names.iter().any(|name| name.matches(path)))
    }

    /// Returns whether the inode is needed for [`Filter::accepts_inode`].
    fn needs_inode(&self) -> bool {
        let Self {
            names: _,
            types: _,
            size,
            newer_than,
            older_than,
            uid,
            gid,
            links,
        } = self;
        size.is_some()
            || newer_than.is_some()
            || older_than.is_some()
            || uid.is_some()
            || gid.is_some()
            || links.is_some()
    }

    /// Returns whether the attributes meet the conditions.
    fn accepts_inode(&self, attributes: &Attributes) -> bool {
        let mtime = system_time(attributes.mtime);
        self.size.is_none_or(|size| size.holds(attributes.size))
            && self.newer_than.is_none_or(|time| mtime > time)
            && self.older_than.is_none_or(|time| mtime < time)
            && self.uid.is_none_or(|uid| uid == attributes.uid)
            && self.gid.is_none_or(|gid| gid == attributes.gid)
            && self
                .links
                .is_none_or(|links| links.holds(attributes.nlink.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_filter_accepts_all() {
        let filter = Filter::default();
        assert!(!filter.needs_inode());
        assert!(filter.accepts_entry(&TreePath::root(), FileType::Directory));
        assert!(filter.accepts_inode(&Attributes::default()));
    }
}
