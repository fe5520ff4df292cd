//! The arguments of a load.

use std::net::{SocketAddr, TcpListener};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, Parser, ValueEnum};
use clfs_format::Compression;

use super::args::address;
use super::args::credential::{self, TokenArguments};
use super::output::{Azcopy, Json, Output};
use super::verify::Form;
use super::{Failure, Status, hint, overview};
use crate::cli::version::version;
use crate::container::credential::sas::redacted;
use crate::events::Level;
use crate::identity::Seed;
use crate::load::pipeline::WhenChanged;
use crate::load::upload::UploadLimits;
use crate::load::{LoadOptions, Mode};
use crate::source::SourceIdentity;

/// Loads a folder into an empty Azure Blob container in CLFS format, for an Avere cache to attach.
///
/// Run it with --new to start a transfer. After an interruption, run the same command without --new to resume.
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
    /// It needs about 150 bytes for each entry of the source. If it has the same name as a command, write ./ls.
    #[arg(value_name = "STATE_DIR")]
    state: PathBuf,
    /// Folder to load
    source: PathBuf,
    /// Storage account: its name, its URL, or file:///PATH for a local folder
    account: String,
    /// Container: must exist and be empty
    ///
    /// With file:///PATH it is a folder in PATH, created if it does not exist; PATH must exist.
    container: String,
    /// SAS token with permissions rwdl; --sas-token-file is safer
    ///
    /// "-" reads it from standard input. Prefer --sas-token-file or AZURE_STORAGE_SAS_TOKEN, which other users of
    /// the machine cannot see.
    #[arg(value_name = "SAS_TOKEN")]
    sas: Option<String>,

    /// Start a new transfer. Without --new, resume the one in STATE_DIR
    #[arg(long, help_heading = "Transfer")]
    new: bool,
    /// File whose only line is the SAS token, "-" for standard input
    ///
    /// Without it and without SAS_TOKEN, the token is read from AZURE_STORAGE_SAS_TOKEN. When the token expires
    /// during the load, the next one is read from the file.
    #[arg(
        long,
        value_name = "FILE",
        alias = "sas_token_file",
        conflicts_with = "sas",
        help_heading = "Transfer"
    )]
    sas_token_file: Option<PathBuf>,
    /// Blob endpoint of the account, for private endpoints, other clouds and emulators
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
    /// Cannot be changed on resume.
    #[arg(
        long,
        value_name = "KIND",
        value_enum,
        ignore_case = true,
        help_heading = "Transfer"
    )]
    compression: Option<CompressionKind>,
    /// 1: preserve hard links; 0: load each name as a separate file [default: 0]
    ///
    /// Cannot be changed on resume.
    #[arg(long, value_name = "0|1", alias = "preserve_hardlinks", value_parser = parse_switch, action = ArgAction::Set, help_heading = "Transfer")]
    preserve_hardlinks: Option<bool>,
    /// Stop after N failed entries (0: no limit)
    ///
    /// Only entries that fail in this run are counted.
    #[arg(
        long,
        value_name = "N",
        alias = "max_errors",
        default_value_t = 50,
        help_heading = "Failures"
    )]
    max_errors: u64,
    /// 1: retry failed entries on resume; 0: do not
    #[arg(long, value_name = "0|1", alias = "retry_errors", value_parser = parse_switch, action = ArgAction::Set, default_value = "1", help_heading = "Failures", hide_short_help = true)]
    retry_errors: bool,
    /// Finish without the failed entries
    #[arg(long, alias = "skip_failed", help_heading = "Failures")]
    skip_failed: bool,
    /// What to do with a file that changes while it is read: retry, store or fail
    ///
    /// retry reads it again; if it changes again, it is stored as with store. store stores it with the size and
    /// times from before the read, and prints a warning. fail reads it again; if it changes again, it is a failed
    /// entry.
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        default_value = "retry",
        hide_possible_values = true,
        help_heading = "Failures",
        hide_short_help = true
    )]
    changed: ChangedAction,
    /// How the source is identified: inodes, attributes or accept
    ///
    /// Applies to this run only. inodes: by inode numbers and the identity of the file system. attributes: by mode,
    /// owner and times, for file systems with unstable inode numbers (some FUSE and SMB mounts). accept: accept a
    /// source that cannot be identified, unless it is proven to be another file system.
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        default_value = "inodes",
        alias = "source_identity",
        help_heading = "Transfer",
        hide_short_help = true
    )]
    source_identity: IdentityMethod,
    /// Verify the container after the load
    ///
    /// Checks what clfsload verify checks. Findings result in exit status 3.
    #[arg(long, help_heading = "Transfer")]
    verify: bool,
    /// Report a call of the source that takes longer than this
    #[arg(long, value_name = "SECONDS", hide = true, default_value_t = 30)]
    source_patience: u64,
    /// How long a request is retried after transient failures before the transfer pauses
    #[arg(
        long,
        value_name = "SECONDS",
        alias = "retry_patience",
        default_value_t = 600,
        help_heading = "Failures",
        hide_short_help = true
    )]
    retry_patience: u64,
    /// Concurrent requests [default: adjusted during the load for maximum throughput, up to 1024]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096), help_heading = "Limits", hide_short_help = true)]
    concurrency: Option<u16>,
    /// Maximum upload rate in bytes per second, such as 100M [default: no limit]
    ///
    /// Counts the content of requests. K, M and G are powers of 1024 (bytes, not bits). At least 64K.
    #[arg(long, value_name = "RATE", alias = "bandwidth_limit", value_parser = parse_rate, help_heading = "Limits")]
    bandwidth_limit: Option<NonZeroU64>,
    /// Memory for files and objects in flight
    ///
    /// With K, M or G; at least 32M. The rest of the program needs about 64M more.
    #[arg(long, value_name = "SIZE", value_parser = super::size::parse, default_value = "64M", help_heading = "Limits")]
    memory: u64,
    /// Maximum number of threads that read and compress files; a fast source needs fewer
    #[arg(long,
        value_name = "N",
        visible_alias = "worker_thread_count",
        alias = "worker-thread-count",
        value_parser = clap::value_parser!(u16).range(1..=256),
        default_value_t = 64, help_heading = "Limits", hide_short_help = true)]
    worker_threads: u16,
    /// Show no progress
    ///
    /// Neither the display on a terminal nor progress lines.
    #[arg(long, help_heading = "Output")]
    no_progress: bool,
    /// Seconds between progress lines, without a terminal [default: 30; JSON: 5]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Output", hide_short_help = true)]
    progress_interval: Option<u64>,
    /// Output format: text, or one JSON object per line (docs/output.md)
    #[arg(
        long,
        value_name = "FORM",
        value_enum,
        default_value = "text",
        help_heading = "Output"
    )]
    output: OutputFormat,
    /// Print progress in the format that AzCopy reads
    #[arg(
        long,
        conflicts_with = "output",
        help_heading = "Output",
        hide_short_help = true
    )]
    azcopy: bool,
    /// Serve Prometheus metrics at http://ADDRESS:PORT/metrics [default ADDRESS: 127.0.0.1]
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = super::metrics::parse_address, help_heading = "Output", hide_short_help = true)]
    metrics_listen: Option<SocketAddr>,
    /// Minimum level of events in the log, STATE_DIR/output.txt
    #[arg(
        long,
        value_name = "LEVEL",
        alias = "log_level",
        value_enum,
        default_value = "info",
        help_heading = "Output",
        hide_short_help = true
    )]
    log_level: LogLevel,
    /// Milliseconds without a response after which a request is retried
    #[arg(long, value_name = "MILLISECONDS", hide = true)]
    answer_timeout: Option<u64>,
    /// Seed of all ids, for tests that compare containers
    #[arg(long, value_name = "HEX", hide = true)]
    seed: Option<Seed>,
}

/// The values of `--compression`, as the original spells them.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "UPPERCASE")]
pub(super) enum CompressionKind {
    Lz4,
    Disabled,
}

impl CompressionKind {
    pub(super) fn compression(self) -> Compression {
        match self {
            CompressionKind::Lz4 => Compression::Lz4,
            CompressionKind::Disabled => Compression::Disabled,
        }
    }
}

/// The values of `--changed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ChangedAction {
    Retry,
    Store,
    Fail,
}

impl ChangedAction {
    fn when_changed(self) -> WhenChanged {
        match self {
            ChangedAction::Retry => WhenChanged::Retry,
            ChangedAction::Store => WhenChanged::Store,
            ChangedAction::Fail => WhenChanged::Fail,
        }
    }
}

/// The values of `--source-identity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum IdentityMethod {
    Inodes,
    Attributes,
    Accept,
}

/// The values of `--output`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OutputFormat {
    Text,
    Json,
}

/// The values of `--log-level`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogLevel {
    Debug,
    Info,
    Warning,
    Error,
}

fn parse_rate(text: &str) -> Result<NonZeroU64, String> {
    let rate = super::size::parse(text)?;
    // Below this, an object of 8 MiB could not be sent before the service's timeout.
    NonZeroU64::new(rate)
        .filter(|rate| rate.get() >= MIN_RATE)
        .ok_or_else(|| format!("must be at least {}K", MIN_RATE >> 10))
}

/// The minimum bandwidth limit.
const MIN_RATE: u64 = 64 << 10;

fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err("must be 0 or 1".to_owned()),
    }
}

impl Arguments {
    pub(super) fn mode(&self) -> Mode {
        match self.new {
            true => Mode::New,
            false => Mode::Resume,
        }
    }

    /// The output of the load.
    pub(super) fn output(&self) -> Arc<dyn Output> {
        let every = |default| Duration::from_secs(self.progress_interval.unwrap_or(default));
        match self.output {
            _ if self.azcopy => Arc::new(Azcopy::new()),
            OutputFormat::Text => {
                super::output::for_people(!self.no_progress, every(30), self.state.clone())
            }
            OutputFormat::Json => Arc::new(Json::new((!self.no_progress).then(|| every(5)))),
        }
    }

    /// The format of the findings of `--verify`.
    pub(super) fn verify_form(&self) -> Form {
        match self.output {
            OutputFormat::Text => Form::Lines,
            OutputFormat::Json => Form::Json,
        }
    }

    /// The listener for `--metrics-listen`.
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

    /// The minimum level of events in the log.
    pub(super) fn log_level(&self) -> Level {
        match self.log_level {
            LogLevel::Debug => Level::Debug,
            LogLevel::Info => Level::Info,
            LogLevel::Warning => Level::Warning,
            LogLevel::Error => Level::Error,
        }
    }

    /// A suggestion for a load with these arguments that was refused.
    pub(super) fn hint(&self) -> Option<String> {
        hint::for_load(&self.state, &self.source, &self.account, self.new)
    }

    /// The options that are recorded in the history, without secrets.
    pub(super) fn recorded(&self) -> Vec<(String, String)> {
        let mut recorded = Vec::new();
        let mut record = |name: &str, value: Option<String>| {
            recorded.extend(value.map(|value| (name.to_owned(), value)));
        };
        record("--new", self.new.then(String::new));
        record("--concurrency", self.concurrency.map(|n| n.to_string()));
        record(
            "--bandwidth-limit",
            self.bandwidth_limit.map(|n| n.to_string()),
        );
        record("--memory", Some(self.memory.to_string()));
        record("--worker-threads", Some(self.worker_threads.to_string()));
        record("--max-errors", Some(self.max_errors.to_string()));
        record("--retry-patience", Some(self.retry_patience.to_string()));
        record(
            "--source-identity",
            match self.source_identity {
                IdentityMethod::Inodes => None,
                IdentityMethod::Attributes => Some("attributes".to_owned()),
                IdentityMethod::Accept => Some("accept".to_owned()),
            },
        );
        record("--skip-failed", self.skip_failed.then(String::new));
        let changed = self.changed.to_possible_value();
        let changed = changed.filter(|_| self.changed != ChangedAction::Retry);
        record(
            "--changed",
            changed.map(|value| value.get_name().to_owned()),
        );
        recorded
    }

    /// Whether the container is verified after the load.
    pub(super) fn verify(&self) -> bool {
        self.verify
    }

    pub(super) fn load_options(&self) -> Result<LoadOptions, Failure> {
        // It would be created as a folder of that name in the current one.
        if let Some(hint) = hint::windows_path(&self.state) {
            return Err(Failure::usage(hint));
        }
        let endpoint = self.blob_endpoint.as_deref();
        let container =
            address::of_load(&self.account, &self.container, endpoint).map_err(Failure::usage)?;
        let given = TokenArguments {
            url: None,
            argument: self.sas.as_deref(),
            file: self.sas_token_file.as_deref(),
        };
        let credential = credential::find(&container, &given)?;
        let mut options = LoadOptions::new(self.state.clone(), self.source.clone(), container);
        options.credential = credential;
        options.compression = self.compression.map(CompressionKind::compression);
        options.preserve_hardlinks = self.preserve_hardlinks;
        options.seed = self.seed;
        options.source_identity = match self.source_identity {
            IdentityMethod::Inodes => SourceIdentity::Inodes,
            IdentityMethod::Attributes => SourceIdentity::Attributes,
            IdentityMethod::Accept => SourceIdentity::Accept,
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

/// Prints the parser's message, without the signature of a token in the wrong place.
pub(super) fn explain(error: &clap::Error) -> Status {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe (`| head`) is not a failure.
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
