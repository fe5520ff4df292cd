//! `clfsload cat`: writes the content of files to standard output.

use std::ffi::OsString;
use std::sync::Arc;

use clfs_format::FileType;

use super::command::ContainerWords;
use super::printer::{Halt, OutputWords, Printer};
use super::visit::{resolve, tree_paths};
use super::{Failure, Status, size};
use crate::monitor::Escaped;
use crate::read::{Reader, Resolved};

const EXAMPLES: &str = "\
Examples:
  clfsload cat /mnt/disk/mycontainer /home/anna/data.csv > data.csv
  clfsload cat --offset 1G --length 4K /mnt/disk/mycontainer /images/disk.img | xxd

Only the pieces of the file that hold the wanted bytes are fetched. Symlinks are not followed.
Exit status: 0 all written; 1 something could not be: what came before it was written.";

/// Writes the content of files to standard output
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: ContainerWords,
    /// Regular files
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<OsString>,
    /// Begin at this byte; K, M, G and T stand for powers of 1024
    #[arg(long, value_name = "N", value_parser = size::parse, default_value = "0", hide_default_value = true)]
    offset: u64,
    /// Write so many bytes at most
    #[arg(long, value_name = "N", value_parser = size::parse)]
    length: Option<u64>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    if arguments.paths.len() > 1 && (arguments.offset > 0 || arguments.length.is_some()) {
        return Err(Failure::usage(
            "--offset and --length are for one PATH: give each file a command of its own",
        ));
    }
    let mut printer = Printer::new(&OutputWords {
        json: false,
        zero: false,
        literal: false,
    })?;
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
    match printer.end(outcome)? {
        // Other than a list, half a file is of no use.
        Status::Problems => Ok(Status::Failed),
        status => Ok(status),
    }
}

async fn write(
    reader: &Arc<Reader>,
    arguments: &Arguments,
    resolved: &Resolved,
    printer: &mut Printer,
) -> Result<(), Halt> {
    let Resolved { path, entity } = resolved;
    let refusal = match (entity.file_type, entity.target()) {
        (FileType::Regular, _) => None,
        (FileType::Directory, _) => Some("it is a directory; clfsload ls lists it".to_owned()),
        (_, Some(target)) => Some(format!(
            "it is a symlink to \"{}\", which is not followed",
            Escaped(target)
        )),
        _ => Some("it is no regular file, so it has no content".to_owned()),
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
