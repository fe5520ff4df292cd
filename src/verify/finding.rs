//! Findings: which rule is broken, by which object, and how; and the reporter that passes them on.

use std::fmt;

use clfs_format::{Filehandle, FormatError, ObjectName, Part, UnknownHandle};
use serde::Serialize;

use super::deviation::rule_of;
use super::rule::{Rule, Severity};
use super::scratch::{Scratch, ScratchError};
use super::summary::Summary;
use crate::read::ReadError;
use crate::text::{Escaped, hex_unless_text};

/// A broken rule, with everything that is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// The severity of the rule, or a higher one if the object cannot be read at all.
    pub severity: Severity,
    /// The blob, if the finding is about one.
    pub blob: Option<String>,
    /// A path to the object: raw bytes, `/` between components, empty for the root. None if no
    /// directory names the object, or no path leads to it.
    pub path: Option<Vec<u8>>,
    /// What is wrong.
    pub text: String,
}

impl Finding {
    /// Returns one line of JSON. `path_hex` has the exact bytes of a path that is not UTF-8, which
    /// `path` shows with replacement characters.
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            severity: &'static str,
            rule: &'static str,
            section: Option<u8>,
            blob: Option<&'a str>,
            path: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            path_hex: Option<String>,
            text: &'a str,
        }
        let path = self.path.as_deref();
        let line = Line {
            severity: self.severity.word(),
            rule: self.rule.name(),
            section: self.rule.section(),
            blob: self.blob.as_deref(),
            path: path.map(|path| format!("/{}", String::from_utf8_lossy(path))),
            path_hex: path.and_then(|path| hex_unless_text(&[b"/", path].concat())),
            text: &self.text,
        };
        // Strings and numbers always serialize.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

impl fmt::Display for Finding {
    /// Writes `error: /a/b (blob 00…): text [rule, section 6]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.severity)?;
        let blob = self.blob.as_ref().map(|blob| Escaped(blob.as_bytes()));
        match (&self.path, blob) {
            (Some(path), Some(blob)) => write!(f, "/{} (blob {blob}): ", Escaped(path))?,
            (Some(path), None) => write!(f, "/{}: ", Escaped(path))?,
            (None, Some(blob)) => write!(f, "blob {blob}: ")?,
            (None, None) => {}
        }
        write!(f, "{} [{}]", self.text, self.rule)
    }
}

/// How the path of a finding is determined when it is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PathOf {
    /// It has no path.
    Nothing,
    /// The path of an entity, by the entries that name it.
    Entity(Filehandle),
    /// The path of an entry of a directory.
    Entry(Filehandle, Vec<u8>),
    /// This path.
    Exactly(Vec<u8>),
}

/// A finding whose path is not determined yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewFinding {
    pub(super) rule: Rule,
    pub(super) severity: Severity,
    pub(super) blob: Option<String>,
    pub(super) path: PathOf,
    pub(super) text: String,
}

impl NewFinding {
    fn new(rule: Rule, blob: Option<String>, path: PathOf, text: impl Into<String>) -> Self {
        Self {
            rule,
            severity: rule.severity(),
            blob,
            path,
            text: text.into(),
        }
    }

    /// Creates a finding about a blob of `entity`: its inode or one of its blocks.
    pub(super) fn entity(
        rule: Rule,
        blob: &ObjectName,
        entity: Filehandle,
        text: impl Into<String>,
    ) -> Self {
        let path = PathOf::Entity(entity);
        Self::new(rule, Some(blob.to_string()), path, text)
    }

    /// Creates a finding about a blob of an unknown entity, or of none.
    pub(super) fn blob(rule: Rule, blob: impl ToString, text: impl Into<String>) -> Self {
        Self::new(rule, Some(blob.to_string()), PathOf::Nothing, text)
    }

    /// Creates a finding about a blob, and the entity that it belongs to, if that is known.
    pub(super) fn object(
        rule: Rule,
        blob: &ObjectName,
        entity: Option<Filehandle>,
        text: impl Into<String>,
    ) -> Self {
        let path = entity.map_or(PathOf::Nothing, PathOf::Entity);
        Self::new(rule, Some(blob.to_string()), path, text)
    }

    /// Creates a finding about an entry of `directory`, whose blob is given, if it is listed.
    pub(super) fn entry(
        rule: Rule,
        blob: Option<String>,
        directory: Filehandle,
        name: Vec<u8>,
        text: impl Into<String>,
    ) -> Self {
        Self::new(rule, blob, PathOf::Entry(directory, name), text)
    }

    /// Creates a finding about the container.
    pub(super) fn container(rule: Rule, text: impl Into<String>) -> Self {
        Self::new(rule, None, PathOf::Nothing, text)
    }

    /// Creates a finding about a path.
    pub(super) fn path(rule: Rule, path: Vec<u8>, text: impl Into<String>) -> Self {
        Self::new(rule, None, PathOf::Exactly(path), text)
    }

    /// Returns the same finding with another severity.
    pub(super) fn with_severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }
}

/// Returns a finding for each rule that a readable object breaks, and for each unknown handle. Bad
/// directory entries are omitted: they are reported one by one, with their names.
pub(super) fn deviation_findings(
    deviations: &[FormatError],
    unknown: &[UnknownHandle],
    blob: &ObjectName,
    entity: Option<Filehandle>,
) -> Vec<NewFinding> {
    let broken = deviations
        .iter()
        .filter(|error| error.place().part != Part::Entry)
        .map(|error| NewFinding::object(rule_of(error), blob, entity, error.to_string()));
    let unknown = unknown.iter().map(|handle| {
        let text = format!("{handle}: ignored");
        NewFinding::object(Rule::UnknownHandle, blob, entity, text)
    });
    broken.chain(unknown).collect()
}

/// Returns the finding for an object that could not be read.
pub(super) fn unreadable_finding(
    error: &ReadError,
    blob: &ObjectName,
    entity: Option<Filehandle>,
) -> NewFinding {
    let (rule, text) = match error {
        ReadError::Encrypted { method, .. } => (
            Rule::Encrypted,
            format!("encrypted ({method}): it cannot be checked"),
        ),
        ReadError::Format { error, .. } => (rule_of(error), format!("unreadable: {error}")),
        ReadError::TooLarge { size, .. } => (
            Rule::TooLarge,
            format!("the blob has {size} bytes, more than any object of its kind"),
        ),
        // The blob may be intact or damaged.
        ReadError::Unreadable(error) => (Rule::Unread, format!("not verified: {error}")),
        ReadError::Archived { problem, .. } => (Rule::Offline, problem.clone()),
        other => (Rule::Dangling, other.to_string()),
    };
    NewFinding::object(rule, blob, entity, text).with_severity(Severity::Error)
}

/// Receives findings as they are found.
pub type FindingSink = Box<dyn FnMut(&Finding) + Send>;

/// Determines the paths of findings, counts the findings, and passes them to the sink.
pub(super) struct Reporter {
    sink: FindingSink,
    pub(super) summary: Summary,
}

impl Reporter {
    pub(super) fn new(sink: FindingSink) -> Self {
        Self {
            sink,
            summary: Summary::default(),
        }
    }

    /// Reports a finding.
    ///
    /// # Errors
    /// If the database fails when the path is looked up.
    pub(super) fn report(
        &mut self,
        scratch: &Scratch,
        found: NewFinding,
    ) -> Result<(), ScratchError> {
        let path = match found.path {
            PathOf::Nothing => None,
            PathOf::Exactly(path) => Some(path),
            PathOf::Entity(entity) => scratch.path(entity)?,
            PathOf::Entry(directory, name) => scratch.path(directory)?.map(|mut path| {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(&name);
                path
            }),
        };
        let finding = Finding {
            rule: found.rule,
            severity: found.severity,
            blob: found.blob,
            path,
            text: found.text,
        };
        self.summary.count(&finding);
        (self.sink)(&finding);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(path: Option<&[u8]>) -> Finding {
        Finding {
            rule: Rule::Links,
            severity: Severity::Error,
            blob: Some("00AB".to_owned()),
            path: path.map(<[u8]>::to_vec),
            text: "nlink is 3, but 2 entries name it".to_owned(),
        }
    }

    #[test]
    fn a_line_of_text() {
        assert_eq!(
            finding(Some(b"a/b\n")).to_string(),
            "error: /a/b\\x0a (blob 00AB): nlink is 3, but 2 entries name it [links, section 6]"
        );
        assert_eq!(
            finding(None).to_string(),
            "error: blob 00AB: nlink is 3, but 2 entries name it [links, section 6]"
        );
    }

    #[test]
    fn exact_bytes_in_json() {
        let not_utf8 = finding(Some(b"a\xff")).json();
        let value: serde_json::Value = serde_json::from_str(&not_utf8).unwrap_or_default();
        assert_eq!(value["path"], "/a\u{fffd}");
        assert_eq!(value["path_hex"], "2f61ff");
        assert_eq!(value["rule"], "links");
        assert_eq!(value["section"], 6);
        let value: serde_json::Value =
            serde_json::from_str(&finding(Some(b"a")).json()).unwrap_or_default();
        assert_eq!(value["path"], "/a");
        assert!(value.get("path_hex").is_none());
    }
}
