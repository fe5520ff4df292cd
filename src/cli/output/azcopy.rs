//! The lines that AzCopy's integration with the original loader reads: a keyword and a JSON object.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::terminal::out;
use super::{Ending, Output, figures};
use crate::cli::{Failure, Status, lock};
use crate::events::{Event, Level};
use crate::load::End;
use crate::progress::{Progress, Snapshot};

/// The interval of `AZCOPY:` lines.
const EVERY: Duration = Duration::from_secs(2);

/// The output of `--azcopy`.
pub(crate) struct Azcopy {
    /// The time of the last line, and the bytes that had been uploaded by then.
    last: Mutex<(Instant, u64)>,
    /// The last progress, for the final line of a failed run.
    reached: Mutex<Option<Snapshot>>,
    /// The final object, during `--verify`.
    held: Mutex<Option<Value>>,
}

impl Azcopy {
    pub(crate) fn new() -> Self {
        Azcopy {
            last: Mutex::new((Instant::now(), 0)),
            reached: Mutex::default(),
            held: Mutex::default(),
        }
    }
}

fn line(keyword: &str, object: &Value) -> String {
    format!("{keyword}: {object}")
}

fn epoch() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// Returns the upload rate in megabits (10^6 bits) per second.
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

/// Returns the job status: AzCopy has three.
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
            let mut last = lock(&self.last);
            let (since, before) = *last;
            if since.elapsed() >= EVERY {
                let put = snapshot.run_bytes_put;
                *last = (Instant::now(), put);
                let object = progress(snapshot, put.saturating_sub(before), since.elapsed());
                out(&line("AZCOPY", &object));
            }
        }
        *lock(&self.reached) = Some(snapshot.clone());
    }

    fn line(&self, text: &str) {
        out(&line(
            "AZCOPY-INFO",
            &json!({ "level": "info", "message": text }),
        ));
    }

    fn end(&self, ending: &Ending<'_>) {
        let summary = ending.summary;
        if summary.subtrees.any() {
            self.line(&format!("incomplete: {}", summary.subtrees));
        }
        // If the transfer was already finished, there is no progress.
        let total = summary.totals.entries();
        let (done, total) = match ending.last {
            Some(last) => (last.done, last.found),
            None => (total.saturating_sub(summary.problems), total),
        };
        let object = final_object(
            job_status(summary.end),
            summary.elapsed.as_secs_f64(),
            [summary.problems, done, total],
            Progress::get(&summary.progress.bytes_put),
        );
        match ending.verifies {
            // The last line must be the final one.
            true => *lock(&self.held) = Some(object),
            false => out(&line("AZCOPY-FINAL", &object)),
        }
    }

    fn verified(&self, found: Status, _: Status) {
        if let Some(mut object) = lock(&self.held).take() {
            if found != Status::Done {
                object["final_job_status"] = "Failed".into();
            }
            out(&line("AZCOPY-FINAL", &object));
        }
    }

    fn stopped(&self) {
        self.ended("Aborted");
    }

    fn failure(&self, failure: &Failure) {
        self.line(&failure.message);
        self.ended("Failed");
    }
}

impl Azcopy {
    /// Prints the final line of a run without a result.
    fn ended(&self, status: &str) {
        let reached = lock(&self.reached);
        let object = match (lock(&self.held).take(), reached.as_ref()) {
            (Some(mut loaded), _) => {
                loaded["final_job_status"] = status.into();
                loaded
            }
            (None, Some(last)) => final_object(
                status,
                last.elapsed_ms as f64 / 1e3,
                [last.failed, last.done, last.found],
                last.run_bytes_put,
            ),
            (None, None) => final_object(status, 0.0, [0; 3], 0),
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
