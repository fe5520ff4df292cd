//! One finding: which rule is broken, by which object, and how.

use std::fmt;

use clfs_format::{Filehandle, ObjectName};
use serde::Serialize;

use super::rule::{Rule, Severity};
use crate::monitor::Escaped;

/// What a verification found, with all that is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// How bad it is: that of the rule, or worse when nothing of the object could be read.
    pub severity: Severity,
    /// The blob, as far as the finding is about one.
    pub blob: Option<String>,
    /// A path to the object: raw bytes, `/` between components, empty for the root. None when
    /// no directory names it, or no path leads there.
    pub path: Option<Vec<u8>>,
    /// What is wrong.
    pub text: String,
}

impl Finding {
    /// One line of JSON. `path_hex` has the exact bytes of a path that is not UTF-8, which `path`
    /// shows with replacement characters.
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
        let odd = path.filter(|path| std::str::from_utf8(path).is_err());
        let line = Line {
            severity: self.severity.word(),
            rule: self.rule.name(),
            section: self.rule.section(),
            blob: self.blob.as_deref(),
            path: path.map(|path| format!("/{}", String::from_utf8_lossy(path))),
            path_hex: odd.map(|path| {
                let digits = path.iter().map(|byte| format!("{byte:02x}"));
                std::iter::once("2f".to_owned()).chain(digits).collect()
            }),
            text: &self.text,
        };
        // Strings and numbers: this cannot fail.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

impl fmt::Display for Finding {
    /// `error: /a/b (blob 00…): text [rule, section 6]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.severity)?;
        match (&self.path, &self.blob) {
            (Some(path), Some(blob)) => {
                write!(
                    f,
                    "/{} (blob {}): ",
                    Escaped(path),
                    Escaped(blob.as_bytes())
                )?;
            }
            (Some(path), None) => write!(f, "/{}: ", Escaped(path))?,
            (None, Some(blob)) => write!(f, "blob {}: ", Escaped(blob.as_bytes()))?,
            (None, None) => {}
        }
        write!(f, "{} [{}]", self.text, self.rule)
    }
}

/// How the path of a finding will be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PathOf {
    /// It has none.
    Nothing,
    /// That of an entity: whatever entries name it.
    Entity(Filehandle),
    /// An entry of a directory.
    Entry(Filehandle, Vec<u8>),
    /// This one.
    Exactly(Vec<u8>),
}

/// A finding whose path is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) rule: Rule,
    pub(super) severity: Severity,
    pub(super) blob: Option<String>,
    pub(super) path: PathOf,
    pub(super) text: String,
}

impl Found {
    /// About the blob of an object that belongs to `entity`: its inode or one of its blocks.
    pub(super) fn of(
        rule: Rule,
        blob: &ObjectName,
        entity: Filehandle,
        text: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            severity: rule.severity(),
            blob: Some(blob.to_string()),
            path: PathOf::Entity(entity),
            text: text.into(),
        }
    }

    /// About a blob that belongs to no entity, or it is not known to which.
    pub(super) fn blob(rule: Rule, blob: impl ToString, text: impl Into<String>) -> Self {
        Self {
            rule,
            severity: rule.severity(),
            blob: Some(blob.to_string()),
            path: PathOf::Nothing,
            text: text.into(),
        }
    }

    /// About the container as a whole.
    pub(super) fn container(rule: Rule, text: impl Into<String>) -> Self {
        Self {
            rule,
            severity: rule.severity(),
            blob: None,
            path: PathOf::Nothing,
            text: text.into(),
        }
    }

    /// About a path.
    pub(super) fn path(rule: Rule, path: Vec<u8>, text: impl Into<String>) -> Self {
        Self {
            rule,
            severity: rule.severity(),
            blob: None,
            path: PathOf::Exactly(path),
            text: text.into(),
        }
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
    fn a_line_for_people() {
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
        let odd = finding(Some(b"a\xff")).json();
        let value: serde_json::Value = serde_json::from_str(&odd).unwrap_or_default();
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
