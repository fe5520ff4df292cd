//! `clfsload verify`: prints findings as lines, and a summary.

use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;

use super::command::ContainerWords;
use super::printer::Halt;
use super::quoting::NameStyle;
use super::{Failure, Status};
use crate::container::ContainerLocation;
use crate::read::Reader;
use crate::verify::{Depth, Finding, VerifyError, VerifyOptions, verify};

/// Checks a container by all rules of the format; changes nothing
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: ContainerWords,
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

pub(super) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let mut options = VerifyOptions::default();
    options.source.clone_from(&arguments.source);
    if arguments.quick {
        options.depth = Depth::Quick;
    }
    let form = match arguments.json {
        true => Form::Json,
        false => Form::Lines,
    };
    let session = arguments.place.open(true)?;
    let checked = session.wait(async {
        let checked = check(&session.reader, &options, form).await;
        checked.map_err(Halt::Failed)
    });
    checked.map_err(|halt| match halt {
        Halt::Failed(failure) => failure,
        Halt::Closed => not_printed(&ErrorKind::BrokenPipe.into()),
    })
}

/// The format of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Text.
    Lines,
    /// One JSON object per line.
    Json,
}

/// Verifies a container, prints findings and summary, and returns the exit status.
///
/// # Errors
/// If the container cannot be checked, or the findings cannot be printed.
pub(super) async fn check(
    reader: &Arc<Reader>,
    options: &VerifyOptions,
    form: Form,
) -> Result<Status, Failure> {
    let output = Output::default();
    let sink = {
        let output = output.clone();
        Box::new(move |finding: &Finding| match form {
            Form::Lines => output.line(&finding.to_string()),
            Form::Json => output.line(&finding.json()),
        })
    };
    let summary = verify(reader, options, sink).await?;
    match form {
        Form::Lines => summary.lines().iter().for_each(|line| output.line(line)),
        Form::Json => output.line(&summary.json()),
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
            self.first().get_or_insert(error);
        }
    }

    fn end(&self) -> Result<(), Failure> {
        match self.first().take() {
            // The reader has closed the pipe (`| head`).
            Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(not_printed(&error)),
            _ => Ok(()),
        }
    }

    fn first(&self) -> std::sync::MutexGuard<'_, Option<io::Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_printed(error: &io::Error) -> Failure {
    Failure {
        message: format!("standard output: {error}"),
        status: Status::Failed,
    }
}

/// Returns the hint after a load that was not verified, with a command for a shell.
pub(super) fn advice(location: &ContainerLocation) -> String {
    let mut line = b"to check it: clfsload verify ".to_vec();
    match location {
        ContainerLocation::Folder { path } => {
            NameStyle::ShellEscape.append(&mut line, path.as_os_str().as_bytes());
        }
        azure => line.extend_from_slice(azure.identity().as_bytes()),
    }
    String::from_utf8_lossy(&line).into_owned()
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Read(error) => error.into(),
            error => Failure {
                message: error.to_string(),
                status: Status::Failed,
            },
        }
    }
}
