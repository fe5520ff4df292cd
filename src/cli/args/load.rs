//! The arguments of a load and of a dry run.

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Args};
use clfs_format::Compression;

use super::address;
use super::credential::{self, TokenArguments};
use super::hint;
use super::values::{
    gigabytes, name_of, one_of, parse_address, parse_rate, parse_size, parse_switch,
};
use crate::cli::Failure;
use crate::cli::output::Format;
use crate::events::Level;
use crate::identity::Seed;
use crate::load::LoadOptions;
use crate::load::pipeline::WhenChanged;
use crate::load::upload::UploadLimits;
use crate::source::SourceIdentity;
use crate::survey::Synthetic;

const USAGE: &str = "\
clfsload load [--new] [OPTIONS] STATE_DIR SOURCE ACCOUNT CONTAINER [SAS_TOKEN]
       clfsload load --dry-run [OPTIONS] SOURCE";

const EXAMPLES: &str = "\
Examples (without --new, a load resumes):
  clfsload load --new /var/t1 /mnt/data myaccount mycontainer --sas-token-file token
  clfsload load /var/t1 /mnt/data myaccount mycontainer --sas-token-file token
  clfsload load --new /var/t2 /mnt/data file:///mnt/disk mycontainer
  clfsload load --dry-run /mnt/data

Exit status: 0 done; 1 failed or stopped (resume with the same command without --new); 2 the command is
wrong; 3 done or paused with failed entries. With --dry-run: 0 no entry would fail; 3 some would.";

const COMPRESSIONS: &[(&str, Compression)] = &[
    ("LZ4", Compression::Lz4),
    ("DISABLED", Compression::Disabled),
];
const CHANGED: &[(&str, WhenChanged)] = &[
    ("retry", WhenChanged::Retry),
    ("store", WhenChanged::Store),
    ("fail", WhenChanged::Fail),
];
const IDENTITIES: &[(&str, SourceIdentity)] = &[
    ("inodes", SourceIdentity::Inodes),
    ("attributes", SourceIdentity::Attributes),
    ("accept", SourceIdentity::Accept),
];
const FORMATS: &[(&str, Format)] = &[("text", Format::Text), ("json", Format::Json)];
const LEVELS: &[(&str, Level)] = &[
    ("debug", Level::Debug),
    ("info", Level::Info),
    ("warning", Level::Warning),
    ("error", Level::Error),
];

/// Loads a folder into an empty container, for an Avere cache to attach
///
/// Start a transfer with --new. After an interruption, resume with the same command without --new.
///
/// The word load can be omitted, as in the original: clfsload [--new] STATE_DIR SOURCE ACCOUNT CONTAINER.
#[derive(Debug, Args)]
#[command(override_usage = USAGE, after_help = EXAMPLES)]
pub(crate) struct LoadArguments {
    /// Folder for the state of the transfer
    ///
    /// It needs about 150 bytes for each entry of the source. If load is omitted and it has the same name as a
    /// command, write ./ls.
    #[arg(value_name = "STATE_DIR", required_unless_present = DRY_RUN)]
    state: Option<PathBuf>,
    /// Folder to load
    #[arg(required_unless_present = DRY_RUN)]
    source: Option<PathBuf>,
    /// Storage account: its name, its URL, or file:///PATH for a local folder
    #[arg(required_unless_present = DRY_RUN)]
    account: Option<String>,
    /// Container: must exist and be empty
    ///
    /// With file:///PATH it is a folder in PATH, created if it does not exist; PATH must exist.
    #[arg(required_unless_present = DRY_RUN)]
    container: Option<String>,
    /// SAS token with permissions rwdl; --sas-token-file is safer
    ///
    /// "-" reads it from standard input. Prefer --sas-token-file or AZURE_STORAGE_SAS_TOKEN, which other users of
    /// the machine cannot see.
    #[arg(value_name = "SAS_TOKEN")]
    pub(crate) sas: Option<String>,

    /// Start a new transfer. Without --new, resume the one in STATE_DIR
    #[arg(long, help_heading = "Transfer")]
    pub(crate) new: bool,
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
    pub(crate) blob_endpoint: Option<String>,
    /// Compression of objects [default: LZ4]
    ///
    /// Cannot be changed on resume.
    #[arg(
        long,
        value_name = "KIND",
        value_parser = one_of(COMPRESSIONS),
        ignore_case = true,
        help_heading = "Transfer"
    )]
    pub(crate) compression: Option<Compression>,
    /// 1: preserve hard links; 0: load each name as a separate file [default: 0]
    ///
    /// Cannot be changed on resume.
    #[arg(long, value_name = "0|1", alias = "preserve_hardlinks", value_parser = parse_switch, action = ArgAction::Set, help_heading = "Transfer")]
    pub(crate) preserve_hardlinks: Option<bool>,
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
        value_parser = one_of(CHANGED),
        default_value = "retry",
        hide_possible_values = true,
        help_heading = "Failures",
        hide_short_help = true
    )]
    changed: WhenChanged,
    /// How the source is identified: inodes, attributes or accept
    ///
    /// Applies to this run only. inodes: by inode numbers and the identity of the file system. attributes: by mode,
    /// owner and times, for file systems with unstable inode numbers (some FUSE and SMB mounts). accept: accept a
    /// source that cannot be identified, unless it is proven to be another file system.
    #[arg(
        long,
        value_name = "WHAT",
        value_parser = one_of(IDENTITIES),
        default_value = "inodes",
        alias = "source_identity",
        help_heading = "Transfer",
        hide_short_help = true
    )]
    source_identity: SourceIdentity,
    /// Verify the container after the load
    ///
    /// Checks what clfsload verify checks. Findings result in exit status 3.
    #[arg(long, help_heading = "Transfer")]
    pub(crate) verify: bool,
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
    pub(crate) bandwidth_limit: Option<NonZeroU64>,
    /// Memory for files and objects in flight
    ///
    /// With K, M or G; at least 32M. The rest of the program needs about 64M more.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "64M", help_heading = "Limits")]
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
    pub(crate) no_progress: bool,
    /// Seconds between progress lines, without a terminal [default: 30; JSON: 5]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Output", hide_short_help = true)]
    pub(crate) progress_interval: Option<u64>,
    /// Output format: text, or one JSON object per line (docs/output.md)
    #[arg(
        long,
        value_name = "FORM",
        value_parser = one_of(FORMATS),
        default_value = "text",
        help_heading = "Output"
    )]
    pub(crate) output: Format,
    /// Print progress in the format that AzCopy reads
    #[arg(
        long,
        conflicts_with = "output",
        help_heading = "Output",
        hide_short_help = true
    )]
    pub(crate) azcopy: bool,
    /// Serve Prometheus metrics at http://ADDRESS:PORT/metrics [default ADDRESS: 127.0.0.1]
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = parse_address, help_heading = "Output", hide_short_help = true)]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Minimum level of events in the log, STATE_DIR/output.txt
    #[arg(
        long,
        value_name = "LEVEL",
        alias = "log_level",
        value_parser = one_of(LEVELS),
        default_value = "info",
        help_heading = "Output",
        hide_short_help = true
    )]
    pub(crate) log_level: Level,
    /// Milliseconds without a response after which a request is retried
    #[arg(long, value_name = "MILLISECONDS", hide = true)]
    answer_timeout: Option<u64>,
    /// Seed of all ids, for tests that compare containers
    #[arg(long, value_name = "HEX", hide = true)]
    seed: Option<Seed>,
    #[command(flatten)]
    pub(crate) dry_run: DryRunArguments,
    /// Print the dry run as one JSON object (fields: docs/dry-run.md)
    #[arg(long, requires = DRY_RUN, help_heading = "Dry run")]
    pub(crate) json: bool,
}

/// The id of the group of these options; each of them selects a dry run.
const DRY_RUN: &str = "DryRunArguments";

#[derive(Debug, Args)]
#[command(next_help_heading = "Dry run")]
pub(crate) struct DryRunArguments {
    /// Report the contents of SOURCE, the entries that would fail, and the cost of the load; load nothing
    ///
    /// The source is scanned as a load scans it, and up to 200 MiB of its content are read and compressed. Only
    /// temporary files are written (in TMPDIR, about 150 bytes for each entry), and no request is sent to a container.
    /// The arguments and options of a load are also accepted: they are checked, and the state folder and the container
    /// are not touched.
    #[arg(long, alias = "dry_run")]
    dry_run: bool,
    /// Read no source: estimate for files of GB gigabytes (10^9 bytes) in total; requires --dry-run-count
    #[arg(
        long = "dry-run-gb",
        visible_alias = "dry_run_gb",
        value_name = "GB",
        requires = "files",
        value_parser = gigabytes,
        hide_short_help = true
    )]
    bytes: Option<u64>,
    /// The number of these files, each of GB / N gigabytes, in directories of 1,000; requires --dry-run-gb
    #[arg(
        long = "dry-run-count",
        visible_alias = "dry_run_count",
        value_name = "N",
        requires = "bytes",
        value_parser = clap::value_parser!(u64).range(1..),
        hide_short_help = true
    )]
    files: Option<u64>,
}

impl DryRunArguments {
    pub(crate) fn is_requested(&self) -> bool {
        self.dry_run || self.synthetic().is_some()
    }

    /// Returns the described tree, if no source is to be read.
    pub(crate) fn synthetic(&self) -> Option<Synthetic> {
        let (bytes, files) = self.bytes.zip(self.files)?;
        Some(Synthetic { bytes, files })
    }
}

/// The positional arguments of a load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) state: &'a Path,
    pub(crate) source: &'a Path,
    pub(crate) account: &'a str,
    pub(crate) container: &'a str,
}

impl LoadArguments {
    /// Returns the positional arguments. Only those of a dry run can be incomplete.
    pub(crate) fn target(&self) -> Result<Target<'_>, Failure> {
        match (&self.state, &self.source, &self.account, &self.container) {
            (Some(state), Some(source), Some(account), Some(container)) => Ok(Target {
                state,
                source,
                account,
                container,
            }),
            _ => Err(Failure::usage(
                "a dry run needs SOURCE, or STATE_DIR SOURCE ACCOUNT CONTAINER",
            )),
        }
    }

    /// Returns the source of a dry run, if it is the only argument.
    pub(crate) fn only_source(&self) -> Option<&Path> {
        self.state.as_deref().filter(|_| self.source.is_none())
    }

    /// Returns the options that are recorded in the history, without secrets.
    pub(crate) fn recorded(&self) -> Vec<(String, String)> {
        let flag = |given: bool| given.then(String::new);
        let identity =
            Some(self.source_identity).filter(|method| *method != SourceIdentity::Inodes);
        let changed = Some(self.changed).filter(|action| *action != WhenChanged::Retry);
        let options = [
            ("--new", flag(self.new)),
            ("--concurrency", self.concurrency.map(|n| n.to_string())),
            (
                "--bandwidth-limit",
                self.bandwidth_limit.map(|n| n.to_string()),
            ),
            ("--memory", Some(self.memory.to_string())),
            ("--worker-threads", Some(self.worker_threads.to_string())),
            ("--max-errors", Some(self.max_errors.to_string())),
            ("--retry-patience", Some(self.retry_patience.to_string())),
            ("--source-identity", name_of(IDENTITIES, identity)),
            ("--skip-failed", flag(self.skip_failed)),
            ("--changed", name_of(CHANGED, changed)),
        ];
        let given = options
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        given.collect()
    }

    pub(crate) fn load_options(&self) -> Result<LoadOptions, Failure> {
        let target = self.target()?;
        // It would be created as a folder of that name in the current one.
        if let Some(hint) = hint::windows_path(target.state) {
            return Err(Failure::usage(hint));
        }
        let endpoint = self.blob_endpoint.as_deref();
        let container =
            address::of_load(target.account, target.container, endpoint).map_err(Failure::usage)?;
        let given = TokenArguments {
            url: None,
            argument: self.sas.as_deref(),
            file: self.sas_token_file.as_deref(),
        };
        let credential = credential::find(&container, &given)?;
        let mut options = LoadOptions::new(target.state.into(), target.source.into(), container);
        options.credential = credential;
        options.compression = self.compression;
        options.preserve_hardlinks = self.preserve_hardlinks;
        options.seed = self.seed;
        options.source_identity = self.source_identity;
        options.max_problems = (self.max_errors > 0).then_some(self.max_errors);
        options.retry_problems = self.retry_errors;
        options.skip_failed = self.skip_failed;
        options.when_changed = self.changed;
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
#[path = "load_tests.rs"]
mod tests;
