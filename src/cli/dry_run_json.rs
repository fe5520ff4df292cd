//! What a dry run found, as JSON (docs/dry-run.md, JSON).

use clfs_format::FileType;
use serde_json::{Value, json};

use super::dry_run_report::{Report, Tree};
use crate::state::compression_name;
use crate::survey::{Finding, Large, Survey};

impl Report<'_> {
    pub(super) fn json(&self) -> Value {
        let estimate = self.estimate;
        let puts = &estimate.puts;
        let times: Vec<Value> = self
            .times()
            .into_iter()
            .map(|(line, time)| {
                json!({"bytes_per_second": line.bytes(), "seconds": time.as_secs_f64()})
            })
            .collect();
        let mut report = json!({
            "v": 1,
            "estimate": {
                "puts": puts.total(),
                "puts_by_kind": {
                    "inodes": puts.inodes,
                    "file_segments": puts.file_segments,
                    "directories": puts.directories,
                    "directory_segments": puts.directory_segments,
                    "indirect_blocks": puts.indirect_blocks,
                    "bucket": puts.bucket,
                    "log": puts.log,
                },
                "bytes": estimate.bytes,
                "bytes_margin": estimate.margin,
                "bytes_uncompressed": estimate.uncompressed,
                "bytes_sampled": estimate.bytes_sampled,
                "database_bytes": estimate.database,
                "upload": times,
            },
        });
        let of_tree = match self.tree {
            Tree::Source(survey) => source_json(survey),
            Tree::Synthetic(tree) => json!({
                "synthetic": {
                    "files": tree.files,
                    "file_bytes": tree.file_size(),
                    "directories": tree.directories(),
                },
            }),
        };
        if let (Value::Object(report), Value::Object(of_tree)) = (&mut report, of_tree) {
            report.extend(of_tree);
        }
        report
    }
}

/// A path, and its exact bytes if it is not UTF-8.
fn path_json(path: &[u8], mut fields: Value) -> Value {
    if let Value::Object(fields) = &mut fields {
        fields.insert("path".to_owned(), String::from_utf8_lossy(path).into());
        if std::str::from_utf8(path).is_err() {
            let hex: String = path.iter().map(|byte| format!("{byte:02x}")).collect();
            fields.insert("path_hex".to_owned(), hex.into());
        }
    }
    fields
}

fn source_json(survey: &Survey) -> Value {
    let types: serde_json::Map<String, Value> = survey
        .types
        .iter()
        .map(|(file_type, number)| (type_code(*file_type).to_owned(), (*number).into()))
        .collect();
    let (files, bytes) = survey.files();
    let sizes: Vec<Value> = survey
        .sizes
        .classes()
        .map(|class| json!({"up_to": class.up_to, "files": class.files, "bytes": class.bytes}))
        .collect();
    let largest = |entries: &[Large], what: fn(&Large) -> Value| -> Vec<Value> {
        let entries = entries.iter();
        entries
            .map(|entry| path_json(&entry.path, what(entry)))
            .collect()
    };
    let links = &survey.links;
    let deepest = survey
        .deepest
        .as_ref()
        .map(|(path, levels)| path_json(path, json!({"levels": levels})));
    json!({
        "source": path_json(survey.source.as_os_str().as_encoded_bytes(), json!({})),
        "preserve_hardlinks": survey.preserve_hardlinks,
        "compression": compression_name(survey.compression),
        "entries": survey.entries(),
        "types": types,
        "unseen": survey.unseen,
        "unlisted_directories": survey.subtrees.unlisted,
        "files": files,
        "bytes": bytes,
        "sizes": sizes,
        "largest_files": largest(&survey.largest_files, |file| json!({"bytes": file.size})),
        "largest_directories": largest(&survey.largest_directories, |directory| {
            json!({"entries": directory.size, "file_bytes": directory.bytes})
        }),
        "deepest": deepest,
        "hard_links": {
            "inodes": links.groups,
            "names": links.names,
            "bytes_once": links.bytes_once,
            "bytes_all": links.bytes_all,
        },
        "fails": survey.fails(),
        "findings": survey.findings.iter().map(finding_json).collect::<Vec<Value>>(),
        "scan": {
            "seconds": survey.scanned_in.as_secs_f64(),
            "entries_per_second": survey.scan_rate(),
        },
    })
}

fn finding_json(finding: &Finding) -> Value {
    let first = finding.first.iter();
    json!({
        "kind": finding.concern.code(),
        "fails": finding.concern.fails(),
        "text": finding.concern.to_string(),
        "count": finding.count,
        "bytes": finding.bytes,
        "first": first.map(|path| path_json(path, json!({}))).collect::<Vec<Value>>(),
    })
}

fn type_code(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Directory => "directory",
        FileType::Regular => "file",
        FileType::Symlink => "symlink",
        FileType::Block => "block",
        FileType::Character => "character",
        FileType::Socket => "socket",
        FileType::Fifo => "fifo",
    }
}
