//! Throughput over time, from the sink's bins.

use crate::sink::{BIN, Report};

/// Puts per second between 20 % and 90 % of the time from the first to the last: what a longer
/// transfer would keep up.
pub(crate) fn steady(report: &Report) -> f64 {
    let bins = between(report, 0.2, 0.9);
    bins.iter().sum::<u64>() as f64 / (bins.len() as f64 * BIN.as_secs_f64())
}

/// The bins of puts in a part of the time from the first to the last.
fn between(report: &Report, from: f64, to: f64) -> &[u64] {
    let bins = report.put_bins.as_slice();
    let first = bins.iter().position(|puts| *puts > 0).unwrap_or(0);
    let busy = bins.get(first..).unwrap_or_default();
    let at = |share: f64| (busy.len() as f64 * share) as usize;
    busy.get(at(from)..at(to)).unwrap_or_default()
}

/// What each second of bins sums up to; a last one that is not whole is left out.
pub(crate) fn per_second(bins: &[u64]) -> Vec<u64> {
    let in_second = (1000 / BIN.as_millis()) as usize;
    bins.chunks_exact(in_second)
        .map(|bins| bins.iter().sum())
        .collect()
}
