//! `clfsload verify`: findings as lines, figures at the end.

use std::path::PathBuf;
use std::process::exit;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::command::{ContainerWords, Session};
use super::{Failure, Status, terminal};
use crate::read::Reader;
use crate::verify::{Depth, Finding, Summary, VerifyError, VerifyOptions, verify};

/// Checks a container by every rule of the format, as fsck does a file system; changes nothing
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: ContainerWords,
    /// Compare the container with this folder, which it was loaded from
    #[arg(long, value_name = "FOLDER")]
    source: Option<PathBuf>,
    /// Do not read the content of files: only look whether their segments are there
    #[arg(long)]
    quick: bool,
    /// Read every blob; this is the default
    #[arg(long, conflicts_with = "quick")]
    full: bool,
    /// One JSON object a line; the last one is the summary
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  clfsload verify https://myaccount.blob.core.windows.net/mycontainer --sas-token-file token
  clfsload verify --quick /mnt/disk/mycontainer
  clfsload verify --source /mnt/data /mnt/disk/mycontainer

Exit status: 0 clean, maybe with notes; 3 there are errors or warnings; 1 the container could not be
checked; 2 the command is wrong.";

pub(super) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let mut options = VerifyOptions::default();
    options.source.clone_from(&arguments.source);
    if arguments.quick {
        options.depth = Depth::Quick;
    }
    let session = arguments.place.open(true)?;
    let form = match arguments.json {
        true => Form::Json,
        false => Form::Lines,
    };
    let Session {
        reader, runtime, ..
    } = session;
    runtime.block_on(check(&reader, &options, form))
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Lines,
    /// One JSON object a line.
    Json,
}

/// Verifies, prints and gives the exit status. The first SIGINT or SIGTERM ends it and removes what
/// it has on disk; the second does not wait for that.
pub(super) async fn check(
    reader: &Arc<Reader>,
    options: &VerifyOptions,
    form: Form,
) -> Result<Status, Failure> {
    let sink = Box::new(move |finding: &Finding| print(finding, form));
    let summary = tokio::select! {
        summary = verify(reader, options, sink) => summary?,
        () = asked_to_end() => {
            tokio::spawn(async {
                asked_to_end().await;
                exit(Status::Failed as i32);
            });
            let message = "stopped: nothing is known about the container; run it again".to_owned();
            return Err(Failure { message, status: Status::Failed });
        }
    };
    show(&summary, form);
    Ok(match summary.is_clean() {
        true => Status::Done,
        false => Status::Problems,
    })
}

async fn asked_to_end() {
    let asked = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => Signal::recv(&mut signal).await,
            // Without a handler the signal ends the process.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = asked(SignalKind::interrupt()) => {}
        _ = asked(SignalKind::terminate()) => {}
    }
}

fn print(finding: &Finding, form: Form) {
    match form {
        Form::Lines => terminal::out(&finding.to_string()),
        Form::Json => terminal::out(&finding.json()),
    }
}

fn show(summary: &Summary, form: Form) {
    match form {
        Form::Lines => summary.lines().iter().for_each(|line| terminal::out(line)),
        Form::Json => terminal::out(&summary.json()),
    }
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
