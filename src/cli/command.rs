//! The commands that read a container: their words, and what they have in common.

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
use crate::container::address::ContainerAddress;
use crate::container::hints;
use crate::container::location::{ContainerLocation, LocationError};
use crate::container::notice::Notice;
use crate::monitor::{Event, Level};
use crate::read::index::Offline;
use crate::read::{OpenOptions, ReadError, Reader};
use crate::stop::StopFlag;
use crate::version::version;

/// Reads CLFS containers: lists, verifies and extracts them.
#[derive(Debug, Parser)]
#[command(name = "clfsload", version = version(), max_term_width = 100)]
pub(super) struct Words {
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

/// Whether the first word of a command line is one of these commands; any other is the state folder
/// of a load.
pub(super) fn is_command(word: Option<&OsStr>) -> bool {
    word.is_some_and(|word| word == "help" || Words::command().find_subcommand(word).is_some())
}

/// Reads the words behind the program's name.
pub(super) fn parse<W: Into<OsString> + Clone>(
    words: impl IntoIterator<Item = W>,
) -> Result<Words, clap::Error> {
    let name = OsString::from("clfsload");
    Words::try_parse_from(std::iter::once(name).chain(words.into_iter().map(Into::into)))
}

/// The commands, a line each: `  ls           Lists directories of a container`.
pub(super) fn list() -> String {
    let words = Words::command();
    let lines = words.get_subcommands().map(|command| {
        let about = command.get_about().map(ToString::to_string);
        format!("  {:<12} {}", command.get_name(), about.unwrap_or_default())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The load and the commands as one: for what tells of all of it, not for parsing. The load's
/// positional words are those of `clfsload` without a command.
pub(super) fn whole() -> clap::Command {
    let words = Words::command();
    arguments::Arguments::command()
        .subcommands(words.get_subcommands().cloned())
        .subcommand_negates_reqs(true)
        .subcommand_value_name("COMMAND")
        .subcommand_help_heading("Commands")
        .disable_help_subcommand(true)
}

/// Runs the command with the process's arguments.
pub(super) fn run() -> Result<Status, Failure> {
    let words = match parse(std::env::args_os().skip(1)) {
        Ok(words) => words,
        Err(error) => return Ok(arguments::explain(&error)),
    };
    match &words.command {
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

/// Where the container is, and how it is read.
#[derive(Debug, Clone, Args)]
pub(super) struct ContainerWords {
    /// https://ACCOUNT.blob.core.windows.net/CONTAINER, or the path of a folder of blobs
    #[arg(value_name = "CONTAINER")]
    container: OsString,
    /// File with the SAS token, "-" for standard input [default: AZURE_STORAGE_SAS_TOKEN]
    #[arg(long, value_name = "FILE")]
    sas_token_file: Option<PathBuf>,
    /// Keep the list of the container's names in this file; use it if it is there
    #[arg(long, value_name = "FILE")]
    pub(super) index: Option<PathBuf>,
    /// How long requests may keep failing; a tenth of it for a single blob
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    retry_patience: u64,
}

/// An open container, and what its calls run on.
pub(super) struct Session {
    pub(super) reader: Arc<Reader>,
    pub(super) location: ContainerLocation,
    pub(super) stop: Arc<StopFlag>,
    /// Dropped last: calls of the reader run on it.
    pub(super) runtime: Runtime,
}

impl Session {
    /// Does work that only reads, until it ends or the command is to stop.
    pub(super) fn wait<T>(&self, work: impl Future<Output = Result<T, Halt>>) -> Result<T, Halt> {
        self.runtime.block_on(until_stopped(&self.stop, work))
    }
}

/// What `work` gives, or an error when the command is to stop before.
async fn until_stopped<T, E: From<ReadError>>(
    stop: &StopFlag,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::select! {
        ended = work => ended,
        () = stop.requested(Duration::ZERO) => Err(ReadError::Stopped.into()),
    }
}

/// The first signal asks the command to stop, so that its temporary files are removed; the second
/// ends the process.
pub(super) fn stop_on_signals(runtime: &Runtime, stop: &Arc<StopFlag>) {
    let stop = Arc::clone(stop);
    let end = || std::process::exit(i32::from(Status::Failed as u8));
    on_signals(runtime.handle(), move || stop.request(), end);
}

impl ContainerWords {
    /// Opens the container. With `whole` all its names are listed first: for commands that visit
    /// most of it.
    pub(super) fn open(&self, whole: bool) -> Result<Session, Failure> {
        super::raise_descriptor_limit();
        let address = ContainerAddress::parse(&self.container).map_err(Failure::usage)?;
        let token = match (address.needs_token(), &self.sas_token_file) {
            (false, _) => None,
            (true, Some(file)) if file.as_os_str() == "-" => sas_token(Some("-"), None)?,
            (true, file) => sas_token(None, file.as_deref())?,
        };
        let mut location = address.locate(token).map_err(|error| match error {
            LocationError::SasMissing(_) => Failure::usage(format!(
                "{error}: give it with --sas-token-file, in AZURE_STORAGE_SAS_TOKEN, or in the URL behind a '?'"
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
            .build()
            .map_err(|error| Failure {
                message: format!("the threads could not be started: {error}"),
                status: Status::Failed,
            })?;
        let mut options = OpenOptions {
            index: self.index.clone(),
            whole,
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

/// What is said once about archived objects, when the container was listed.
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

/// A wrong word is most often taken for the path of a folder.
fn check_folder(path: &Path, word: &OsStr) -> Result<(), Failure> {
    let problem = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => "it is no folder".to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let word = word.to_str().unwrap_or_default();
            if let Some(url) = hints::url_without_scheme(word) {
                return Err(Failure::usage(format!(
                    "there is no such folder; for the container give its URL with the scheme: {url}"
                )));
            }
            if let Some(hint) = hints::windows_path(word) {
                return Err(Failure::usage(hint));
            }
            "there is no such folder".to_owned()
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
