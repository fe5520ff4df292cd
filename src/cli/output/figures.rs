//! A snapshot in words: the lines of the live display, and the one line where there is none.

use std::time::Duration;

use super::amount::{count, rate, size, span};
use crate::monitor::Phase;
use crate::progress::{Limiting, Rates, Snapshot};

/// The part of the work that is done, 0 to 1; none until the scan is complete.
pub(in crate::cli) fn part_done(snapshot: &Snapshot) -> Option<f64> {
    if !snapshot.scan_complete {
        return None;
    }
    let part = |done: u64, of: u64| match of {
        0 => 1.0,
        of => (done as f64 / of as f64).min(1.0),
    };
    let entries = part(snapshot.done + snapshot.failed, snapshot.found);
    Some(match snapshot.phase {
        Phase::Scan | Phase::Links => entries.min(part(snapshot.bytes_read, snapshot.bytes_wanted())),
        Phase::Directories | Phase::Finish => entries,
    })
}

/// How far it is, of what is known.
pub(in crate::cli) fn extent(snapshot: &Snapshot) -> String {
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

/// The bytes of the transfer.
pub(in crate::cli) fn bytes(snapshot: &Snapshot) -> String {
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

/// Rates now, or of the whole run.
pub(in crate::cli) fn rates(rates: &Rates) -> String {
    format!(
        "{} files/s, {}/s",
        rate(rates.entries),
        size(rates.bytes_put.round() as u64)
    )
}

/// What is on its way, and what waits.
pub(in crate::cli) fn requests(snapshot: &Snapshot) -> String {
    let mut text = format!(
        "{} of {} requests",
        count(snapshot.in_flight),
        count(snapshot.concurrency)
    );
    if snapshot.pace > 0 {
        text += &format!(" at {}/s", count(snapshot.pace));
    }
    if snapshot.retrying > 0 {
        text += &format!(", {} wait to be repeated", count(snapshot.retrying));
    }
    text
}

/// What is slowest now.
pub(in crate::cli) fn slowest(snapshot: &Snapshot) -> Option<String> {
    Some(match snapshot.limiting? {
        limiting @ (Limiting::Container | Limiting::Throttling) => limiting.to_string(),
        limiting => format!("slowest: {limiting}"),
    })
}

/// The estimate.
pub(in crate::cli) fn left(snapshot: &Snapshot) -> Option<String> {
    let seconds = snapshot.eta_seconds?;
    Some(match seconds {
        0 => "almost done".to_owned(),
        seconds => format!("about {} left", span(Duration::from_secs(seconds))),
    })
}

/// The four rows of the live display, each short enough for 80 columns.
pub(in crate::cli) fn rows(snapshot: &Snapshot) -> [String; 4] {
    let with = |text: String, more: Option<String>| match more {
        Some(more) => format!("{text} · {more}"),
        None => text,
    };
    let elapsed = span(Duration::from_millis(snapshot.elapsed_ms));
    [
        with(format!("{} · {elapsed}", snapshot.phase), left(snapshot)),
        extent(snapshot),
        format!("{} · {}", bytes(snapshot), rates(&snapshot.now)),
        with(
            format!(
                "{} · overall {}",
                requests(snapshot),
                rates(&snapshot.overall)
            ),
            slowest(snapshot),
        ),
    ]
}

/// All of it in one line.
pub(in crate::cli) fn line(snapshot: &Snapshot) -> String {
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
