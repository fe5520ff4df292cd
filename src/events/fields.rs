//! The name and the fields of an event for logs and JSON. They are stable, whatever its wording.

use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::Event;
use crate::container::ContainerError;
use crate::container::notice::Notice;
use crate::text::{Escaped, Hex, below_source};

/// Collects the fields of an event.
#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    fn text(self, name: &str, value: impl Display) -> Self {
        self.with(name, value.to_string())
    }

    fn some(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds the path as it is displayed, and its exact bytes if they differ from that.
    fn path(self, path: &[u8]) -> Self {
        let path = below_source(path);
        let shown = Escaped(path).to_string();
        let hex = (shown.as_bytes() != path).then(|| Hex(path).to_string());
        self.with("path", shown).some("path_hex", hex)
    }

    fn error(self, error: &ContainerError) -> Self {
        self.text("operation", error.operation())
            .some("blob", error.blob())
            .some("status", error.status())
            .some("code", error.code())
            .some("request_id", error.request_id())
            .text("error", error)
    }

    fn seconds(self, name: &str, span: Duration) -> Self {
        self.with(name, span.as_secs_f64())
    }

    fn time(self, name: &str, time: Option<SystemTime>) -> Self {
        let shown = time.map(|time| humantime::format_rfc3339_seconds(time).to_string());
        self.some(name, shown)
    }
}

impl Event<'_> {
    /// Returns the name of this kind of event, in kebab case. It is stable.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Started { .. } => "started",
            Event::Phase(_) => "phase",
            Event::Problem { .. } => "problem",
            Event::Reread { .. } => "taken-again",
            Event::StoredChanged { .. } => "stored-changed",
            Event::ClampedTimes { .. } => "clamped-times",
            Event::Lost(_) => "not-stored",
            Event::AclsNotExamined { .. } => "acls-not-examined",
            Event::SplitInodes { .. } => "split-inodes",
            Event::UnlikeNames { .. } => "unlike-names",
            Event::SourceEmpty { .. } => "source-empty",
            Event::SourceNotMounted { .. } => "source-not-mounted",
            Event::MountsNotRecorded { .. } => "mounts-not-recorded",
            Event::SourceStalled { .. } => "source-stalled",
            Event::Stopping => "stopping",
            Event::StoppedWaiting => "stopped-waiting",
            Event::Detail(_) => "detail",
            Event::Container(notice) => match notice {
                Notice::AttemptFailed { .. } => "try-failed",
                Notice::OutageBegins { .. } => "outage-begins",
                Notice::OutageLasts { .. } => "outage-lasts",
                Notice::OutageEnds { .. } => "outage-ends",
                Notice::ThrottleBegins { .. } => "throttle-begins",
                Notice::ThrottleEnds { .. } => "throttle-ends",
                Notice::TokenExpires { .. } => "token-ends",
                Notice::TokenRenewed { .. } => "token-renewed",
            },
        }
    }

    /// Returns the fields of the event. They contain no secrets, because events have none.
    pub fn fields(&self) -> Map<String, Value> {
        let fields = Fields::default();
        let fields = match self {
            Event::Started {
                source,
                container,
                resumed,
            } => fields
                .text("source", source.display())
                .with("container", *container)
                .with("resumed", *resumed),
            Event::Phase(phase) => fields.with("phase", serde_json::json!(phase)),
            Event::Problem { path, problem } => fields
                .path(path)
                .with("reason", problem.reason.code())
                .some("errno", problem.errno),
            Event::Reread { path } | Event::StoredChanged { path } => fields.path(path),
            Event::ClampedTimes { entries } => fields.with("entries", *entries),
            Event::Lost(lost) => fields
                .path(&lost.first)
                .with("kind", lost.loss.code())
                .with("entries", lost.entries),
            Event::AclsNotExamined { source, container } => fields
                .text("source", source.display())
                .with("container", *container),
            Event::SplitInodes { inodes } => fields.with("inodes", *inodes),
            Event::UnlikeNames { names, path } => fields.path(path).with("names", *names),
            Event::SourceEmpty { path } | Event::SourceNotMounted { path } => {
                fields.path(path.as_os_str().as_bytes())
            }
            Event::MountsNotRecorded { mounts } => fields.with("mounts", mounts.len()),
            Event::SourceStalled { path, since } => fields.path(path).seconds("seconds", *since),
            Event::Stopping | Event::StoppedWaiting => fields,
            Event::Detail(text) => fields.with("detail", *text),
            Event::Container(notice) => notice_fields(fields, notice),
        };
        fields.0
    }
}

fn notice_fields(fields: Fields, notice: &Notice<'_>) -> Fields {
    match notice {
        Notice::AttemptFailed {
            attempt,
            delay,
            error,
        } => fields
            .error(error)
            .with("attempt", *attempt)
            .seconds("delay_seconds", *delay),
        Notice::OutageBegins { error, patience } => {
            fields.error(error).seconds("patience_seconds", *patience)
        }
        Notice::OutageLasts {
            error,
            lasting,
            waiting,
        } => fields
            .error(error)
            .seconds("seconds", *lasting)
            .with("waiting", *waiting),
        Notice::OutageEnds {
            lasted,
            calls,
            attempts,
        } => fields
            .seconds("seconds", *lasted)
            .with("calls", *calls)
            .with("tries", *attempts),
        Notice::ThrottleBegins { pace } => fields.with("pace", *pace),
        Notice::ThrottleEnds { lasted } => fields.seconds("seconds", *lasted),
        Notice::TokenExpires { at, left, file } => fields
            .time("at", Some(*at))
            .seconds("seconds_left", *left)
            .some("file", file.map(|file| file.display().to_string())),
        Notice::TokenRenewed { file, expiry } => {
            fields.text("file", file.display()).time("until", *expiry)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{Problem, Reason};

    #[test]
    fn an_escaped_path_has_its_exact_bytes_too() {
        let problem = Problem::new(Reason::Vanished);
        let plain = Event::Problem {
            path: b"a/b",
            problem,
        }
        .fields();
        assert_eq!(
            Value::Object(plain),
            serde_json::json!({"path": "a/b", "reason": "vanished"})
        );
        let odd = Event::Problem {
            path: b"a\xff\n",
            problem,
        }
        .fields();
        assert_eq!(odd["path"], "a\\xff\\x0a");
        assert_eq!(odd["path_hex"], "61ff0a");
    }
}
