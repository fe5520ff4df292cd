//! The estimated time until the end of a run.

use super::Snapshot;

/// Entries that a run must have settled before their rate is used besides that of the bytes. The entry rate
/// of a few large files is not representative.
const ENOUGH: u64 = 100;

/// Seconds until the end at the rates of the last minutes: the time for the remaining bytes or for the
/// remaining entries, whichever is longer. None until the scan is complete, and without recent progress.
pub(super) fn estimate(snapshot: &Snapshot) -> Option<u64> {
    if !snapshot.scan_complete {
        return None;
    }
    let (entries, bytes) = (snapshot.pending(), snapshot.bytes_pending());
    if entries == 0 && bytes == 0 {
        return Some(0);
    }
    let (recent, overall) = (&snapshot.recent, &snapshot.overall);
    if recent.entries <= 0.0 && recent.bytes_read <= 0.0 {
        return None;
    }
    let seconds = |left: u64, rate: f64| (rate > 0.0).then(|| left as f64 / rate);
    // While only empty files are loaded, the recent byte rate is 0, and the overall one is used.
    let bytes_rate = match recent.bytes_read > 0.0 {
        true => recent.bytes_read,
        false => overall.bytes_read,
    };
    let for_bytes = match bytes {
        0 => None,
        bytes => seconds(bytes, bytes_rate),
    };
    // While large files are loaded, the recent entry rate is too low for the small files after them.
    let for_entries = seconds(entries, recent.entries.max(overall.entries));
    let longest = match (for_bytes, for_entries) {
        (Some(bytes), Some(entries)) if snapshot.run_done >= ENOUGH => bytes.max(entries),
        (Some(bytes), _) => bytes,
        (None, entries) => entries?,
    };
    Some(longest.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Phase;
    use crate::progress::Rates;
    use crate::progress::snapshot::blank;

    const GIB: u64 = 1 << 30;

    struct Case {
        what: &'static str,
        phase: Phase,
        /// Remaining entries and bytes, and entries that this run settled.
        left: (u64, u64),
        run_done: u64,
        /// Entries and bytes per second, over the last minutes and over the run.
        recent: (f64, f64),
        overall: (f64, f64),
        expected: Option<u64>,
    }

    fn case(what: &'static str, expected: Option<u64>) -> Case {
        Case {
            what,
            phase: Phase::Scan,
            left: (1000, 10 * GIB),
            run_done: 5000,
            recent: (0.0, 0.0),
            overall: (0.0, 0.0),
            expected,
        }
    }

    #[test]
    fn the_estimate_follows_from_the_rates() {
        let gib = GIB as f64;
        for case in [
            case("no progress", None),
            Case {
                overall: (9.0, gib),
                ..case("no recent progress", None)
            },
            Case {
                left: (0, 0),
                ..case("nothing remains", Some(0))
            },
            Case {
                recent: (100.0, gib),
                overall: (100.0, gib),
                ..case("the longer of both times", Some(10))
            },
            Case {
                recent: (10.0, gib),
                overall: (10.0, gib),
                ..case("many small files", Some(100))
            },
            Case {
                left: (3, 3000 * GIB),
                run_done: 0,
                recent: (0.0, gib),
                overall: (0.0, gib),
                ..case("no file was settled", Some(3000))
            },
            Case {
                run_done: 1,
                recent: (1.0 / 300.0, gib),
                overall: (1.0 / 300.0, gib),
                ..case("one file was settled", Some(10))
            },
            Case {
                recent: (1.0 / 300.0, gib),
                overall: (200.0, gib),
                ..case("one was settled recently, many before", Some(10))
            },
            Case {
                left: (1000, 0),
                recent: (50.0, 0.0),
                overall: (20.0, gib),
                ..case("no bytes remain", Some(20))
            },
            Case {
                phase: Phase::Directories,
                recent: (50.0, gib),
                overall: (20.0, gib),
                ..case("directories", Some(20))
            },
            Case {
                recent: (1000.0, 0.0),
                overall: (1000.0, gib / 2.0),
                ..case("only empty files recently", Some(20))
            },
            Case {
                recent: (10.0, 0.0),
                overall: (10.0, 0.0),
                ..case("nothing was read yet", Some(100))
            },
        ] {
            let rates = |(entries, bytes_read): (f64, f64)| Rates {
                entries,
                bytes_read,
                bytes_put: bytes_read,
            };
            let mut snapshot = blank();
            snapshot.phase = case.phase;
            snapshot.scan_complete = true;
            snapshot.found = case.run_done + case.left.0;
            snapshot.done = case.run_done;
            snapshot.run_done = case.run_done;
            snapshot.bytes_found = 7 * GIB + case.left.1;
            snapshot.bytes_read = 7 * GIB;
            snapshot.recent = rates(case.recent);
            snapshot.overall = rates(case.overall);
            assert_eq!(estimate(&snapshot), case.expected, "{}", case.what);
            snapshot.scan_complete = false;
            assert_eq!(estimate(&snapshot), None, "{} during the scan", case.what);
        }
    }

    #[test]
    fn failed_files_are_excluded() {
        let mut snapshot = blank();
        snapshot.scan_complete = true;
        (snapshot.found, snapshot.done, snapshot.failed) = (1000, 900, 50);
        (snapshot.bytes_found, snapshot.bytes_read) = (100 * GIB, 50 * GIB);
        snapshot.recent.bytes_read = GIB as f64;
        assert_eq!(estimate(&snapshot), Some(50));
        snapshot.bytes_failed = 40 * GIB;
        assert_eq!(estimate(&snapshot), Some(10));
        // Some of them were read before they failed.
        snapshot.bytes_failed = 90 * GIB;
        assert_eq!((snapshot.bytes_pending(), estimate(&snapshot)), (0, None));
        snapshot.overall.entries = 10.0;
        assert_eq!(estimate(&snapshot), Some(5));
    }
}
