//! What a display shows: the figures of one moment.

use serde::{Deserialize, Serialize};

use crate::container::limit::Requests;
use crate::monitor::Phase;

/// The figures of a transfer at one moment, with rates and an estimate. Bytes are bytes; rates are
/// per second.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Milliseconds since 1970.
    pub at: u64,
    /// Milliseconds since this run began.
    pub elapsed_ms: u64,
    /// Which phase it is in.
    pub phase: Phase,
    /// Whether all entries of the source are known: `found` and `bytes_found` are final then.
    pub scan_complete: bool,
    /// Entries of the source that are known, by all runs.
    pub found: u64,
    /// Entries that are in the container, by all runs.
    pub done: u64,
    /// Entries that have a problem now.
    pub failed: u64,
    /// Directories among them that could not be listed: everything below them is missing.
    #[serde(default)]
    pub unlisted_directories: u64,
    /// Names among them that could not be examined: they may be directories.
    #[serde(default)]
    pub unknown_entries: u64,
    /// Files that changed while they were read, and are in the container.
    #[serde(default)]
    pub changed: u64,
    /// Bytes of the regular files that are known.
    pub bytes_found: u64,
    /// Bytes read of files that are in the container or on their way.
    pub bytes_read: u64,
    /// Those of `bytes_found` whose files failed: they are not to be read in this run.
    #[serde(default)]
    pub bytes_failed: u64,
    /// Bytes uploaded: objects as they are stored, of all runs.
    pub bytes_put: u64,
    /// Objects uploaded, of all runs.
    pub objects: u64,
    /// Entries settled in this run.
    pub run_done: u64,
    /// Bytes uploaded in this run.
    pub run_bytes_put: u64,
    /// Rates over the last seconds.
    pub now: Rates,
    /// Rates over the last five minutes.
    pub recent: Rates,
    /// Rates over this run.
    pub overall: Rates,
    /// Requests that may be on their way at the same time.
    pub concurrency: u64,
    /// Requests that are on their way.
    pub in_flight: u64,
    /// Requests that may begin in a second; 0 when the service does not throttle.
    pub pace: u64,
    /// Calls that failed for a passing reason and wait for their next try.
    pub retrying: u64,
    /// Requests of this run.
    pub requests: Requests,
    /// Processors that this process kept busy over the last seconds.
    pub cpu: f64,
    /// What kept the run from being faster over the last seconds, if one thing stands out.
    pub limiting: Option<Limiting>,
    /// Seconds to the end, if it goes on as it did. None until the scan is complete, and when
    /// nothing moved in the last five minutes.
    pub eta_seconds: Option<u64>,
}

/// Amounts in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Entries settled.
    pub entries: f64,
    /// Bytes read from the source.
    pub bytes_read: f64,
    /// Bytes uploaded.
    pub bytes_put: f64,
}

/// What keeps a run from being faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Limiting {
    /// Calls to the container fail and are repeated.
    Container,
    /// The service asks for fewer requests.
    Throttling,
    /// Objects wait for requests to end.
    Network,
    /// All processors are busy.
    Cpu,
    /// The source answers slowly.
    Source,
    /// The database waits for its disk.
    State,
    /// As many bytes are uploaded as the run was allowed to.
    Bandwidth,
}

impl Limiting {
    /// The word for it in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Limiting::Container => "container",
            Limiting::Throttling => "throttling",
            Limiting::Network => "network",
            Limiting::Cpu => "cpu",
            Limiting::Source => "source",
            Limiting::State => "state",
            Limiting::Bandwidth => "bandwidth",
        }
    }

    /// All of them.
    pub const ALL: [Limiting; 7] = [
        Limiting::Container,
        Limiting::Throttling,
        Limiting::Network,
        Limiting::Cpu,
        Limiting::Source,
        Limiting::State,
        Limiting::Bandwidth,
    ];
}

impl std::fmt::Display for Limiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Limiting::Container => "the container does not answer",
            Limiting::Throttling => "the service throttles",
            Limiting::Network => "network",
            Limiting::Cpu => "CPU",
            Limiting::Source => "source",
            Limiting::State => "disk of the state",
            Limiting::Bandwidth => "the bandwidth limit",
        })
    }
}

impl Snapshot {
    /// Entries that are neither in the container nor failed.
    pub fn pending(&self) -> u64 {
        self.found
            .saturating_sub(self.done.saturating_add(self.failed))
    }

    /// Bytes that are in the container, on their way, or still to come: those of failed files are not.
    pub fn bytes_wanted(&self) -> u64 {
        self.bytes_found.saturating_sub(self.bytes_failed)
    }

    /// Bytes that are still to be read.
    pub fn bytes_pending(&self) -> u64 {
        match self.phase {
            Phase::Scan | Phase::Links => self.bytes_wanted().saturating_sub(self.bytes_read),
            Phase::Directories | Phase::Finish => 0,
        }
    }
}

/// The figures of a run that has not begun.
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
