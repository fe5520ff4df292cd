//! `clfsload cat`: writes the content of files to standard output.

use std::ffi::OsString;
use std::sync::Arc;

use clfs_format::FileType;

use super::visit::{resolve, tree_paths};
use crate::cli::args::values::parse_size;
use crate::cli::output::printer::{EarlyExit, OutputArguments, Printer};
use crate::cli::session::ContainerArguments;
use crate::cli::{Failure, Status};
use crate::read::{Reader, Resolved};
use crate::text::Escaped;

const EXAMPLES: &str = "\
Examples:
  clfsload cat /mnt/disk/mycontainer /home/anna/data.csv > data.csv
  clfsload cat --offset 1G --length 4K /mnt/disk/mycontainer /images/disk.img | xxd

Only the segments with the requested bytes are downloaded. Symlinks are not followed.
Exit status: 0 all written; 1 something could not be read: the content before it was written.";

/// Writes the content of files to standard output
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: ContainerArguments,
    /// Regular files
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<OsString>,
    /// Start at byte N; K, M, G and T are powers of 1024
    #[arg(long, value_name = "N", value_parser = parse_size, default_value = "0", hide_default_value = true)]
    offset: u64,
    /// Write at most N bytes
    #[arg(long, value_name = "N", value_parser = parse_size)]
    length: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    if arguments.paths.len() > 1 && (arguments.offset > 0 || arguments.length.is_some()) {
        return Err(Failure::usage(
            "--offset and --length apply to one PATH: use a separate command for each file",
        ));
    }
    let mut printer = Printer::new(&OutputArguments::default())?;
    let session = arguments.place.open(false)?;
    let reader = &session.reader;
    let outcome = session.wait(async {
        for path in tree_paths(&arguments.paths) {
            if let Some(resolved) = resolve(reader, &path, &mut printer).await? {
                write(reader, arguments, &resolved, &mut printer).await?;
            }
        }
        Ok(())
    });
    printer.end_of_named(outcome)
}

async fn write(
    reader: &Arc<Reader>,
    arguments: &Arguments,
    resolved: &Resolved,
    printer: &mut Printer,
) -> Result<(), EarlyExit> {
    let Resolved { path, entity } = resolved;
    let refusal = match (entity.file_type, entity.target()) {
        (FileType::Regular, _) => None,
        (FileType::Directory, _) => Some("it is a directory; clfsload ls lists it".to_owned()),
        (_, Some(target)) => Some(format!(
            "it is a symlink to \"{}\", which is not followed",
            Escaped(target)
        )),
        _ => Some("it is not a regular file, so it has no content".to_owned()),
    };
    if let Some(refusal) = refusal {
        return printer.refused(path, &refusal);
    }
    let end = match arguments.length {
        Some(length) => arguments.offset.saturating_add(length),
        None => u64::MAX,
    };
    let mut content = reader.content(entity, arguments.offset..end);
    loop {
        match content.next().await {
            Ok(Some(chunk)) => printer.bytes(&chunk.bytes)?,
            Ok(None) => return Ok(()),
            Err(error) => return printer.unreadable(path, error),
        }
    }
}
