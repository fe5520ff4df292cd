//! The words of the command.

use std::net::{SocketAddr, TcpListener};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, Parser, ValueEnum};
use clfs_format::Compression;

use super::output::{Azcopy, Json, Output};
use super::sas_source::sas_token;
use super::verify::Form;
use super::{Failure, Status, hint, overview};
use crate::container::location::ContainerLocation;
use crate::container::sas::redacted;
use crate::identity::Seed;
use crate::load::{LoadOptions, Mode};
use crate::monitor::Level;
use crate::pass::WhenChanged;
use crate::source::SourceIdentity;
use crate::upload::UploadLimits;
use crate::version::version;

/// Loads a folder into an empty Azure Blob container in CLFS format, for an Avere cache to attach.
///
/// Run it with --new to begin; run the same line without --new to go on after an interruption.
#[derive(Debug, Parser)]
#[command(
    name = "clfsload",
    version = version(),
    max_term_width = 100,
    after_help = overview::short(),
    after_long_help = overview::long()
)]
pub(super) struct Arguments {
    /// Folder for the state of the transfer
    ///
    /// It needs about 150 bytes for each entry of the source. One that is called like a command is
    /// written ./ls.
    #[arg(value_name = "STATE_DIR")]
    state: PathBuf,
    /// Folder to load
    source: PathBuf,
    /// Storage account: its name, its URL, or file:///PATH for a local folder
    account: String,
    /// Container: must exist and be empty
    ///
    /// With file:///PATH it is a folder in PATH, made if it is not there; PATH must be there.
    container: String,
    /// SAS token with rights rwdl; better in a file, see below
    ///
    /// "-" reads it from standard input. Better are --sas-token-file and AZURE_STORAGE_SAS_TOKEN, which
    /// other users of the machine cannot see.
    #[arg(value_name = "SAS_TOKEN")]
    sas: Option<String>,

    /// Begin a transfer; without it, one goes on
    #[arg(long, help_heading = "Transfer")]
    new: bool,
    /// File whose only line is the SAS token
    ///
    /// Without it, and without SAS_TOKEN, the token is taken from AZURE_STORAGE_SAS_TOKEN. When the
    /// token ends during the load, the next one is read from the file.
    #[arg(
        long,
        value_name = "FILE",
        alias = "sas_token_file",
        conflicts_with = "sas",
        help_heading = "Transfer"
    )]
    sas_token_file: Option<PathBuf>,
    /// The account's blob endpoint, for private endpoints, other clouds and emulators
    #[arg(
        long,
        value_name = "URL",
        alias = "blob_endpoint",
        help_heading = "Transfer",
        hide_short_help = true
    )]
    blob_endpoint: Option<String>,
    /// Compression of objects [default: LZ4]
    ///
    /// On a resume it is as begun.
    #[arg(
        long,
        value_name = "KIND",
        value_enum,
        ignore_case = true,
        help_heading = "Transfer"
    )]
    compression: Option<CompressionWord>,
    /// 1: a file with several names stays one; 0: each is a file [default: 0]
    ///
    /// On a resume it is as begun.
    #[arg(long, value_name = "0|1", alias = "preserve_hardlinks", value_parser = parse_switch, action = ArgAction::Set, help_heading = "Transfer")]
    preserve_hardlinks: Option<bool>,
    /// Stop when so many entries have failed; 0: never
    ///
    /// Those of this run count; those that failed before are left out.
    #[arg(
        long,
        value_name = "N",
        alias = "max_errors",
        default_value_t = 50,
        help_heading = "Failures"
    )]
    max_errors: u64,
    /// 1: a resume tries failed entries again; 0: it leaves them
    #[arg(long, value_name = "0|1", alias = "retry_errors", value_parser = parse_switch, action = ArgAction::Set, default_value = "1", help_heading = "Failures", hide_short_help = true)]
    retry_errors: bool,
    /// Finish without the entries that failed
    #[arg(long, alias = "skip_failed", help_heading = "Failures")]
    skip_failed: bool,
    /// What to do with a file that changes while it is read: retry, store or fail
    ///
    /// retry reads it once more and, if it changes again, stores it as store does: with the size and
    /// times that it had before it was read, with a warning. fail reads it once more, and then it is
    /// a failed entry.
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        default_value = "retry",
        hide_possible_values = true,
        help_heading = "Failures",
        hide_short_help = true
    )]
    changed: ChangedWord,
    /// How the source is identified: inodes, attributes or accept
    ///
    /// For this run. inodes: by inode numbers and the identity of the file system. attributes: by mode,
    /// owner and times, for file systems with unstable inode numbers (some FUSE and SMB mounts).
    /// accept: take a source that cannot be identified, but is not shown to be another file system
    /// either, as the one that this transfer was started with.
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        default_value = "inodes",
        alias = "source_identity",
        help_heading = "Transfer",
        hide_short_help = true
    )]
    source_identity: IdentityWord,
    /// Check the container when the load is done
    ///
    /// It is checked as clfsload verify does; findings give exit status 3.
    #[arg(long, help_heading = "Transfer")]
    verify: bool,
    /// Seconds that the source may take for one call before that is told
    #[arg(long, value_name = "SECONDS", hide = true, default_value_t = 30)]
    source_patience: u64,
    /// How long one request may keep failing for a passing reason before the transfer comes to rest
    #[arg(
        long,
        value_name = "SECONDS",
        alias = "retry_patience",
        default_value_t = 600,
        help_heading = "Failures",
        hide_short_help = true
    )]
    retry_patience: u64,
    /// Requests at the same time [default: as many as bring throughput, found out while it runs, up to
    /// 1024]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096), help_heading = "Limits", hide_short_help = true)]
    concurrency: Option<u16>,
    /// Bytes to upload in a second, such as 100M [default: no limit]
    ///
    /// Of content, at most; K, M and G stand for powers of 1024 (bytes, not bits). At least 64K.
    #[arg(long, value_name = "RATE", alias = "bandwidth_limit", value_parser = parse_rate, help_heading = "Limits")]
    bandwidth_limit: Option<NonZeroU64>,
    /// Memory for files and objects on their way
    ///
    /// With K, M or G; at least 32M. The rest of the program takes about as much again as the default.
    #[arg(long, value_name = "SIZE", value_parser = super::size::parse, default_value = "64M", help_heading = "Limits")]
    memory: u64,
    /// The most threads that read and compress files; there are fewer where the source answers quickly
    #[arg(long,
        value_name = "N",
        visible_alias = "worker_thread_count",
        alias = "worker-thread-count",
        value_parser = clap::value_parser!(u16).range(1..=256),
        default_value_t = 64, help_heading = "Limits", hide_short_help = true)]
    worker_threads: u16,
    /// No figures while it runs
    ///
    /// Neither as a display on a terminal nor as lines.
    #[arg(long, help_heading = "Output")]
    no_progress: bool,
    /// Seconds between two lines of figures, where there is no display [default: 30; JSON: 5]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Output", hide_short_help = true)]
    progress_interval: Option<u64>,
    /// For people, or one JSON object a line (docs/output.md)
    #[arg(
        long,
        value_name = "FORM",
        value_enum,
        default_value = "text",
        help_heading = "Output"
    )]
    output: FormWord,
    /// Print the lines that AzCopy's integration reads
    #[arg(
        long,
        conflicts_with = "output",
        help_heading = "Output",
        hide_short_help = true
    )]
    azcopy: bool,
    /// Serve figures for Prometheus at http://ADDRESS:PORT/metrics; without ADDRESS for this host only
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = super::metrics::parse_address, help_heading = "Output", hide_short_help = true)]
    metrics_listen: Option<SocketAddr>,
    /// What goes into the log, STATE_DIR/output.txt
    #[arg(
        long,
        value_name = "LEVEL",
        alias = "log_level",
        value_enum,
        default_value = "info",
        help_heading = "Output",
        hide_short_help = true
    )]
    log_level: LevelWord,
    /// Milliseconds without an answer after which a request is made again
    #[arg(long, value_name = "MILLISECONDS", hide = true)]
    answer_timeout: Option<u64>,
    /// Where all ids come from: for tests that compare containers
    #[arg(long, value_name = "HEX", hide = true)]
    seed: Option<Seed>,
}

/// The words of `--compression`, as the original spells them.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "UPPERCASE")]
pub(super) enum CompressionWord {
    Lz4,
    Disabled,
}

impl CompressionWord {
    pub(super) fn compression(self) -> Compression {
        match self {
            CompressionWord::Lz4 => Compression::Lz4,
            CompressionWord::Disabled => Compression::Disabled,
        }
    }
}

/// The words of `--changed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ChangedWord {
    Retry,
    Store,
    Fail,
}

impl ChangedWord {
    fn when_changed(self) -> WhenChanged {
        match self {
            ChangedWord::Retry => WhenChanged::Retry,
            ChangedWord::Store => WhenChanged::Store,
            ChangedWord::Fail => WhenChanged::Fail,
        }
    }
}

/// The words of `--source-identity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum IdentityWord {
    Inodes,
    Attributes,
    Accept,
}

/// The words of `--output`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormWord {
    Text,
    Json,
}

/// The words of `--log-level`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum LevelWord {
    Debug,
    Info,
    Warning,
    Error,
}

fn parse_rate(word: &str) -> Result<NonZeroU64, String> {
    let rate = super::size::parse(word)?;
    // So that an object of 8 MiB is on its way before the service's patience ends.
    NonZeroU64::new(rate)
        .filter(|rate| rate.get() >= SLOWEST_RATE)
        .ok_or_else(|| format!("at least {}K is needed", SLOWEST_RATE >> 10))
}

/// The lowest bandwidth limit.
const SLOWEST_RATE: u64 = 64 << 10;

fn parse_switch(word: &str) -> Result<bool, String> {
    match word {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err("0 or 1 is possible".to_owned()),
    }
}

impl Arguments {
    pub(super) fn mode(&self) -> Mode {
        match self.new {
            true => Mode::New,
            false => Mode::Resume,
        }
    }

    /// Where the load tells what it does.
    pub(super) fn output(&self) -> Arc<dyn Output> {
        let every = |default| Duration::from_secs(self.progress_interval.unwrap_or(default));
        match self.output {
            _ if self.azcopy => Arc::new(Azcopy::new()),
            FormWord::Text => {
                super::output::for_people(!self.no_progress, every(30), self.state.clone())
            }
            FormWord::Json => Arc::new(Json::new((!self.no_progress).then(|| every(5)))),
        }
    }

    /// How findings of `--verify` are told.
    pub(super) fn verify_form(&self) -> Form {
        match self.output {
            FormWord::Text => Form::Lines,
            FormWord::Json => Form::Json,
        }
    }

    /// Where figures are asked for.
    pub(super) fn metrics(&self) -> Result<Option<TcpListener>, Failure> {
        let Some(address) = self.metrics_listen else {
            return Ok(None);
        };
        let listener = super::metrics::listen(address).map_err(|error| Failure {
            message: format!("--metrics-listen {address}: {error}"),
            status: Status::Failed,
        })?;
        Ok(Some(listener))
    }

    /// The state folder.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// The log in the state folder.
    pub(super) fn log_path(&self) -> PathBuf {
        self.state.join(crate::state::LOG_NAME)
    }

    /// The least grave events that go into the log.
    pub(super) fn log_level(&self) -> Level {
        match self.log_level {
            LevelWord::Debug => Level::Debug,
            LevelWord::Info => Level::Info,
            LevelWord::Warning => Level::Warning,
            LevelWord::Error => Level::Error,
        }
    }

    /// What was most likely meant, when a load with these words is refused.
    pub(super) fn hint(&self) -> Option<String> {
        hint::of_load(&self.state, &self.source, &self.account, self.new)
    }

    /// The options that matter to whoever reads the history later; no secrets.
    pub(super) fn told(&self) -> Vec<(String, String)> {
        let mut told = Vec::new();
        let mut tell = |name: &str, value: Option<String>| {
            told.extend(value.map(|value| (name.to_owned(), value)));
        };
        tell("--new", self.new.then(String::new));
        tell("--concurrency", self.concurrency.map(|n| n.to_string()));
        tell(
            "--bandwidth-limit",
            self.bandwidth_limit.map(|n| n.to_string()),
        );
        tell("--memory", Some(self.memory.to_string()));
        tell("--worker-threads", Some(self.worker_threads.to_string()));
        tell("--max-errors", Some(self.max_errors.to_string()));
        tell("--retry-patience", Some(self.retry_patience.to_string()));
        tell(
            "--source-identity",
            match self.source_identity {
                IdentityWord::Inodes => None,
                IdentityWord::Attributes => Some("attributes".to_owned()),
                IdentityWord::Accept => Some("accept".to_owned()),
            },
        );
        tell("--skip-failed", self.skip_failed.then(String::new));
        let changed = self.changed.to_possible_value();
        let changed = changed.filter(|_| self.changed != ChangedWord::Retry);
        tell("--changed", changed.map(|word| word.get_name().to_owned()));
        told
    }

    /// Whether the container is to be verified when the load is done.
    pub(super) fn verify(&self) -> bool {
        self.verify
    }

    /// Where the container is, once more: the token may have ended during the load and another one
    /// stand in its file. What a pipe gave cannot be asked for again.
    pub(super) fn location_now(
        &self,
        before: ContainerLocation,
    ) -> Result<ContainerLocation, Failure> {
        match &self.sas_token_file {
            Some(file) if file.is_file() => Ok(self.load_options()?.container),
            _ => Ok(before),
        }
    }

    pub(super) fn load_options(&self) -> Result<LoadOptions, Failure> {
        // It would be made, as a folder of that name in this one.
        if let Some(hint) = hint::windows_path(&self.state) {
            return Err(Failure::usage(hint));
        }
        let folder = self.account.starts_with("file:");
        let sas = match folder {
            true => None,
            false => sas_token(self.sas.as_deref(), self.sas_token_file.as_deref())?,
        };
        let mut container = ContainerLocation::parse(
            &self.account,
            &self.container,
            sas,
            self.blob_endpoint.as_deref(),
        )
        .map_err(Failure::usage)?;
        // What a pipe gave is gone; only a file can hold the next token.
        if let Some(file) = &self.sas_token_file
            && file.is_file()
        {
            container = container.with_sas_file(file.clone());
        }
        let mut options = LoadOptions::new(self.state.clone(), self.source.clone(), container);
        options.compression = self.compression.map(CompressionWord::compression);
        options.preserve_hardlinks = self.preserve_hardlinks;
        options.seed = self.seed;
        options.source_identity = match self.source_identity {
            IdentityWord::Inodes => SourceIdentity::Inodes,
            IdentityWord::Attributes => SourceIdentity::Attributes,
            IdentityWord::Accept => SourceIdentity::Accept,
        };
        options.max_problems = (self.max_errors > 0).then_some(self.max_errors);
        options.retry_problems = self.retry_errors;
        options.skip_failed = self.skip_failed;
        options.when_changed = self.changed.when_changed();
        options.retry.patience = Duration::from_secs(self.retry_patience);
        if let Some(timeout) = self.answer_timeout {
            options.request_timeouts.response = Duration::from_millis(timeout);
        }
        options.limits = UploadLimits {
            concurrency: self.concurrency.and_then(|n| NonZeroUsize::new(n.into())),
            bandwidth: self.bandwidth_limit,
            bytes: self.memory,
        };
        options.encode_threads = self.worker_threads.into();
        options.source_patience = Duration::from_secs(self.source_patience);
        Ok(options)
    }
}

/// Prints what the parser has to say, without the signature of a token that stood in the wrong
/// place.
pub(super) fn explain(error: &clap::Error) -> Status {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe (`| head`) is no failure.
            drop(error.print());
            Status::Done
        }
        _ => {
            super::terminal::err(redacted(&error.to_string()).trim_end());
            Status::Usage
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
#[path = "arguments_tests.rs"]
mod tests;
