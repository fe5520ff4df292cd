//! The figures of a transfer at one moment, as displays show them.

use serde::{Deserialize, Serialize};

use crate::container::limit::Requests;
use crate::events::Phase;

/// The figures of a transfer at one moment, with rates per second and an estimate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Milliseconds since 1970.
    pub at: u64,
    /// Milliseconds since the start of this run.
    pub elapsed_ms: u64,
    /// The current phase.
    pub phase: Phase,
    /// Whether all entries of the source are known. Then `found` and `bytes_found` are final.
    pub scan_complete: bool,
    /// Known entries of the source, of all runs.
    pub found: u64,
    /// Entries in the container, of all runs.
    pub done: u64,
    /// Failed entries.
    pub failed: u64,
    /// Directories among them that could not be listed: everything below them is missing.
    #[serde(default)]
    pub unlisted_directories: u64,
    /// Names among them that could not be examined: they may be directories.
    #[serde(default)]
    pub unknown_entries: u64,
    /// Files in the container that changed while they were read.
    #[serde(default)]
    pub changed: u64,
    /// Bytes of the known regular files.
    pub bytes_found: u64,
    /// Bytes read of files that are in the container or in flight.
    pub bytes_read: u64,
    /// Bytes of `bytes_found` whose files failed and will not be read in this run.
    #[serde(default)]
    pub bytes_failed: u64,
    /// Bytes uploaded, after compression, of all runs.
    pub bytes_put: u64,
    /// Objects uploaded, of all runs.
    pub objects: u64,
    /// Entries settled in this run.
    pub run_done: u64,
    /// Bytes uploaded in this run.
    pub run_bytes_put: u64,
    /// Rates over the last ten seconds.
    pub now: Rates,
    /// Rates over the last five minutes.
    pub recent: Rates,
    /// Rates over this run.
    pub overall: Rates,
    /// Maximum number of requests in flight.
    pub concurrency: u64,
    /// Requests in flight.
    pub in_flight: u64,
    /// Maximum number of requests per second; 0 while the service does not throttle.
    pub pace: u64,
    /// Calls in backoff after a transient failure.
    pub retrying: u64,
    /// Requests of this run.
    pub requests: Requests,
    /// Processors that this process used over the last ten seconds.
    pub cpu: f64,
    /// The bottleneck of the last ten seconds, if there is a single one.
    pub limiting: Option<Bottleneck>,
    /// Estimated seconds until the end. None until the scan is complete, and if there was no progress in the
    /// last five minutes.
    pub eta_seconds: Option<u64>,
}

/// Amounts per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Entries settled.
    pub entries: f64,
    /// Bytes read from the source.
    pub bytes_read: f64,
    /// Bytes uploaded.
    pub bytes_put: f64,
}

/// The resource that limits the throughput of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Bottleneck {
    /// The container does not respond: calls fail and are retried.
    Container,
    /// The service throttles requests.
    Throttling,
    /// The network or the service: objects wait for requests in flight.
    Network,
    /// The processors.
    Cpu,
    /// The latency of the source.
    Source,
    /// The disk of the database.
    State,
    /// The bandwidth limit that the user set.
    Bandwidth,
}

impl Bottleneck {
    /// Returns the name in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Bottleneck::Container => "container",
            Bottleneck::Throttling => "throttling",
            Bottleneck::Network => "network",
            Bottleneck::Cpu => "cpu",
            Bottleneck::Source => "source",
            Bottleneck::State => "state",
            Bottleneck::Bandwidth => "bandwidth",
        }
    }

    /// All bottlenecks.
    pub const ALL: [Bottleneck; 7] = [
        Bottleneck::Container,
        Bottleneck::Throttling,
        Bottleneck::Network,
        Bottleneck::Cpu,
        Bottleneck::Source,
        Bottleneck::State,
        Bottleneck::Bandwidth,
    ];
}

impl std::fmt::Display for Bottleneck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Bottleneck::Container => "the container does not respond",
            Bottleneck::Throttling => "the service throttles",
            Bottleneck::Network => "network",
            Bottleneck::Cpu => "CPU",
            Bottleneck::Source => "source",
            Bottleneck::State => "disk of the state",
            Bottleneck::Bandwidth => "the bandwidth limit",
        })
    }
}

impl Snapshot {
    /// Entries that are neither in the container nor failed.
    pub fn pending(&self) -> u64 {
        self.found
            .saturating_sub(self.done.saturating_add(self.failed))
    }

    /// Bytes that this run loads in total: those of failed files are excluded.
    pub fn bytes_wanted(&self) -> u64 {
        self.bytes_found.saturating_sub(self.bytes_failed)
    }

    /// Bytes that remain to be read.
    pub fn bytes_pending(&self) -> u64 {
        match self.phase {
            Phase::Scan | Phase::Links => self.bytes_wanted().saturating_sub(self.bytes_read),
            Phase::Directories | Phase::Finish => 0,
        }
    }
}

/// Returns the figures of a run that has not started.
#[cfg(test)]
pub(crate) fn blank() -> Snapshot {
    Snapshot {
        at: 0,
        elapsed_ms: 0,
        phase: Phase::Scan,
        scan_complete: false,
        found: 0,
        done: 0,
        failed: 0,
        unlisted_directories: 0,
        unknown_entries: 0,
        changed: 0,
        bytes_found: 0,
        bytes_read: 0,
        bytes_failed: 0,
        bytes_put: 0,
        objects: 0,
        run_done: 0,
        run_bytes_put: 0,
        now: Rates::default(),
        recent: Rates::default(),
        overall: Rates::default(),
        concurrency: 0,
        in_flight: 0,
        pace: 0,
        retrying: 0,
        requests: Requests::default(),
        cpu: 0.0,
        limiting: None,
        eta_seconds: None,
    }
}
