//! The commands other than the load, and what those that read a container have in common.

use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use tokio::runtime::Runtime;

use super::printer::Halt;
use super::sas_source::sas_token;
use super::signals::on_signals;
use super::{Failure, Status, arguments, terminal};
use super::{cat, completions, du, extract, find, ls, man, report, stat, status, verify};
use crate::cli::version::version;
use crate::container::address::ContainerAddress;
use crate::container::hints;
use crate::container::location::{ContainerLocation, LocationError};
use crate::container::notice::Notice;
use crate::events::{Event, Level};
use crate::read::index::Offline;
use crate::read::{OpenOptions, ReadError, Reader};
use crate::stop::StopFlag;

/// The max number of threads that may block: 64 entries of an extraction, 64 reads of a folder container, and a few
/// others. A busy machine would otherwise start many more than can work, and each keeps a heap.
const BLOCKING_THREADS: usize = 144;

/// Reads CLFS containers: lists, verifies and extracts them.
#[derive(Debug, Parser)]
#[command(name = "clfsload", version = version(), max_term_width = 100)]
pub(super) struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(ls::Arguments),
    Stat(stat::Arguments),
    Cat(cat::Arguments),
    Du(du::Arguments),
    Find(find::Arguments),
    Extract(extract::Arguments),
    Verify(verify::Arguments),
    Status(status::Arguments),
    Report(report::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// Whether the first argument is a command. Any other argument is the state folder of a load.
pub(super) fn is_command(argument: Option<&OsStr>) -> bool {
    argument.is_some_and(|name| {
        name == "help" || CommandLine::command().find_subcommand(name).is_some()
    })
}

/// Parses the arguments that follow the program's name.
pub(super) fn parse<A: Into<OsString> + Clone>(
    arguments: impl IntoIterator<Item = A>,
) -> Result<CommandLine, clap::Error> {
    let name = OsString::from("clfsload");
    CommandLine::try_parse_from(std::iter::once(name).chain(arguments.into_iter().map(Into::into)))
}

/// The list of commands, one per line: `  ls           Lists directories of a container`.
pub(super) fn list() -> String {
    let line = CommandLine::command();
    let lines = line.get_subcommands().map(|command| {
        let about = command.get_about().map(ToString::to_string);
        format!("  {:<12} {}", command.get_name(), about.unwrap_or_default())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The load and the commands as one definition, for manual pages and completions, not for parsing. The positional
/// arguments are those of a load.
pub(super) fn with_load() -> clap::Command {
    let line = CommandLine::command();
    arguments::Arguments::command()
        .subcommands(line.get_subcommands().cloned())
        .subcommand_negates_reqs(true)
        .subcommand_value_name("COMMAND")
        .subcommand_help_heading("Commands")
        .disable_help_subcommand(true)
}

/// Runs the command with the process's arguments.
pub(super) fn run() -> Result<Status, Failure> {
    let line = match parse(std::env::args_os().skip(1)) {
        Ok(line) => line,
        Err(error) => return Ok(arguments::explain(&error)),
    };
    match &line.command {
        Command::Ls(arguments) => ls::run(arguments),
        Command::Stat(arguments) => stat::run(arguments),
        Command::Cat(arguments) => cat::run(arguments),
        Command::Du(arguments) => du::run(arguments),
        Command::Find(arguments) => find::run(arguments),
        Command::Extract(arguments) => extract::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::Completions(arguments) => completions::run(arguments),
        Command::Man(arguments) => man::run(arguments),
    }
}

/// The container and how it is read.
#[derive(Debug, Clone, Args)]
pub(super) struct ContainerArguments {
    /// https://ACCOUNT.blob.core.windows.net/CONTAINER, or the path of a folder of blobs
    #[arg(value_name = "CONTAINER")]
    container: OsString,
    /// File with the SAS token, "-" for standard input [default: AZURE_STORAGE_SAS_TOKEN]
    #[arg(long, value_name = "FILE")]
    sas_token_file: Option<PathBuf>,
    /// Cache the list of the container's names in this file
    #[arg(long, value_name = "FILE")]
    pub(super) index: Option<PathBuf>,
    /// How long failed requests are retried; a tenth of it for a single blob
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    retry_patience: u64,
}

/// An open container and the runtime of its calls.
pub(super) struct Session {
    pub(super) reader: Arc<Reader>,
    pub(super) location: ContainerLocation,
    pub(super) stop: Arc<StopFlag>,
    /// Dropped last, because calls of the reader run on it.
    pub(super) runtime: Runtime,
}

impl Session {
    /// Runs work that only reads until it ends or a stop is requested.
    pub(super) fn wait<T>(&self, work: impl Future<Output = Result<T, Halt>>) -> Result<T, Halt> {
        self.runtime.block_on(until_stopped(&self.stop, work))
    }
}

/// The result of `work`, or [`ReadError::Stopped`] if a stop is requested first.
async fn until_stopped<T, E: From<ReadError>>(
    stop: &StopFlag,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::select! {
        result = work => result,
        () = stop.requested(Duration::ZERO) => Err(ReadError::Stopped.into()),
    }
}

/// Requests a stop at the first signal, so that temporary files are removed, and ends the process at the second.
pub(super) fn stop_on_signals(runtime: &Runtime, stop: &Arc<StopFlag>) {
    let stop = Arc::clone(stop);
    let exit = || std::process::exit(i32::from(Status::Failed as u8));
    on_signals(runtime.handle(), move || stop.request(), exit);
}

impl ContainerArguments {
    /// Opens the container. With `list_first`, all its names are listed first, for commands that read most of it.
    pub(super) fn open(&self, list_first: bool) -> Result<Session, Failure> {
        super::raise_descriptor_limit();
        let address = ContainerAddress::parse(&self.container).map_err(Failure::usage)?;
        let token = match (address.needs_token(), &self.sas_token_file) {
            (false, _) => None,
            (true, Some(file)) if file.as_os_str() == "-" => sas_token(Some("-"), None)?,
            (true, file) => sas_token(None, file.as_deref())?,
        };
        let mut location = address.locate(token).map_err(|error| match error {
            LocationError::SasMissing(_) => Failure::usage(format!(
                "{error}: give it with --sas-token-file, in AZURE_STORAGE_SAS_TOKEN, or after a '?' in the URL"
            )),
            error => Failure::usage(error),
        })?;
        if let Some(file) = &self.sas_token_file
            && file.is_file()
        {
            location = location.with_sas_file(file.clone());
        }
        if let ContainerLocation::Folder { path } = &location {
            check_folder(path, &self.container)?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()
            .map_err(|error| Failure {
                message: format!("the threads could not be started: {error}"),
                status: Status::Failed,
            })?;
        let mut options = OpenOptions {
            index: self.index.clone(),
            list_first,
            ..OpenOptions::default()
        };
        options.retry.patience = Duration::from_secs(self.retry_patience);
        let stop = Arc::clone(&options.stop);
        let notices = Arc::new(|notice: &Notice<'_>| {
            let event = Event::Container(notice);
            if event.level() > Level::Debug {
                terminal::err(&format!("clfsload: {event}"));
            }
        });
        stop_on_signals(&runtime, &stop);
        let opening = Reader::open(&location, &options, notices);
        let reader = runtime.block_on(until_stopped(&stop, opening))?;
        if let Some(warning) = archived(reader.offline()?, reader.location()) {
            terminal::err(&format!("clfsload: warning: {warning}"));
        }
        Ok(Session {
            reader: Arc::new(reader),
            location,
            stop,
            runtime,
        })
    }
}

/// The warning about archived objects, after the container was listed.
fn archived(offline: Offline, location: &str) -> Option<String> {
    let Offline {
        archived,
        rehydrating,
    } = offline;
    let rehydration = match rehydrating {
        0 => String::new(),
        some => format!(" ({some} of them are being rehydrated)"),
    };
    let objects = match archived {
        1 => "1 object of the container is".to_owned(),
        count => format!("{count} objects of the container are"),
    };
    (archived > 0).then(|| {
        format!(
            "{objects} archived and cannot be read{rehydration}. Rehydrate them, which takes up to 15 hours, then run this again. This command also moves blobs of the cool and cold tiers to the hot tier: azcopy set-properties \"{location}\" --block-blob-tier=hot --recursive"
        )
    })
}

/// Checks that the folder exists. A mistyped URL is usually taken for the path of a folder.
fn check_folder(path: &Path, argument: &OsStr) -> Result<(), Failure> {
    let problem = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => "it is a file, not a folder".to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let text = argument.to_str().unwrap_or_default();
            if let Some(url) = hints::url_without_scheme(text) {
                return Err(Failure::usage(format!(
                    "the folder does not exist; to read the container, give its URL with the scheme: {url}"
                )));
            }
            if let Some(hint) = hints::windows_path(text) {
                return Err(Failure::usage(hint));
            }
            "the folder does not exist".to_owned()
        }
        Err(error) => error.to_string(),
    };
    Err(Failure {
        message: format!(
            "{}: {problem}; CONTAINER is the path of a folder of blobs, or \
             https://ACCOUNT.blob.core.windows.net/CONTAINER",
            path.display()
        ),
        status: Status::Failed,
    })
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Failure {
            message: error.to_string(),
            status: match error {
                ReadError::Token(_) => Status::Usage,
                _ => Status::Failed,
            },
        }
    }
}
