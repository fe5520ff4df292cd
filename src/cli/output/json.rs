//! One JSON object per line on standard output. docs/output.md lists the fields, which are stable.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use clfs_format::FileType;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::terminal::out;
use super::{Ending, Output};
use crate::cli::commands::exit_status;
use crate::cli::{Failure, Status, lock};
use crate::events::{Event, Level};
use crate::load::{End, Summary};
use crate::progress::Snapshot;
use crate::state::Counter;
use crate::text::human::type_names;

/// The version of the lines. It increases when a field is removed or changes its meaning, not when one is added.
const VERSION: u32 = 1;

/// The output of `--output json`.
pub(crate) struct Json {
    /// The interval of progress lines; `None` prints none.
    every: Option<Duration>,
    last: Mutex<Option<Instant>>,
}

impl Json {
    pub(crate) fn new(every: Option<Duration>) -> Self {
        Json {
            every,
            last: Mutex::default(),
        }
    }
}

/// The `type` of a line.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Start,
    Progress,
    Info,
    Warning,
    Problem,
    Phase,
    Loaded,
    Final,
}

impl Kind {
    fn of(event: &Event<'_>) -> Option<Self> {
        Some(match event {
            Event::Started { .. } => Kind::Start,
            Event::Phase(_) => Kind::Phase,
            Event::Problem { .. } => Kind::Problem,
            event => match event.level() {
                Level::Debug => return None,
                Level::Info => Kind::Info,
                Level::Warning | Level::Error => Kind::Warning,
            },
        })
    }
}

fn line(kind: Kind, fields: Map<String, Value>) -> String {
    let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let mut object = fields;
    object.insert("v".to_owned(), VERSION.into());
    object.insert("type".to_owned(), json!(kind));
    object.insert("time".to_owned(), time.into());
    Value::Object(object).to_string()
}

/// Returns the fields of a JSON object; none for any other value.
fn fields(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn event_line(event: &Event<'_>) -> Option<String> {
    let kind = Kind::of(event)?;
    let mut fields = event.fields();
    fields.insert("message".to_owned(), event.to_string().into());
    if matches!(kind, Kind::Info | Kind::Warning) {
        fields.insert("event".to_owned(), event.name().into());
    }
    Some(line(kind, fields))
}

fn progress_line(snapshot: &Snapshot) -> String {
    let mut fields = fields(serde_json::to_value(snapshot).unwrap_or_default());
    // The line has a field `time`.
    fields.remove("at");
    line(Kind::Progress, fields)
}

/// Returns the `end` of a run.
fn end_name(end: End) -> &'static str {
    match end {
        End::Finished => "finished",
        End::WasFinished => "was-finished",
        End::FinishedWithout => "finished-without-failed",
        End::Problems => "failed-entries",
        End::TooManyProblems => "too-many-failed-entries",
        End::Stopped => "stopped",
    }
}

fn end_line(ending: &Ending<'_>) -> String {
    let Summary {
        end,
        totals,
        problems,
        lost,
        subtrees,
        changed,
        elapsed,
        ..
    } = ending.summary;
    let types: Map<String, Value> = FileType::ALL
        .into_iter()
        .map(|file_type| {
            let found = totals.get(Counter::Found(file_type));
            (type_names(file_type).code.to_owned(), found.into())
        })
        .collect();
    let problems_file = (*problems > 0).then(|| {
        let file = ending.state.folder().join("problems.json");
        file.display().to_string()
    });
    // The last line must be the final one.
    let kind = match ending.verifies {
        true => Kind::Loaded,
        false => Kind::Final,
    };
    line(
        kind,
        fields(json!({
            "end": end_name(*end),
            "exit_status": exit_status(*end) as u8,
            "elapsed_seconds": elapsed.as_secs_f64(),
            "entries": totals.entries(),
            "types": types,
            "links": totals.get(Counter::FoundLinks),
            "unlike_names": totals.get(Counter::UnlikeNames),
            "failed": problems,
            "not_stored": lost.iter().map(|lost| Event::Lost(lost).fields()).collect::<Vec<_>>(),
            "unlisted_directories": subtrees.unlisted,
            "unknown_entries": subtrees.unknown,
            "changed": changed,
            "bytes_read": totals.get(Counter::BytesRead),
            "bytes_put": totals.get(Counter::BytesPut),
            "objects": totals.get(Counter::Objects),
            "requests": ending.last.map(|last| last.requests),
            "problems_file": problems_file,
            "next": ending.next,
        })),
    )
}

impl Output for Json {
    fn event(&self, event: &Event<'_>) {
        event_line(event).iter().for_each(|line| out(line));
    }

    fn snapshot(&self, snapshot: &Snapshot) {
        let Some(every) = self.every else { return };
        let mut last = lock(&self.last);
        if last.is_none_or(|last| last.elapsed() >= every) {
            *last = Some(Instant::now());
            out(&progress_line(snapshot));
        }
    }

    fn line(&self, text: &str) {
        out(&line(Kind::Info, fields(json!({ "message": text }))));
    }

    fn end(&self, ending: &Ending<'_>) {
        out(&end_line(ending));
    }

    fn verified(&self, found: Status, exit: Status) {
        let end = match found {
            Status::Done => "verified",
            _ => "verified-with-findings",
        };
        let object = json!({ "end": end, "exit_status": exit as u8 });
        out(&line(Kind::Final, fields(object)));
    }

    fn stopped(&self) {
        let object = json!({ "end": "stopped-at-once", "exit_status": Status::Failed as u8 });
        out(&line(Kind::Final, fields(object)));
    }

    fn failure(&self, failure: &Failure) {
        out(&line(
            Kind::Final,
            fields(json!({
                "end": "failed",
                "exit_status": failure.status as u8,
                "message": failure.message,
            })),
        ));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::problem::{Problem, Reason};

    #[test]
    fn a_problem_is_a_line_with_its_fields() {
        let problem = Problem::from_errno(rustix::io::Errno::ACCESS);
        assert_eq!(problem.reason, Reason::PermissionDenied);
        let line = event_line(&Event::Problem {
            path: b"a/b",
            problem,
        })
        .unwrap();
        let mut line: Value = serde_json::from_str(&line).unwrap();
        let fields = line.as_object_mut().unwrap();
        assert!(
            fields
                .remove("time")
                .unwrap()
                .as_str()
                .unwrap()
                .ends_with('Z')
        );
        let expected = json!({
            "v": 1, "type": "problem", "path": "a/b", "reason": "permission-denied", "errno": 13,
            "message": Event::Problem { path: b"a/b", problem }.to_string(),
        });
        assert_eq!(line, expected);
        assert!(event_line(&Event::Detail("x")).is_none());
    }
}
