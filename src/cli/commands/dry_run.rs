//! A load's `--dry-run`: surveys the source instead, and prints the result as lines or as JSON (docs/dry-run.md).

use std::num::NonZeroU64;
use std::path::Path;

use clfs_format::Compression;
use serde_json::{Map, Value, json};

use crate::cli::args::address;
use crate::cli::args::load::{LoadArguments, Target};
use crate::cli::output::summary::by_type;
use crate::cli::output::terminal::out;
use crate::cli::session::{raise_descriptor_limit, stop_on_signals};
use crate::cli::{Failure, Status};
use crate::container::ContainerLocation;
use crate::container::credential::sas::SasToken;
use crate::load::{LoadError, check_parents, check_places};
use crate::state::{State, StateError, compression_name};
use crate::survey::{Estimate, Finding, Large, Puts, Survey, SurveyOptions, Synthetic, survey};
use crate::text::human::{count, counted, rate, size, size_class, span, type_names};
use crate::text::{Escaped, hex_unless_text};

/// Runs a dry run.
pub(crate) fn run(arguments: &LoadArguments) -> Result<Status, Failure> {
    let print = |tree, estimate| {
        let bandwidth = arguments.bandwidth_limit;
        let report = Report {
            tree,
            estimate,
            bandwidth,
        };
        match arguments.json {
            true => out(&report.json().to_string()),
            false => report.lines().iter().for_each(|line| out(line)),
        }
    };
    if let Some(tree) = arguments.dry_run.synthetic() {
        print(Tree::Synthetic(tree), tree.estimate());
        return Ok(Status::Done);
    }
    let source = match arguments.only_source() {
        Some(source) => source,
        None => checked(arguments)?,
    };
    let mut options = SurveyOptions::new(source.to_path_buf());
    options.preserve_hardlinks = arguments.preserve_hardlinks.unwrap_or_default();
    options.compression = arguments.compression.unwrap_or(Compression::Lz4);
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(Failure::no_threads)?;
    stop_on_signals(&runtime, &options.stop);
    let survey = survey(&options)?;
    let status = match survey.fails() {
        true => Status::Problems,
        false => Status::Done,
    };
    let estimate = survey.estimate;
    print(Tree::Source(Box::new(survey)), estimate);
    Ok(status)
}

/// Returns the source of a load, whose other arguments are checked.
fn checked(arguments: &LoadArguments) -> Result<&Path, Failure> {
    let target = arguments.target()?;
    let Target { state, source, .. } = target;
    if arguments.new && State::exists(state) {
        return Err(LoadError::from(StateError::Exists(state.to_path_buf())).into());
    }
    let endpoint = arguments.blob_endpoint.as_deref();
    let location =
        address::of_load(target.account, target.container, endpoint).map_err(Failure::usage)?;
    // A dry run needs no token, but reports an error in one that is an argument.
    let token = arguments.sas.as_deref().filter(|token| *token != "-");
    if let (ContainerLocation::Azure { .. }, Some(token)) = (&location, token) {
        SasToken::parse(token).map_err(Failure::usage)?;
    }
    check_places(source, state, &location).map_err(LoadError::from)?;
    if !State::exists(state) {
        check_parents(state, Some(&location)).map_err(LoadError::from)?;
    }
    Ok(source)
}

/// Without `--bandwidth-limit`, the upload is shown at these rates, in Gbit/s.
const GIGABITS: [u64; 3] = [1, 10, 25];

/// The tree of an estimate.
enum Tree {
    /// A scanned tree.
    Source(Box<Survey>),
    /// A tree that is only described.
    Synthetic(Synthetic),
}

/// The result of a dry run.
struct Report {
    tree: Tree,
    estimate: Estimate,
    /// `--bandwidth-limit`, in bytes per second.
    bandwidth: Option<NonZeroU64>,
}

impl Report {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match &self.tree {
            Tree::Source(survey) => {
                contents(survey, &mut lines);
                findings(survey, &mut lines);
            }
            Tree::Synthetic(tree) => lines.push(format!(
                "no source: {} of {} each, {} in {}",
                counted(tree.files, "file", "files"),
                size(tree.file_size()),
                size(tree.file_size().saturating_mul(tree.files)),
                counted(self.estimate.puts.directories, "directory", "directories"),
            )),
        }
        self.estimate(&mut lines);
        lines
    }

    fn estimate(&self, lines: &mut Vec<String>) {
        let estimate = &self.estimate;
        let puts = &estimate.puts;
        lines.push("cost of a load:".to_owned());
        let kinds = by_kind(puts)
            .into_iter()
            .filter(|(_, number, ..)| *number > 0);
        let kinds: Vec<String> = kinds
            .map(|(_, number, one, several)| counted(number, one, several))
            .collect();
        let total = counted(puts.total(), "Put Blob request", "Put Blob requests");
        lines.push(format!("  {total}: {}", kinds.join(", ")));
        let how = match &self.tree {
            Tree::Synthetic(_) => {
                ", without compression: there is no content to measure".to_owned()
            }
            Tree::Source(survey) if survey.compression == Compression::Disabled => {
                ", without compression".to_owned()
            }
            Tree::Source(_) => format!(
                ", ± {} ({:.0} % of {}; {} were read to measure the compression)",
                size(estimate.margin),
                estimate.bytes as f64 * 100.0 / estimate.uncompressed.max(1) as f64,
                size(estimate.uncompressed),
                size(estimate.bytes_sampled)
            ),
        };
        lines.push(format!("  {} in the container{how}", size(estimate.bytes)));
        lines.push(format!(
            "  {} for the state database, in the state folder",
            size(estimate.database)
        ));
        if let Tree::Source(survey) = &self.tree {
            lines.push(format!(
                "  {} for the scan, at the {} entries/s of this one; the upload runs at the same time",
                span(survey.scanned_in),
                rate(survey.scan_rate())
            ));
        }
        for (rate, bytes) in self.rates() {
            let time = span(estimate.upload_time(bytes));
            lines.push(format!("  {time} for the upload at {rate}"));
        }
    }

    /// Returns the rates of the upload: a description, and bytes per second.
    fn rates(&self) -> Vec<(String, u64)> {
        match self.bandwidth {
            Some(bytes) => {
                let rate = format!("the {}/s of --bandwidth-limit", size(bytes.get()));
                vec![(rate, bytes.get())]
            }
            None => GIGABITS
                .map(|rate| (format!("{rate} Gbit/s"), rate * 125_000_000))
                .to_vec(),
        }
    }

    fn json(&self) -> Value {
        let estimate = &self.estimate;
        let puts = &estimate.puts;
        let upload = self.rates().into_iter().map(|(_, bytes)| {
            let seconds = estimate.upload_time(bytes).as_secs_f64();
            json!({"bytes_per_second": bytes, "seconds": seconds})
        });
        let mut report = match &self.tree {
            Tree::Source(survey) => survey_json(survey),
            Tree::Synthetic(tree) => json!({
                "synthetic": {
                    "files": tree.files,
                    "file_bytes": tree.file_size(),
                    "directories": puts.directories,
                },
            }),
        };
        let kinds = by_kind(puts).into_iter();
        let kinds = kinds.map(|(name, number, ..)| (name.to_owned(), number.into()));
        report["v"] = 1.into();
        report["estimate"] = json!({
            "puts": puts.total(),
            "puts_by_kind": kinds.collect::<Map<String, Value>>(),
            "bytes": estimate.bytes,
            "bytes_margin": estimate.margin,
            "bytes_uncompressed": estimate.uncompressed,
            "bytes_sampled": estimate.bytes_sampled,
            "database_bytes": estimate.database,
            "upload": upload.collect::<Vec<Value>>(),
        });
        report
    }
}

/// Returns the requests of each kind: the name in JSON, the number, and the singular and plural in lines.
fn by_kind(puts: &Puts) -> [(&'static str, u64, &'static str, &'static str); 7] {
    [
        ("inodes", puts.inodes, "inode", "inodes"),
        (
            "file_segments",
            puts.file_segments,
            "file segment",
            "file segments",
        ),
        ("directories", puts.directories, "directory", "directories"),
        (
            "directory_segments",
            puts.directory_segments,
            "directory segment",
            "directory segments",
        ),
        (
            "indirect_blocks",
            puts.indirect_blocks,
            "indirect block",
            "indirect blocks",
        ),
        ("bucket", puts.bucket, "bucket object", "bucket objects"),
        ("log", puts.log, "log", "logs"),
    ]
}

/// Returns a path below the source in a line.
fn shown(path: &[u8]) -> String {
    match path {
        b"" => ".".to_owned(),
        path => Escaped(path).to_string(),
    }
}

fn contents(survey: &Survey, lines: &mut Vec<String>) {
    let mut kinds = by_type(survey.types.iter().copied());
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
    let hard_links = match survey.preserve_hardlinks {
        true => "a file with several names counts once",
        false => "a file with several names counts once for each",
    };
    lines.push(format!(
        "{} in {} ({hard_links}), by size:",
        size(bytes),
        counted(files, "file", "files"),
    ));
    let mut below = None;
    for class in survey.sizes.classes() {
        if class.files > 0 {
            lines.push(format!(
                "  {:<16} {:>15} {:>12}",
                size_class(class.up_to, below),
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
    large("largest directories:", directories, lines, |directory| {
        format!(
            "{}, {} in files",
            counted(directory.size, "entry", "entries"),
            size(directory.bytes)
        )
    });
    if let Some((path, components)) = &survey.deepest {
        let levels = counted(*components, "level", "levels");
        lines.push(format!("deepest path: {levels}: {}", shown(path)));
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
    if !entries.is_empty() {
        lines.push(title.to_owned());
    }
    let entries = entries.iter();
    lines.extend(entries.map(|entry| format!("  {}: {}", shown(&entry.path), what(entry))));
}

fn findings(survey: &Survey, lines: &mut Vec<String>) {
    if !survey.fails() {
        lines.push("no entry was found that would fail".to_owned());
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
            false => "note",
        };
        let mut line = format!("{kind}: {}: {}", count(finding.count), finding.concern);
        if finding.bytes > 0 {
            line += &format!(" ({})", size(finding.bytes));
        }
        lines.push(line);
        let first = finding.first.iter();
        lines.extend(first.map(|path| format!("  {}", shown(path))));
        let more = finding.count.saturating_sub(finding.first.len() as u64);
        if more > 0 {
            lines.push(format!("  and {} more", count(more)));
        }
    }
}

/// Adds a path to an object; the exact bytes too if the path is not UTF-8.
fn with_path(path: &[u8], mut fields: Value) -> Value {
    fields["path"] = String::from_utf8_lossy(path).into();
    if let Some(hex) = hex_unless_text(path) {
        fields["path_hex"] = hex.into();
    }
    fields
}

fn survey_json(survey: &Survey) -> Value {
    let types = survey.types.iter();
    let types: Map<String, Value> = types
        .map(|(file_type, number)| (type_names(*file_type).code.to_owned(), (*number).into()))
        .collect();
    let (files, bytes) = survey.files();
    let sizes = survey
        .sizes
        .classes()
        .map(|class| json!({"up_to": class.up_to, "files": class.files, "bytes": class.bytes}));
    let largest_files = survey.largest_files.iter();
    let largest_files =
        largest_files.map(|file| with_path(&file.path, json!({"bytes": file.size})));
    let largest_directories = survey.largest_directories.iter().map(|directory| {
        let fields = json!({"entries": directory.size, "file_bytes": directory.bytes});
        with_path(&directory.path, fields)
    });
    let deepest = survey.deepest.as_ref();
    let links = &survey.links;
    json!({
        "source": with_path(survey.source.as_os_str().as_encoded_bytes(), json!({})),
        "preserve_hardlinks": survey.preserve_hardlinks,
        "compression": compression_name(survey.compression),
        "entries": survey.entries(),
        "types": types,
        "unseen": survey.unseen,
        "unlisted_directories": survey.subtrees.unlisted,
        "files": files,
        "bytes": bytes,
        "sizes": sizes.collect::<Vec<Value>>(),
        "largest_files": largest_files.collect::<Vec<Value>>(),
        "largest_directories": largest_directories.collect::<Vec<Value>>(),
        "deepest": deepest.map(|(path, levels)| with_path(path, json!({"levels": levels}))),
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
        "first": first.map(|path| with_path(path, json!({}))).collect::<Vec<Value>>(),
    })
}
