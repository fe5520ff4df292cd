//! The lines that AzCopy's integration with the original loader reads: a word, and a JSON object.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{Ending, Output, figures};
use crate::cli::Failure;
use crate::cli::terminal::out;
use crate::load::End;
use crate::monitor::{Event, Level};
use crate::progress::{Progress, Snapshot};

/// Between two `AZCOPY:` lines.
const EVERY: Duration = Duration::from_secs(2);

/// The output.
pub(in crate::cli) struct Azcopy {
    /// When the last line was written, and what had been put then.
    last: Mutex<(Instant, u64)>,
    /// The last figures: a failure tells how far it came.
    reached: Mutex<Option<Snapshot>>,
}

impl Azcopy {
    pub(in crate::cli) fn new() -> Self {
        Azcopy {
            last: Mutex::new((Instant::now(), 0)),
            reached: Mutex::default(),
        }
    }
}

fn line(word: &str, object: &Value) -> String {
    format!("{word}: {object}")
}

fn epoch() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// Bits of content put, in millions a second.
fn megabits(bytes: u64, seconds: f64) -> f64 {
    match seconds > 0.0 {
        true => bytes as f64 * 8.0 / 1e6 / seconds,
        false => 0.0,
    }
}

fn progress(snapshot: &Snapshot, put: u64, delta: Duration) -> Value {
    let now = epoch();
    let seconds = delta.as_secs_f64();
    json!({
        "elapsed": snapshot.elapsed_ms as f64 / 1e3,
        "files_completed_failed": snapshot.failed,
        "files_completed_success": snapshot.done,
        "files_pending": snapshot.pending(),
        "files_skipped": 0,
        "files_total": snapshot.found,
        "pct_complete": figures::part_done(snapshot).map_or(0.0, |part| (part * 1e3).floor() / 10.0),
        "phase": snapshot.phase,
        "throughput_Mbps": megabits(put, seconds),
        "throughput_delta_secs": seconds,
        "time_eta": snapshot.eta_seconds.map(|seconds| now + seconds as f64),
        "time_report": now,
        "bytes_completed": snapshot.bytes_read,
    })
}

fn final_object(status: &str, elapsed: f64, files: [u64; 3], bytes: u64) -> Value {
    let [failed, success, total] = files;
    json!({
        "elapsed": elapsed,
        "files_completed_failed": failed,
        "files_completed_success": success,
        "files_skipped": 0,
        "files_total": total,
        "final_job_status": status,
        "total_bytes_transferred": bytes,
    })
}

/// AzCopy knows three ends.
fn job_status(end: End) -> &'static str {
    match end {
        End::Finished | End::WasFinished | End::FinishedWithout => "Completed",
        End::Problems | End::TooManyProblems => "Failed",
        End::Stopped => "Aborted",
    }
}

impl Output for Azcopy {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Started { .. } => {
                let config = Value::Object(event.fields());
                out(&line("AZCOPY-CONFIG", &config));
            }
            event if event.level() == Level::Debug => {}
            event => {
                let info = json!({ "level": event.level().name(), "message": event.to_string() });
                out(&line("AZCOPY-INFO", &info));
            }
        }
    }

    fn snapshot(&self, snapshot: &Snapshot) {
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let (since, before) = *last;
            if since.elapsed() >= EVERY {
                let put = snapshot.run_bytes_put;
                *last = (Instant::now(), put);
                let object = progress(snapshot, put.saturating_sub(before), since.elapsed());
                out(&line("AZCOPY", &object));
            }
        }
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot.clone());
    }

    fn line(&self, text: &str) {
        out(&line(
            "AZCOPY-INFO",
            &json!({ "level": "info", "message": text }),
        ));
    }

    fn end(&self, ending: &Ending<'_>) {
        let summary = ending.summary;
        let done = ending.last.map_or(0, |last| last.done);
        let total = ending
            .last
            .map_or(summary.totals.entries(), |last| last.found);
        let object = final_object(
            job_status(summary.end),
            summary.elapsed.as_secs_f64(),
            [summary.problems, done, total],
            Progress::get(&summary.progress.bytes_put),
        );
        out(&line("AZCOPY-FINAL", &object));
    }

    fn failure(&self, failure: &Failure) {
        self.line(&failure.message);
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let object = match reached.as_ref() {
            Some(last) => final_object(
                "Failed",
                last.elapsed_ms as f64 / 1e3,
                [last.failed, last.done, last.found],
                last.run_bytes_put,
            ),
            None => final_object("Failed", 0.0, [0; 3], 0),
        };
        out(&line("AZCOPY-FINAL", &object));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_is_in_millions_of_bits() {
        assert_eq!(megabits(1_000_000, 2.0), 4.0);
        assert_eq!(megabits(1_000_000, 0.0), 0.0);
    }
}
