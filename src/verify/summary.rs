//! The end of a verification in figures.

use std::collections::BTreeMap;

use clfs_format::{ObjectName, ObjectType};
use serde_json::{Map, Value, json};

use super::check::Depth;
use super::finding::Finding;
use super::rule::{Rule, Severity};

/// What a verification looked at and how much it found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Objects by the type in their blobs' names; those with V1 names are special.
    pub objects: Vec<(ObjectType, u64)>,
    /// Bytes of their blobs.
    pub blob_bytes: u64,
    /// Bytes of regular files, as their inodes say.
    pub file_bytes: u64,
    /// How much was read.
    pub depth: Depth,
    /// Segments of files that were only looked up.
    pub segments_unread: u64,
    /// What was compared with a source.
    pub compared: Option<Compared>,
    /// Blobs that the container has and does not hand out. They are neither sound nor damaged, but not verified.
    pub unread: u64,
    /// Of them those of directories: everything below them is not verified either.
    pub unread_directories: u64,
    /// How many findings there were of each kind.
    pub findings: BTreeMap<(Severity, Rule), u64>,
}

/// What was compared with a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compared {
    /// Entries that both have.
    pub entries: u64,
    /// Bytes of files that were compared one by one.
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

    /// Findings of a severity.
    pub fn of_severity(&self, severity: Severity) -> u64 {
        let of_it = self.findings.iter().filter(|((s, _), _)| *s == severity);
        of_it.map(|(_, count)| *count).sum()
    }

    /// Whether there was nothing but notes.
    pub fn is_clean(&self) -> bool {
        self.of_severity(Severity::Error) == 0 && self.of_severity(Severity::Warning) == 0
    }

    /// The figures for people, a line each.
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
                "{} could not be read: everything below is not verified, and may be reported as missing or unused",
                match self.unread_directories {
                    1 => "1 directory".to_owned(),
                    count => format!("{count} directories"),
                }
            ));
        }
        lines.push(format!(
            "objects: {total} in {} bytes of blobs: {}; files of {} bytes",
            self.blob_bytes,
            match objects.is_empty() {
                true => "none".to_owned(),
                false => objects.join(", "),
            },
            self.file_bytes
        ));
        if self.depth == Depth::Quick {
            lines.push(format!(
                "not read (--quick): the content of {} segments of files, which are there",
                self.segments_unread
            ));
        }
        if let Some(compared) = &self.compared {
            lines.push(match self.depth {
                Depth::Full => format!(
                    "compared with the source: {} entries, {} bytes of files",
                    compared.entries, compared.bytes
                ),
                Depth::Quick => format!(
                    "compared with the source: {} entries without the content of files (--quick)",
                    compared.entries
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
                    1 => format!("1 {severity}"),
                    count => format!("{count} {severity}s"),
                }
            });
        match self.unread {
            0 => {}
            1 => lines.push("NOT verified: 1 blob could not be read".to_owned()),
            count => lines.push(format!("NOT verified: {count} blobs could not be read")),
        }
        let clean = if self.is_clean() {
            "clean"
        } else {
            "NOT clean"
        };
        lines.push(format!("{clean}: {errors}, {warnings}, {notes}"));
        lines
    }

    /// The figures as one line of JSON: an object with the one key `summary`.
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
