//! The summary of a verification.

use std::collections::BTreeMap;

use clfs_format::{ObjectName, ObjectType};
use serde_json::{Map, Value, json};

use super::checker::Depth;
use super::finding::Finding;
use super::rule::{Rule, Severity};

/// What a verification read, and how many findings it reported.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Number of objects by the type in their blobs' names; objects with V1 names are special.
    pub objects: Vec<(ObjectType, u64)>,
    /// Total size of their blobs.
    pub blob_bytes: u64,
    /// Total size of regular files, by their inodes.
    pub file_bytes: u64,
    /// How much of the container was read.
    pub depth: Depth,
    /// Number of file segments whose existence was checked, but not their content.
    pub segments_unread: u64,
    /// What was compared with the source, if there was one.
    pub compared: Option<Compared>,
    /// Number of blobs that the container lists but could not return: they are not verified.
    pub unread: u64,
    /// Number of those that are directories: everything below them is not verified either.
    pub unread_directories: u64,
    /// Number of objects that nothing refers to, and that are not reported as orphans because some
    /// directories, block maps or the root could not be read.
    pub possible_orphans: u64,
    /// Number of findings by severity and rule.
    pub findings: BTreeMap<(Severity, Rule), u64>,
}

/// What was compared with the source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compared {
    /// Number of entries that both sides have.
    pub entries: u64,
    /// Number of bytes of content that were compared.
    pub bytes: u64,
}

impl Summary {
    pub(super) fn count(&mut self, finding: &Finding) {
        *self
            .findings
            .entry((finding.severity, finding.rule))
            .or_default() += 1;
        if finding.rule == Rule::Unread {
            self.unread += 1;
            let blob = finding.blob.as_deref();
            let name = blob.and_then(|blob| ObjectName::parse(blob).ok());
            if name.is_some_and(|name| name.object_type() == ObjectType::Directory) {
                self.unread_directories += 1;
            }
        }
    }

    /// Returns the number of findings of a severity.
    pub fn of_severity(&self, severity: Severity) -> u64 {
        let findings = self.findings.iter().filter(|((s, _), _)| *s == severity);
        findings.map(|(_, count)| *count).sum()
    }

    /// Returns whether there are no errors and no warnings.
    pub fn is_clean(&self) -> bool {
        self.of_severity(Severity::Error) == 0 && self.of_severity(Severity::Warning) == 0
    }

    /// Returns the summary as lines of text.
    pub fn lines(&self) -> Vec<String> {
        let objects: Vec<String> = self
            .objects
            .iter()
            .map(|(object_type, count)| format!("{count} {}", type_name(*object_type, *count)))
            .collect();
        let total: u64 = self.objects.iter().map(|(_, count)| *count).sum();
        let mut lines = Vec::new();
        if self.unread_directories > 0 {
            lines.push(format!(
                "{} could not be read: everything below is not verified, and orphans cannot be determined",
                counted(self.unread_directories, "directory", "directories")
            ));
        }
        lines.push(format!(
            "objects: {total} in {} of blobs: {}; content of files: {}",
            counted(self.blob_bytes, "byte", "bytes"),
            match objects.is_empty() {
                true => "none".to_owned(),
                false => objects.join(", "),
            },
            counted(self.file_bytes, "byte", "bytes")
        ));
        if self.depth == Depth::Quick {
            lines.push(format!(
                "not read (--quick): {}; only their existence was checked",
                counted(self.segments_unread, "file segment", "file segments")
            ));
        }
        if let Some(compared) = &self.compared {
            let entries = counted(compared.entries, "entry", "entries");
            lines.push(match self.depth {
                Depth::Full => format!(
                    "compared with the source: {entries}, {} of content",
                    counted(compared.bytes, "byte", "bytes")
                ),
                Depth::Quick => format!(
                    "compared with the source: {entries} without the content of files (--quick)"
                ),
            });
        }
        for ((severity, rule), count) in &self.findings {
            lines.push(format!("{count} x {severity} [{rule}]"));
        }
        let [errors, warnings, notes] =
            [Severity::Error, Severity::Warning, Severity::Note].map(|severity| {
                match self.of_severity(severity) {
                    0 => format!("no {severity}s"),
                    count => counted(count, severity.word(), &format!("{severity}s")),
                }
            });
        if self.unread > 0 {
            lines.push(format!(
                "NOT verified: {} could not be read",
                counted(self.unread, "blob", "blobs")
            ));
        }
        let clean = if self.is_clean() {
            "clean"
        } else {
            "NOT clean"
        };
        lines.push(format!("{clean}: {errors}, {warnings}, {notes}"));
        lines
    }

    /// Returns the summary as one line of JSON: an object with the single key `summary`.
    pub fn json(&self) -> String {
        let objects: Map<String, Value> = self
            .objects
            .iter()
            .map(|(object_type, count)| (type_name(*object_type, 1).to_owned(), json!(count)))
            .collect();
        let findings: Vec<Value> = self
            .findings
            .iter()
            .map(|((severity, rule), count)| {
                json!({
                    "severity": severity.word(),
                    "rule": rule.name(),
                    "section": rule.section(),
                    "count": count,
                })
            })
            .collect();
        json!({"summary": {
            "clean": self.is_clean(),
            "objects": objects,
            "blob_bytes": self.blob_bytes,
            "file_bytes": self.file_bytes,
            "quick": self.depth == Depth::Quick,
            "segments_unread": self.segments_unread,
            "unread": self.unread,
            "unread_directories": self.unread_directories,
            "possible_orphans": self.possible_orphans,
            "compared": self.compared.map(|compared| json!({
                "entries": compared.entries,
                "bytes": compared.bytes,
            })),
            "errors": self.of_severity(Severity::Error),
            "warnings": self.of_severity(Severity::Warning),
            "notes": self.of_severity(Severity::Note),
            "findings": findings,
        }})
        .to_string()
    }
}

/// Returns a number and its noun.
fn counted(count: u64, one: &str, several: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {several}"),
    }
}

/// Returns the noun for objects of a type.
fn type_name(object_type: ObjectType, count: u64) -> &'static str {
    let (one, several) = match object_type {
        ObjectType::Regular => ("file", "files"),
        ObjectType::Directory => ("directory", "directories"),
        ObjectType::Block => ("block device", "block devices"),
        ObjectType::Character => ("character device", "character devices"),
        ObjectType::Symlink => ("symlink", "symlinks"),
        ObjectType::Socket => ("socket", "sockets"),
        ObjectType::Fifo => ("fifo", "fifos"),
        ObjectType::Segment => ("segment", "segments"),
        ObjectType::Indirect => ("indirect block", "indirect blocks"),
        ObjectType::Tombstone => ("tombstone", "tombstones"),
        ObjectType::Special => ("special object", "special objects"),
        ObjectType::HardLink => ("hard link object", "hard link objects"),
    };
    match count {
        1 => one,
        _ => several,
    }
}
