//! Throughput over time, computed from the bins of the sink's report.

use std::time::Duration;

use crate::sink::{BIN, Report};

/// Returns uploads per second between 20 % and 90 % of the time from the first to the last upload: the rate
/// that a longer load would sustain.
pub(crate) fn steady(report: &Report) -> f64 {
    let bins = between(report, 0.2, 0.9);
    bins.iter().sum::<u64>() as f64 / (bins.len() as f64 * BIN.as_secs_f64())
}

/// Returns uploads per second of a complete run that took `wall`, start and end included.
pub(crate) fn overall(report: &Report, wall: Duration) -> f64 {
    report.puts as f64 / wall.as_secs_f64()
}

/// Returns the bins in a part of the time from the first to the last upload.
fn between(report: &Report, from: f64, to: f64) -> &[u64] {
    let bins = report.put_bins.as_slice();
    let first = bins.iter().position(|puts| *puts > 0).unwrap_or(0);
    let busy = bins.get(first..).unwrap_or_default();
    let at = |share: f64| (busy.len() as f64 * share) as usize;
    busy.get(at(from)..at(to)).unwrap_or_default()
}

/// Uploads and throttled requests in each second of a run.
#[derive(Debug, Default)]
pub(crate) struct Seconds {
    pub(crate) puts: Vec<u64>,
    pub(crate) throttled: Vec<u64>,
}

impl Seconds {
    /// Sums the bins of each complete second. Both lists end with their last count, so the shorter one is
    /// padded.
    pub(crate) fn of(report: &Report) -> Self {
        let bins = report.put_bins.len().max(report.throttled_bins.len());
        let in_second = (1000 / BIN.as_millis()) as usize;
        let sums = |counted: &[u64]| {
            let mut counted = counted.to_vec();
            counted.resize(bins, 0);
            let seconds = counted.chunks_exact(in_second);
            seconds.map(|bins| bins.iter().sum()).collect()
        };
        Seconds {
            puts: sums(&report.put_bins),
            throttled: sums(&report.throttled_bins),
        }
    }
}
