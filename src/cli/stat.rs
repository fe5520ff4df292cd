//! `clfsload stat`: prints all fields of inodes.

use std::ffi::OsString;

use clfs_format::FileType;

use super::command::ContainerArguments;
use super::long_line::mode_text;
use super::printer::{Halt, OutputArguments, Printer};
use super::quoting::NameStyle;
use super::record::{StatRecord, rfc3339, trees};
use super::visit::{resolve, tree_paths};
use super::{Failure, Status};
use crate::read::{Entity, Resolved};
use crate::text::human::type_names;

const EXAMPLES: &str = "\
Examples:
  clfsload stat /mnt/disk/mycontainer /home/anna/data.csv
  clfsload stat --json /mnt/disk/mycontainer / /home

Symlinks are not followed. Lines \"unusual\" are rules of the format that an inode breaks.
Exit status: 0 all printed; 1 a PATH does not exist, is damaged or unreadable, or the container failed.";

/// Prints the inodes of entries
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: ContainerArguments,
    /// What to print
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<OsString>,
    /// Print one JSON object per line; docs/reading.md lists the fields
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let mut printer = Printer::new(&OutputArguments {
        json: arguments.json,
        zero: false,
        literal: false,
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
    match printer.end(outcome)? {
        // Damage to an entry that was requested by name is a failure, as for cat.
        Status::Problems => Ok(Status::Failed),
        status => Ok(status),
    }
}

fn show(resolved: &Resolved, first: bool, printer: &mut Printer) -> Result<(), Halt> {
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

fn fields(resolved: &Resolved) -> Vec<(&'static str, Vec<u8>)> {
    let entity = &*resolved.entity;
    let attributes = &entity.attributes;
    let mut fields = vec![("path", quoted(&resolved.path.absolute()))];
    let add = |fields: &mut Vec<_>, label, text: String| fields.push((label, text.into_bytes()));
    add(&mut fields, "type", type_text(entity.file_type).to_owned());
    add(
        &mut fields,
        "mode",
        format!(
            "{:04o} {} (st_mode {:o})",
            attributes.mode & 0o7777,
            mode_text(entity.file_type, attributes.mode),
            attributes.mode
        ),
    );
    add(
        &mut fields,
        "owner",
        format!("uid {}, gid {}", attributes.uid, attributes.gid),
    );
    add(&mut fields, "size", attributes.size.to_string());
    if attributes.used != attributes.size {
        add(&mut fields, "used", attributes.used.to_string());
    }
    add(&mut fields, "links", attributes.nlink.to_string());
    if matches!(entity.file_type, FileType::Block | FileType::Character) {
        let (major, minor) = (attributes.major, attributes.minor);
        add(
            &mut fields,
            "device",
            format!("major {major}, minor {minor}"),
        );
    }
    add(&mut fields, "modified", rfc3339(attributes.mtime));
    add(&mut fields, "changed", rfc3339(attributes.ctime));
    add(&mut fields, "accessed", rfc3339(attributes.atime));
    add(
        &mut fields,
        "inode",
        format!("{} in the source", attributes.file_id),
    );
    add(&mut fields, "handle", entity.handle.to_string());
    add(&mut fields, "blob", entity.blob.to_string());
    add(&mut fields, "version", entity.blob.version.to_string());
    add(
        &mut fields,
        "container",
        format!("id {}, fsid {}", attributes.container_id, attributes.fsid),
    );
    add(&mut fields, "segments", segments_text(entity));
    for parent in &entity.back {
        add(&mut fields, "named by", parent.to_string());
    }
    for (key, value) in &entity.extended.0 {
        let [key, value] = [key, value].map(|text| quoted(text.as_bytes()));
        fields.push(("extended", [key, value].join(&b" = "[..])));
    }
    for handle in &entity.unknown {
        add(&mut fields, "unknown", handle.to_string());
    }
    for deviation in &entity.deviations {
        add(&mut fields, "unusual", deviation.to_string());
    }
    let target = entity.target().map(|target| ("target", quoted(target)));
    // After the path.
    let names = target.into_iter().chain([("name", quoted(&entity.name))]);
    fields.splice(1..1, names);
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
