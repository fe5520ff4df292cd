//! What a dry run found, in lines for people.

use std::num::NonZeroU64;
use std::time::Duration;

use clfs_format::Compression;

use super::output::amount::{count, counted, rate, size, size_class, span, type_names};
use crate::monitor::Escaped;
use crate::survey::{Estimate, Large, Puts, Survey, Synthetic, gigabits};

/// Lines that are shown where no bandwidth is given, in Gbit/s.
const GIGABITS: [u64; 3] = [1, 10, 25];

/// What the estimate is for.
pub(super) enum Tree<'a> {
    /// A tree that was scanned.
    Source(&'a Survey),
    /// A tree that nobody has.
    Synthetic(&'a Synthetic),
}

/// A report.
pub(super) struct Report<'a> {
    pub(super) tree: Tree<'a>,
    pub(super) estimate: &'a Estimate,
    /// Bytes in a second.
    pub(super) bandwidth: Option<NonZeroU64>,
}

impl Report<'_> {
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match self.tree {
            Tree::Source(survey) => {
                contents(survey, &mut lines);
                findings(survey, &mut lines);
            }
            Tree::Synthetic(tree) => lines.push(format!(
                "no source: {} of {} each, {} in {}",
                counted(tree.files, "file", "files"),
                size(tree.file_size()),
                size(tree.file_size().saturating_mul(tree.files)),
                counted(tree.directories(), "directory", "directories"),
            )),
        }
        self.estimate(&mut lines);
        lines
    }

    fn estimate(&self, lines: &mut Vec<String>) {
        let estimate = self.estimate;
        let Puts {
            inodes,
            directories,
            file_segments,
            directory_segments,
            indirect_blocks,
            bucket,
            log,
        } = estimate.puts;
        lines.push("a load would take:".to_owned());
        let kinds: Vec<String> = [
            (inodes, "inode", "inodes"),
            (file_segments, "segment of files", "segments of files"),
            (directories, "directory", "directories"),
            (
                directory_segments,
                "segment of directories",
                "segments of directories",
            ),
            (indirect_blocks, "indirect block", "indirect blocks"),
            (bucket, "bucket object", "bucket objects"),
            (log, "log", "logs"),
        ]
        .into_iter()
        .filter(|(number, ..)| *number > 0)
        .map(|(number, one, several)| counted(number, one, several))
        .collect();
        lines.push(format!(
            "  {}: {}",
            counted(estimate.puts.total(), "put", "puts"),
            kinds.join(", ")
        ));
        let mut bytes = format!("  {} in the container", size(estimate.bytes));
        match self.tree {
            Tree::Synthetic(_) => {
                bytes += ", not compressed, as there is no content to try it with"
            }
            Tree::Source(Survey {
                compression: Compression::Disabled,
                ..
            }) => bytes += ", not compressed",
            Tree::Source(_) => {
                let percent = percent(estimate.bytes, estimate.uncompressed);
                bytes += &format!(
                    " ({percent:.0} % of {}; {} were read for that",
                    size(estimate.uncompressed),
                    size(estimate.bytes_sampled)
                );
                if estimate.margin > 0 {
                    bytes += &format!(", give or take {}", size(estimate.margin));
                }
                bytes += ")";
            }
        }
        lines.push(bytes);
        lines.push(format!(
            "  {} for the state database, in the state folder",
            size(estimate.database)
        ));
        if let Tree::Source(survey) = self.tree {
            lines.push(format!(
                "  {} for the scan, at the {} entries/s of this one; the upload goes on beside it",
                span(survey.scanned_in),
                rate(survey.scan_rate())
            ));
        }
        for (line, time) in self.times() {
            lines.push(format!(
                "  {} for the upload at {}",
                span(time),
                match line {
                    Line::Given(bytes) => format!("the {}/s of --bandwidth-limit", size(bytes)),
                    Line::Gigabits(bits) => format!("{bits} Gbit/s"),
                }
            ));
        }
    }

    /// What the upload takes through each line.
    pub(super) fn times(&self) -> Vec<(Line, Duration)> {
        let lines = match self.bandwidth {
            Some(given) => vec![Line::Given(given.get())],
            None => GIGABITS.map(Line::Gigabits).to_vec(),
        };
        lines
            .into_iter()
            .map(|line| (line, self.estimate.upload_time(line.bytes())))
            .collect()
    }
}

/// What the bytes go through.
#[derive(Clone, Copy)]
pub(super) enum Line {
    /// `--bandwidth-limit`.
    Given(u64),
    /// One of [`GIGABITS`].
    Gigabits(u64),
}

impl Line {
    /// Bytes in a second.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Line::Given(bytes) => bytes,
            Line::Gigabits(bits) => gigabits(bits),
        }
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 100.0,
        whole => part as f64 * 100.0 / whole as f64,
    }
}

/// A path below the source in a line.
fn shown(path: &[u8]) -> String {
    match path {
        b"" => ".".to_owned(),
        path => Escaped(path).to_string(),
    }
}

fn contents(survey: &Survey, lines: &mut Vec<String>) {
    let mut kinds: Vec<String> = survey
        .types
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(file_type, number)| {
            let (one, several) = type_names(*file_type);
            counted(*number, one, several)
        })
        .collect();
    if survey.unseen > 0 {
        kinds.push(format!("{} unknown", count(survey.unseen)));
    }
    lines.push(format!(
        "{}: {}: {}",
        survey.source.display(),
        counted(survey.entries(), "entry", "entries"),
        kinds.join(", ")
    ));
    let (files, bytes) = survey.files();
    let each = match survey.preserve_hardlinks {
        true => "each once however many names it has",
        false => "each name for itself",
    };
    lines.push(format!(
        "{} in {}, {each}, by size:",
        size(bytes),
        counted(files, "file", "files"),
    ));
    let mut below = None;
    for class in survey.sizes.classes() {
        if class.files > 0 {
            lines.push(format!(
                "  {:<16} {:>15} {:>12}",
                size_class(&class, below),
                count(class.files),
                size(class.bytes)
            ));
        }
        below = class.up_to;
    }
    large("largest files:", &survey.largest_files, lines, |file| {
        size(file.size)
    });
    let directories = &survey.largest_directories;
    large(
        "directories with most entries:",
        directories,
        lines,
        |directory| {
            format!(
                "{}, {} in files",
                counted(directory.size, "entry", "entries"),
                size(directory.bytes)
            )
        },
    );
    if let Some((path, components)) = &survey.deepest {
        lines.push(format!(
            "deepest path: {}: {}",
            counted(*components, "level", "levels"),
            shown(path)
        ));
    }
    let links = &survey.links;
    if links.groups > 0 {
        lines.push(format!(
            "hard links: {} with {} names: {} with --preserve-hardlinks 1, {} without",
            counted(links.groups, "inode", "inodes"),
            count(links.names),
            size(links.bytes_once),
            size(links.bytes_all)
        ));
    }
}

fn large(title: &str, entries: &[Large], lines: &mut Vec<String>, what: impl Fn(&Large) -> String) {
    if entries.is_empty() {
        return;
    }
    lines.push(title.to_owned());
    for entry in entries {
        lines.push(format!("  {}: {}", shown(&entry.path), what(entry)));
    }
}

fn findings(survey: &Survey, lines: &mut Vec<String>) {
    if !survey.fails() {
        lines.push("nothing was found that would fail".to_owned());
    }
    if survey.subtrees.any() {
        lines.push(format!(
            "incomplete: {}; these figures do not count what is missing",
            survey.subtrees
        ));
    }
    for finding in &survey.findings {
        let kind = match finding.concern.fails() {
            true => "would fail",
            false => "to know",
        };
        let mut line = format!("{kind}: {}: {}", count(finding.count), finding.concern);
        if finding.bytes > 0 {
            line += &format!(" ({})", size(finding.bytes));
        }
        lines.push(line);
        for path in &finding.first {
            lines.push(format!("  {}", shown(path)));
        }
        let more = finding.count.saturating_sub(finding.first.len() as u64);
        if more > 0 {
            lines.push(format!("  and {} more", count(more)));
        }
    }
}
