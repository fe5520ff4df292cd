//! What the sink has seen.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::{Duration, Instant};

use super::connection::Request;

/// Width of the bins of [`Report::put_bins`].
pub(crate) const BIN: Duration = Duration::from_millis(100);

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Put,
    List,
    Get,
    Head,
    Delete,
    Other,
    /// About the counts themselves: not counted.
    Control,
}

/// Counts since the last reset.
#[derive(Debug)]
pub(super) struct Counts {
    since: Instant,
    report: Report,
    /// Bytes of each blob that was put, by the hash of its path.
    blobs: HashMap<u64, u64, BuildHasherDefault<DefaultHasher>>,
    inside: u64,
}

/// What the sink says about a run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// Puts that were answered 201.
    pub(crate) puts: u64,
    /// Those of names that had been put before.
    pub(crate) repeated_puts: u64,
    pub(crate) lists: u64,
    pub(crate) gets: u64,
    pub(crate) heads: u64,
    pub(crate) deletes: u64,
    pub(crate) others: u64,
    /// Requests that were answered 503.
    pub(crate) refused: u64,
    /// Of bodies.
    pub(crate) bytes: u64,
    /// Requests that were received and not answered yet, at most.
    pub(crate) most_inside: u64,
    /// When the first put arrived, in microseconds since the reset.
    pub(crate) first_put_micros: Option<u64>,
    /// Puts answered 201 in each [`BIN`] since the reset.
    pub(crate) put_bins: Vec<u64>,
    /// Requests answered 503 in each.
    pub(crate) refused_bins: Vec<u64>,
}

impl Counts {
    pub(super) fn new() -> Self {
        Counts {
            since: Instant::now(),
            report: Report::default(),
            blobs: HashMap::default(),
            inside: 0,
        }
    }

    pub(super) fn reset(&mut self) {
        let inside = self.inside;
        *self = Counts::new();
        self.inside = inside;
    }

    /// A request's head is here.
    pub(super) fn arrived(&mut self, kind: Kind) {
        if kind == Kind::Control {
            return;
        }
        self.inside += 1;
        self.report.most_inside = self.report.most_inside.max(self.inside);
        if kind == Kind::Put && self.report.first_put_micros.is_none() {
            self.report.first_put_micros = Some(self.since.elapsed().as_micros() as u64);
        }
    }

    pub(super) fn body(&mut self, bytes: usize) {
        self.report.bytes += bytes as u64;
    }

    /// A request that arrived will not be answered: its connection is closed.
    pub(super) fn gone(&mut self) {
        self.inside = self.inside.saturating_sub(1);
    }

    /// A request is answered as it should be.
    pub(super) fn answered(&mut self, request: &Request) {
        self.gone();
        let report = &mut self.report;
        match request.kind {
            Kind::Put => {
                report.puts += 1;
                let name = self.blobs.hasher().hash_one(request.path());
                match request.value("comp") {
                    None => {
                        let before = self.blobs.insert(name, request.length);
                        report.repeated_puts += u64::from(before.is_some());
                    }
                    // A block of a blob that a list of them completes.
                    Some("block") => *self.blobs.entry(name).or_default() += request.length,
                    Some(_) => {}
                }
                count(&mut report.put_bins, self.since);
            }
            Kind::List => report.lists += 1,
            Kind::Get => report.gets += 1,
            Kind::Head => report.heads += 1,
            Kind::Delete => report.deletes += 1,
            Kind::Other => report.others += 1,
            Kind::Control => {}
        }
    }

    /// Bytes of a blob that was put since the reset.
    pub(super) fn length_of(&self, request: &Request) -> Option<u64> {
        let name = self.blobs.hasher().hash_one(request.path());
        self.blobs.get(&name).copied()
    }

    /// A request is answered 503.
    pub(super) fn refused(&mut self) {
        self.gone();
        self.report.refused += 1;
        count(&mut self.report.refused_bins, self.since);
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
    /// All requests.
    pub(crate) fn requests(&self) -> u64 {
        self.puts + self.lists + self.gets + self.heads + self.deletes + self.others + self.refused
    }

    pub(super) fn text(&self) -> String {
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
        line("refused", &[self.refused]);
        line("bytes", &[self.bytes]);
        line("most_inside", &[self.most_inside]);
        line("first_put_micros", self.first_put_micros.as_slice());
        line("put_bins", &self.put_bins);
        line("refused_bins", &self.refused_bins);
        text
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut report = Report::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            let name = words.next()?;
            let values: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
            let first = values.first().copied();
            match name {
                "puts" => report.puts = first?,
                "repeated_puts" => report.repeated_puts = first?,
                "lists" => report.lists = first?,
                "gets" => report.gets = first?,
                "heads" => report.heads = first?,
                "deletes" => report.deletes = first?,
                "others" => report.others = first?,
                "refused" => report.refused = first?,
                "bytes" => report.bytes = first?,
                "most_inside" => report.most_inside = first?,
                "first_put_micros" => report.first_put_micros = first,
                "put_bins" => report.put_bins = values,
                "refused_bins" => report.refused_bins = values,
                _ => return None,
            }
        }
        Some(report)
    }
}
