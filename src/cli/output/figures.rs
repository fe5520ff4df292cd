//! A progress snapshot as text: the rows of the live display, and the progress line for logs and pipes.

use std::time::Duration;

use crate::events::Phase;
use crate::progress::{Bottleneck, Rates, Snapshot};
use crate::text::human::{count, rate, size, span};

/// Returns the completed part of the work, 0 to 1. `None` until the scan is complete.
pub(crate) fn part_done(snapshot: &Snapshot) -> Option<f64> {
    if !snapshot.scan_complete {
        return None;
    }
    let part = |done: u64, of: u64| match of {
        0 => 1.0,
        of => (done as f64 / of as f64).min(1.0),
    };
    let entries = part(snapshot.done + snapshot.failed, snapshot.found);
    Some(match snapshot.phase {
        Phase::Scan | Phase::Links => {
            entries.min(part(snapshot.bytes_read, snapshot.bytes_wanted()))
        }
        Phase::Directories | Phase::Finish => entries,
    })
}

/// Returns the number of entries that are done, found and failed.
pub(crate) fn extent(snapshot: &Snapshot) -> String {
    let mut text = match snapshot.scan_complete {
        true => format!(
            "{} of {} entries done",
            count(snapshot.done),
            count(snapshot.found)
        ),
        false => format!(
            "scanning… {} found, {} done",
            count(snapshot.found),
            count(snapshot.done)
        ),
    };
    text += &format!(", {} failed", count(snapshot.failed));
    text
}

/// Returns the bytes that were read and uploaded by all runs.
pub(crate) fn bytes(snapshot: &Snapshot) -> String {
    let read = size(snapshot.bytes_read);
    let put = size(snapshot.bytes_put);
    match snapshot.scan_complete {
        true => format!(
            "{read} of {} read, {put} uploaded",
            size(snapshot.bytes_found)
        ),
        false => format!("{read} read, {put} uploaded"),
    }
}

/// Returns the current rates, or those of the run.
pub(crate) fn rates(rates: &Rates) -> String {
    format!(
        "{} files/s, {}/s",
        rate(rates.entries),
        size(rates.bytes_put.round() as u64)
    )
}

/// Returns the requests in flight, their limits, and the calls in backoff.
pub(crate) fn requests(snapshot: &Snapshot) -> String {
    let mut text = format!(
        "{} of {} requests",
        count(snapshot.in_flight),
        count(snapshot.concurrency)
    );
    if snapshot.pace > 0 {
        text += &format!(" at {}/s", count(snapshot.pace));
    }
    if snapshot.retrying > 0 {
        text += &format!(", {} waiting to retry", count(snapshot.retrying));
    }
    text
}

/// Returns the current bottleneck.
pub(crate) fn slowest(snapshot: &Snapshot) -> Option<String> {
    Some(match snapshot.limiting? {
        limiting @ (Bottleneck::Container | Bottleneck::Throttling) => limiting.to_string(),
        limiting => format!("slowest: {limiting}"),
    })
}

/// Returns the estimated remaining time.
pub(crate) fn left(snapshot: &Snapshot) -> Option<String> {
    let seconds = snapshot.eta_seconds?;
    Some(match seconds {
        0 => "almost done".to_owned(),
        seconds => format!("about {} left", span(Duration::from_secs(seconds))),
    })
}

/// The minimum width of a terminal for which the rows are designed, in columns.
const COLUMNS: usize = 80;

/// Appends to a row the first of these texts that fits.
fn with<const N: usize>(row: String, more: [Option<String>; N]) -> String {
    let rows = more
        .into_iter()
        .flatten()
        .map(|more| format!("{row} · {more}"));
    let fitting = rows.into_iter().find(|row| row.chars().count() <= COLUMNS);
    fitting.unwrap_or(row)
}

/// Returns the four rows of the live display, each at most 80 columns wide. The bottleneck is always shown. Rates are
/// shortened, and those of the run are omitted if the requests need the space.
pub(crate) fn rows(snapshot: &Snapshot) -> [String; 4] {
    let elapsed = span(Duration::from_millis(snapshot.elapsed_ms));
    let first = format!("{} · {elapsed}", snapshot.phase);
    let first = match (left(snapshot), slowest(snapshot)) {
        (Some(left), Some(slowest)) => {
            with(first, [Some(format!("{left} · {slowest}")), Some(slowest)])
        }
        (left, slowest) => with(first, [left.or(slowest)]),
    };
    let bytes_only = |rates: &Rates| format!("{}/s", size(rates.bytes_put.round() as u64));
    let (now, overall) = (&snapshot.now, &snapshot.overall);
    [
        first,
        extent(snapshot),
        with(bytes(snapshot), [Some(rates(now)), Some(bytes_only(now))]),
        with(
            requests(snapshot),
            [
                Some(format!("overall {}", rates(overall))),
                Some(format!("overall {}", bytes_only(overall))),
            ],
        ),
    ]
}

/// Returns the progress as one line.
pub(crate) fn line(snapshot: &Snapshot) -> String {
    let mut text = format!(
        "{} after {}: {}; {}; now {}, overall {}; {}",
        snapshot.phase,
        span(Duration::from_millis(snapshot.elapsed_ms)),
        extent(snapshot),
        bytes(snapshot),
        rates(&snapshot.now),
        rates(&snapshot.overall),
        requests(snapshot),
    );
    for further in [slowest(snapshot), left(snapshot)].into_iter().flatten() {
        text += "; ";
        text += &further;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::snapshot::blank;

    fn large() -> Snapshot {
        let mut snapshot = blank();
        snapshot.scan_complete = true;
        // 99 days, 23 hours and 59 minutes.
        snapshot.elapsed_ms = 8_639_940_000;
        snapshot.eta_seconds = Some(8_639_940);
        (snapshot.found, snapshot.done, snapshot.failed) =
            (9_999_999_999, 9_999_999_999, 999_999_999);
        // 1023.9 TiB.
        let bytes = (1 << 50) - (1 << 36);
        (
            snapshot.bytes_found,
            snapshot.bytes_read,
            snapshot.bytes_put,
        ) = (bytes, bytes, bytes);
        let rates = Rates {
            entries: 99_999.0,
            bytes_read: 0.0,
            bytes_put: ((1u64 << 30) - (1 << 16)) as f64,
        };
        (snapshot.now, snapshot.overall) = (rates, rates);
        (snapshot.concurrency, snapshot.in_flight) = (1024, 1024);
        snapshot
    }

    #[test]
    fn rows_fit_80_columns() {
        for phase in Phase::ALL {
            for limiting in Bottleneck::ALL.map(Some).into_iter().chain([None]) {
                for (pace, retrying) in [(0, 0), (20_000, 0), (0, 1024), (20_000, 1024)] {
                    for scan_complete in [false, true] {
                        let mut snapshot = large();
                        (snapshot.phase, snapshot.limiting) = (phase, limiting);
                        (snapshot.pace, snapshot.retrying) = (pace, retrying);
                        snapshot.scan_complete = scan_complete;
                        let rows = rows(&snapshot);
                        for row in &rows {
                            assert!(row.chars().count() <= COLUMNS, "too wide: {row}");
                        }
                        let slowest = slowest(&snapshot).unwrap_or_default();
                        assert!(rows[0].ends_with(&slowest), "{}: {slowest}", rows[0]);
                        assert!(rows[2].ends_with("1023.9 MiB/s"), "{}", rows[2]);
                        assert_eq!(rows[3].contains("waiting to retry"), retrying > 0);
                    }
                }
            }
        }
    }

    #[test]
    fn rows_show_everything_that_fits() {
        let mut snapshot = large();
        (snapshot.elapsed_ms, snapshot.eta_seconds) = (10_000, Some(9));
        snapshot.limiting = Some(Bottleneck::Network);
        snapshot.now.entries = 135.0;
        assert_eq!(
            rows(&snapshot),
            [
                "scan and files · 10 s · about 9.0 s left · slowest: network",
                "9,999,999,999 of 9,999,999,999 entries done, 999,999,999 failed",
                "1023.9 TiB of 1023.9 TiB read, 1023.9 TiB uploaded · 135 files/s, 1023.9 MiB/s",
                "1,024 of 1,024 requests · overall 99,999 files/s, 1023.9 MiB/s",
            ]
        );
    }

    #[test]
    fn bytes_of_failed_files_do_not_count_as_remaining() {
        let mut snapshot = blank();
        snapshot.scan_complete = true;
        (snapshot.found, snapshot.done, snapshot.failed) = (10, 8, 2);
        (snapshot.bytes_found, snapshot.bytes_read) = (100, 40);
        snapshot.bytes_failed = 60;
        assert_eq!(part_done(&snapshot), Some(1.0));
        snapshot.bytes_failed = 20;
        assert_eq!(part_done(&snapshot), Some(0.5));
    }
}
