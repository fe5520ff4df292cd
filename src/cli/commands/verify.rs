//! `clfsload verify`: prints findings as lines, and a summary.

use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use clap::Args;

use crate::cli::output::Format;
use crate::cli::output::quoting::NameStyle;
use crate::cli::session::ContainerArguments;
use crate::cli::{Failure, Status, lock};
use crate::container::ContainerLocation;
use crate::read::Reader;
use crate::verify::{Depth, Finding, VerifyOptions, verify};

/// Checks a container by all rules of the format; changes nothing
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: ContainerArguments,
    /// Compare the container with the folder that it was loaded from
    #[arg(long, value_name = "FOLDER")]
    source: Option<PathBuf>,
    /// Do not read the content of files: only check that their segments exist
    #[arg(long)]
    quick: bool,
    /// Read every blob (default)
    #[arg(long, conflicts_with = "quick")]
    full: bool,
    /// Print one JSON object per line; the last one is the summary
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  clfsload verify https://myaccount.blob.core.windows.net/mycontainer --sas-token-file token
  clfsload verify --quick /mnt/disk/mycontainer
  clfsload verify --source /mnt/data /mnt/disk/mycontainer

Exit status: 0 clean, possibly with notes; 3 errors or warnings; 1 the container could not be checked;
2 the command line is wrong.";

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let mut options = VerifyOptions::default();
    options.source.clone_from(&arguments.source);
    if arguments.quick {
        options.depth = Depth::Quick;
    }
    let format = match arguments.json {
        true => Format::Json,
        false => Format::Text,
    };
    let session = arguments.place.open(true)?;
    session.wait(check(&session.reader, &options, format))
}

/// Verifies a container, prints findings and summary, and returns the exit status.
///
/// # Errors
/// If the container cannot be checked, or the findings cannot be printed.
pub(crate) async fn check(
    reader: &Arc<Reader>,
    options: &VerifyOptions,
    format: Format,
) -> Result<Status, Failure> {
    let output = Output::default();
    let sink = {
        let output = output.clone();
        Box::new(move |finding: &Finding| match format {
            Format::Text => output.line(&finding.to_string()),
            Format::Json => output.line(&finding.json()),
        })
    };
    let summary = verify(reader, options, sink).await?;
    match format {
        Format::Text => summary.lines().iter().for_each(|line| output.line(line)),
        Format::Json => output.line(&summary.json()),
    }
    output.end()?;
    Ok(match summary.is_clean() {
        true => Status::Done,
        false => Status::Problems,
    })
}

/// Standard output, and the first error of writing to it. The verification continues after an error,
/// because a user may need only the exit status; but lost findings are a failure.
#[derive(Debug, Clone, Default)]
struct Output(Arc<Mutex<Option<io::Error>>>);

impl Output {
    fn line(&self, line: &str) {
        if let Err(error) = writeln!(io::stdout(), "{line}") {
            lock(&self.0).get_or_insert(error);
        }
    }

    fn end(&self) -> Result<(), Failure> {
        match lock(&self.0).take() {
            // The reader has closed the pipe (`| head`).
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::not_printed(&error))
            }
            _ => Ok(()),
        }
    }
}

/// Returns the hint after a load that was not verified, with a command for a shell.
pub(crate) fn advice(location: &ContainerLocation) -> String {
    let mut line = b"to check it: clfsload verify ".to_vec();
    match location {
        ContainerLocation::Folder { path } => {
            NameStyle::ShellEscape.append(&mut line, path.as_os_str().as_bytes());
        }
        azure => line.extend_from_slice(azure.identity().as_bytes()),
    }
    String::from_utf8_lossy(&line).into_owned()
}
