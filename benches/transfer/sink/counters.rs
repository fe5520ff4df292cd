//! The counters of the sink.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::{Duration, Instant};

use super::connection::Request;

/// The width of the bins of [`Report::put_bins`].
pub(crate) const BIN: Duration = Duration::from_millis(100);

/// The kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestKind {
    Put,
    List,
    Get,
    Head,
    Delete,
    Other,
    /// A request to the counters, which is not counted.
    Control,
}

/// Counters since the last reset.
#[derive(Debug)]
pub(super) struct Counters {
    since: Instant,
    report: Report,
    /// The size of each uploaded blob, by the hash of its path.
    blobs: HashMap<u64, u64, BuildHasherDefault<DefaultHasher>>,
    in_flight: u64,
}

/// The counts of one run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// Uploads with the response 201.
    pub(crate) puts: u64,
    /// Uploads of names that were uploaded before.
    pub(crate) repeated_puts: u64,
    pub(crate) lists: u64,
    pub(crate) gets: u64,
    pub(crate) heads: u64,
    pub(crate) deletes: u64,
    pub(crate) others: u64,
    /// Requests with the response 503.
    pub(crate) throttled: u64,
    /// Bytes of request bodies.
    pub(crate) bytes: u64,
    /// The maximum number of requests in flight.
    pub(crate) max_in_flight: u64,
    /// The arrival of the first upload, in microseconds since the reset.
    pub(crate) first_put_micros: Option<u64>,
    /// Uploads with the response 201 in each [`BIN`] since the reset.
    pub(crate) put_bins: Vec<u64>,
    /// Requests with the response 503 in each [`BIN`] since the reset.
    pub(crate) throttled_bins: Vec<u64>,
}

impl Counters {
    pub(super) fn new() -> Self {
        Counters {
            since: Instant::now(),
            report: Report::default(),
            blobs: HashMap::default(),
            in_flight: 0,
        }
    }

    pub(super) fn reset(&mut self) {
        let in_flight = self.in_flight;
        *self = Counters::new();
        self.in_flight = in_flight;
    }

    /// Counts the start of a request, when its head was received.
    pub(super) fn start_request(&mut self, kind: RequestKind) {
        if kind == RequestKind::Control {
            return;
        }
        self.in_flight += 1;
        self.report.max_in_flight = self.report.max_in_flight.max(self.in_flight);
        if kind == RequestKind::Put && self.report.first_put_micros.is_none() {
            self.report.first_put_micros = Some(self.since.elapsed().as_micros() as u64);
        }
    }

    pub(super) fn add_bytes(&mut self, bytes: usize) {
        self.report.bytes += bytes as u64;
    }

    /// Counts the end of a request, also when its connection closes without a response.
    pub(super) fn end_request(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Counts a successful response.
    pub(super) fn complete_request(&mut self, request: &Request) {
        self.end_request();
        let report = &mut self.report;
        match request.kind {
            RequestKind::Put => {
                report.puts += 1;
                let name = self.blobs.hasher().hash_one(request.path());
                match request.value("comp") {
                    None => {
                        let before = self.blobs.insert(name, request.length);
                        report.repeated_puts += u64::from(before.is_some());
                    }
                    // A block of a blob, which a later block list commits.
                    Some("block") => *self.blobs.entry(name).or_default() += request.length,
                    Some(_) => {}
                }
                count(&mut report.put_bins, self.since);
            }
            RequestKind::List => report.lists += 1,
            RequestKind::Get => report.gets += 1,
            RequestKind::Head => report.heads += 1,
            RequestKind::Delete => report.deletes += 1,
            RequestKind::Other => report.others += 1,
            RequestKind::Control => {}
        }
    }

    /// Returns the size of a blob that was uploaded since the reset.
    pub(super) fn blob_size(&self, request: &Request) -> Option<u64> {
        let name = self.blobs.hasher().hash_one(request.path());
        self.blobs.get(&name).copied()
    }

    /// Counts a response 503.
    pub(super) fn throttle_request(&mut self) {
        self.end_request();
        self.report.throttled += 1;
        count(&mut self.report.throttled_bins, self.since);
    }

    pub(super) fn report(&self) -> &Report {
        &self.report
    }
}

fn count(bins: &mut Vec<u64>, since: Instant) {
    let bin = (since.elapsed().as_millis() / BIN.as_millis()) as usize;
    if bins.len() <= bin {
        bins.resize(bin + 1, 0);
    }
    if let Some(count) = bins.get_mut(bin) {
        *count += 1;
    }
}

impl Report {
    /// Returns the number of all requests.
    pub(crate) fn requests(&self) -> u64 {
        self.puts
            + self.lists
            + self.gets
            + self.heads
            + self.deletes
            + self.others
            + self.throttled
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, values: &[u64]| {
            text.push_str(name);
            for value in values {
                // Writing to a string cannot fail.
                let _ = write!(text, " {value}");
            }
            text.push('\n');
        };
        line("puts", &[self.puts]);
        line("repeated_puts", &[self.repeated_puts]);
        line("lists", &[self.lists]);
        line("gets", &[self.gets]);
        line("heads", &[self.heads]);
        line("deletes", &[self.deletes]);
        line("others", &[self.others]);
        line("throttled", &[self.throttled]);
        line("bytes", &[self.bytes]);
        line("max_in_flight", &[self.max_in_flight]);
        line("first_put_micros", self.first_put_micros.as_slice());
        line("put_bins", &self.put_bins);
        line("throttled_bins", &self.throttled_bins);
        text
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut report = Report::default();
        for line in text.lines() {
            let mut fields = line.split(' ');
            let name = fields.next()?;
            let values: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
            let first = values.first().copied();
            match name {
                "puts" => report.puts = first?,
                "repeated_puts" => report.repeated_puts = first?,
                "lists" => report.lists = first?,
                "gets" => report.gets = first?,
                "heads" => report.heads = first?,
                "deletes" => report.deletes = first?,
                "others" => report.others = first?,
                "throttled" => report.throttled = first?,
                "bytes" => report.bytes = first?,
                "max_in_flight" => report.max_in_flight = first?,
                "first_put_micros" => report.first_put_micros = first,
                "put_bins" => report.put_bins = values,
                "throttled_bins" => report.throttled_bins = values,
                _ => return None,
            }
        }
        Some(report)
    }
}
