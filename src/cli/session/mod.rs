//! What the commands that read a container have in common: its arguments, the open container, and its runtime.

pub(crate) mod signals;

use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::runtime::Runtime;

use signals::on_signals;

use super::args::credential::{self, TokenArguments};
use super::args::{address, location_hints as hints};
use super::output::terminal::{self, event_message};
use super::{Failure, Status};
use crate::container::ContainerLocation;
use crate::container::notice::Notice;
use crate::events::Event;
use crate::read::index::Offline;
use crate::read::{OpenOptions, ReadError, Reader};
use crate::stop::StopFlag;

/// The maximum number of threads that may block: 64 entries of an extraction, 64 reads of a folder container,
/// and a few others. A busy machine would otherwise start many more than can work, and each keeps a heap.
const BLOCKING_THREADS: usize = 144;

/// The container and how it is read.
#[derive(Debug, Clone, Args)]
pub(crate) struct ContainerArguments {
    /// https://ACCOUNT.blob.core.windows.net/CONTAINER, or the path of a folder of blobs
    #[arg(value_name = "CONTAINER")]
    container: OsString,
    /// File with the SAS token, "-" for standard input [default: AZURE_STORAGE_SAS_TOKEN]
    #[arg(long, value_name = "FILE")]
    sas_token_file: Option<PathBuf>,
    /// Cache the list of the container's names in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) index: Option<PathBuf>,
    /// How long failed requests are retried; a tenth of it for a single blob
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    retry_patience: u64,
}

/// An open container and the runtime of its calls.
pub(crate) struct Session {
    pub(crate) reader: Arc<Reader>,
    pub(crate) location: ContainerLocation,
    pub(crate) stop: Arc<StopFlag>,
    /// Dropped last, because calls of the reader run on it.
    pub(crate) runtime: Runtime,
}

impl Session {
    /// Runs work that only reads until it ends or a stop is requested.
    pub(crate) fn wait<T, E: From<ReadError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.runtime.block_on(until_stopped(&self.stop, work))
    }
}

/// Returns the result of `work`, or [`ReadError::Stopped`] if a stop is requested first.
pub(crate) async fn until_stopped<T, E: From<ReadError>>(
    stop: &StopFlag,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::select! {
        result = work => result,
        () = stop.requested(Duration::ZERO) => Err(ReadError::Stopped.into()),
    }
}

/// Requests a stop at the first signal, so that temporary files are removed, and ends the process at the second.
pub(crate) fn stop_on_signals(runtime: &Runtime, stop: &Arc<StopFlag>) {
    let stop = Arc::clone(stop);
    let exit = || std::process::exit(i32::from(Status::Failed as u8));
    on_signals(runtime.handle(), move || stop.request(), exit);
}

impl ContainerArguments {
    /// Opens the container. With `list_first`, all its names are listed first, for commands that read most of it.
    pub(crate) fn open(&self, list_first: bool) -> Result<Session, Failure> {
        raise_descriptor_limit();
        let (location, url) = address::of_argument(&self.container).map_err(Failure::usage)?;
        let given = TokenArguments {
            url,
            argument: None,
            file: self.sas_token_file.as_deref(),
        };
        let credential = credential::find(&location, &given)?;
        if let ContainerLocation::Folder { path } = &location {
            check_folder(path, &self.container)?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()
            .map_err(Failure::no_threads)?;
        let mut options = OpenOptions {
            credential,
            index: self.index.clone(),
            list_first,
            ..OpenOptions::default()
        };
        options.retry.patience = Duration::from_secs(self.retry_patience);
        let stop = Arc::clone(&options.stop);
        let notices = Arc::new(|notice: &Notice<'_>| {
            event_message(&Event::Container(notice));
        });
        stop_on_signals(&runtime, &stop);
        let opening = Reader::open(&location, &options, notices);
        let reader = runtime.block_on(until_stopped(&stop, opening))?;
        if let Some(warning) = archived(reader.offline()?, reader.location()) {
            terminal::warning(&warning);
        }
        Ok(Session {
            reader: Arc::new(reader),
            location,
            stop,
            runtime,
        })
    }
}

/// Returns the warning about archived objects, after the container was listed.
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
    Err(Failure::failed(format!(
        "{}: {problem}; CONTAINER is the path of a folder of blobs, or \
         https://ACCOUNT.blob.core.windows.net/CONTAINER",
        path.display()
    )))
}

/// Raises the soft limit of open files to the hard limit (getrlimit(2)). The soft limit is often 1,024 for the sake
/// of programs that use select(2), which this one does not.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // If this is not permitted, the limit stays, and the load has fewer concurrent requests.
    let _: rustix::io::Result<()> = setrlimit(Resource::Nofile, raised);
}
