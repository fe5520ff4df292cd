//! `clfsload stat`: prints all fields of inodes.

use std::ffi::OsString;
use std::fmt::Display;

use clfs_format::FileType;

use super::visit::{resolve, tree_paths};
use crate::cli::output::long_line::mode_text;
use crate::cli::output::printer::{EarlyExit, OutputArguments, Printer};
use crate::cli::output::quoting::NameStyle;
use crate::cli::output::record::{StatRecord, rfc3339, trees};
use crate::cli::session::ContainerArguments;
use crate::cli::{Failure, Status};
use crate::read::{Entity, Resolved};
use crate::text::human::type_names;

const EXAMPLES: &str = "\
Examples:
  clfsload stat /mnt/disk/mycontainer /home/anna/data.csv
  clfsload stat --json /mnt/disk/mycontainer / /home

Symlinks are not followed. Lines that begin with \"unusual\" show rules of the format that the inode breaks.
Exit status: 0 all printed; 1 a PATH does not exist, is damaged or unreadable, or the container failed.";

/// Prints the inodes of entries
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: ContainerArguments,
    /// What to print
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<OsString>,
    /// Print one JSON object per line; docs/reading.md lists the fields
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let mut printer = Printer::new(&OutputArguments {
        json: arguments.json,
        ..OutputArguments::default()
    })?;
    let session = arguments.place.open(false)?;
    let reader = &session.reader;
    let outcome = session.wait(async {
        let mut first = true;
        for path in tree_paths(&arguments.paths) {
            if let Some(resolved) = resolve(reader, &path, &mut printer).await? {
                show(&resolved, std::mem::take(&mut first), &mut printer)?;
            }
        }
        Ok(())
    });
    printer.end_of_named(outcome)
}

fn show(resolved: &Resolved, first: bool, printer: &mut Printer) -> Result<(), EarlyExit> {
    if printer.json() {
        return printer.record(&StatRecord::new(&resolved.path, &resolved.entity));
    }
    if !first {
        printer.line(b"")?;
    }
    for (label, text) in fields(resolved) {
        let mut line = format!("{label:>10}: ").into_bytes();
        line.extend(text);
        printer.line(&line)?;
    }
    Ok(())
}

/// Returns a name in quotes, also if the output is not a terminal: a newline in a name must not look like
/// the end of a field.
fn quoted(name: &[u8]) -> Vec<u8> {
    let mut line = Vec::new();
    NameStyle::ShellEscape.append(&mut line, name);
    line
}

fn text(label: &'static str, text: impl Display) -> (&'static str, Vec<u8>) {
    (label, text.to_string().into_bytes())
}

fn fields(resolved: &Resolved) -> Vec<(&'static str, Vec<u8>)> {
    let entity = &*resolved.entity;
    let attributes = &entity.attributes;
    let (file_type, mode) = (entity.file_type, attributes.mode);
    let mut fields = vec![
        ("path", quoted(&resolved.path.absolute())),
        ("name", quoted(&entity.name)),
    ];
    // Between path and name.
    fields.splice(
        1..1,
        entity.target().map(|target| ("target", quoted(target))),
    );
    let bits = format!(
        "{:04o} {} (st_mode {mode:o})",
        mode & 0o7777,
        mode_text(file_type, mode)
    );
    fields.extend([
        text("type", type_text(file_type)),
        text("mode", bits),
        text(
            "owner",
            format!("uid {}, gid {}", attributes.uid, attributes.gid),
        ),
        text("size", attributes.size),
    ]);
    if attributes.used != attributes.size {
        fields.push(text("used", attributes.used));
    }
    fields.push(text("links", attributes.nlink));
    if matches!(file_type, FileType::Block | FileType::Character) {
        let (major, minor) = (attributes.major, attributes.minor);
        fields.push(text("device", format!("major {major}, minor {minor}")));
    }
    let container = format!("id {}, fsid {}", attributes.container_id, attributes.fsid);
    fields.extend([
        text("modified", rfc3339(attributes.mtime)),
        text("changed", rfc3339(attributes.ctime)),
        text("accessed", rfc3339(attributes.atime)),
        text("inode", format!("{} in the source", attributes.file_id)),
        text("handle", entity.handle),
        text("blob", entity.blob),
        text("version", entity.blob.version),
        text("container", container),
        text("segments", segments_text(entity)),
    ]);
    fields.extend(entity.back.iter().map(|parent| text("named by", parent)));
    for (key, value) in &entity.extended.0 {
        let [key, value] = [key, value].map(|text| quoted(text.as_bytes()));
        fields.push(("extended", [key, value].join(&b" = "[..])));
    }
    fields.extend(entity.unknown.iter().map(|handle| text("unknown", handle)));
    fields.extend(
        entity
            .deviations
            .iter()
            .map(|deviation| text("unusual", deviation)),
    );
    fields
}

fn type_text(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Regular => "regular file",
        other => type_names(other).one,
    }
}

fn segments_text(entity: &Entity) -> String {
    let direct = entity.block_map.direct.len();
    match trees(entity) {
        0 => format!("{direct} outside the inode"),
        1 => format!("{direct} outside the inode, and those of 1 tree"),
        trees => format!("{direct} outside the inode, and those of {trees} trees"),
    }
}
