//! The first part of the page: what was transferred, how far it is, what it took.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use clfs_format::FileType;

use super::Subject;
use super::escape::{Foreign, Moment, Text, TreePath};
use super::timeline::Timeline;
use crate::amount::{count, counted, rate, size, span, type_names};
use crate::monitor::Escaped;
use crate::progress::{Requests, Snapshot};
use crate::state::{Counter, compression_name};

pub(super) fn write(subject: &Subject, out: &mut dyn Write) -> io::Result<()> {
    let settings = &subject.look.settings;
    writeln!(
        out,
        "<section aria-labelledby=\"summary\">\n<h2 id=\"summary\">Summary</h2>\n<dl>"
    )?;
    let mut tell =
        |name: &str, html: String| writeln!(out, "<div><dt>{name}</dt><dd>{html}</dd></div>");
    tell("Status", standing(subject))?;
    let source = Escaped(settings.source.as_os_str().as_bytes());
    tell("Source", Foreign(source).to_string())?;
    tell("Container", Foreign(&settings.container).to_string())?;
    tell("Entries", entries(subject))?;
    tell("Bytes", bytes(subject))?;
    if !subject.lost.is_empty() {
        let lost = subject.lost.iter().map(|lost| {
            format!(
                "{}: {} (first: {})",
                counted(lost.entries, "entry", "entries"),
                Text(lost.loss),
                TreePath(&lost.first)
            )
        });
        tell("Not stored", lost.collect::<Vec<_>>().join("<br/>"))?;
    }
    if !subject.timeline.runs.is_empty() {
        tell("Time", time(&subject.timeline))?;
        tell("On average", average(&subject.timeline))?;
        tell("Requests", requests(&subject.timeline))?;
    }
    tell("Settings", {
        let links = match settings.preserve_hardlinks {
            true => "hard links preserved",
            false => "a file for each name of a hard link",
        };
        let compression = compression_name(settings.compression);
        format!("compression {compression}; {links}")
    })?;
    let folder = Escaped(subject.folder.as_os_str().as_bytes());
    tell("State folder", Foreign(folder).to_string())?;
    tell(
        "This report",
        format!(
            "made at {} (UTC, as all times here) by clfsload {}",
            Moment(subject.at),
            env!("CARGO_PKG_VERSION")
        ),
    )?;
    writeln!(out, "</dl>\n</section>")
}

/// Whether it runs, or how it ended.
fn standing(subject: &Subject) -> String {
    let look = &subject.look;
    if look.is_running {
        let snapshot = subject.latest.snapshot.as_ref();
        return match snapshot {
            Some(snapshot) => format!("<strong>running</strong>: {}", Text(doing(snapshot))),
            None => "<strong>running</strong>".to_owned(),
        };
    }
    let standing = match look.is_finished {
        true if subject.standing.subtrees.any() => {
            "<strong>finished, but incomplete</strong>: the container can be attached, and lacks whole \
             directories"
        }
        true => "<strong>finished</strong>: the container can be attached",
        false => {
            "<strong>not finished, and not running</strong>: the command without --new goes on"
        }
    };
    match subject.timeline.runs.back() {
        Some(run) => format!(
            "{standing} (the last run: {})",
            super::runs::ended(run, false)
        ),
        None => standing.to_owned(),
    }
}

fn doing(snapshot: &Snapshot) -> String {
    let mut text = format!(
        "{} for {}",
        snapshot.phase,
        span(Duration::from_millis(snapshot.elapsed_ms))
    );
    if let Some(seconds) = snapshot.eta_seconds {
        text += &format!(", about {} left", span(Duration::from_secs(seconds)));
    }
    text
}

fn entries(subject: &Subject) -> String {
    let standing = &subject.standing;
    let totals = &standing.totals;
    let types: Vec<String> = FileType::ALL
        .into_iter()
        .map(|file_type| (totals.get(Counter::Found(file_type)), file_type))
        .filter(|(number, _)| *number > 0)
        .map(|(number, file_type)| {
            let (one, several) = type_names(file_type);
            counted(number, one, several)
        })
        .collect();
    let mut text = format!(
        "<span id=\"found\">{}</span> found, <span id=\"done\">{}</span> done, \
         <span id=\"failed-count\">{}</span> failed<br/>{}",
        count(standing.entries),
        count(standing.done),
        count(standing.failed),
        types.join(", ")
    );
    let links = totals.get(Counter::FoundLinks);
    if links > 0 {
        text += &format!("; {} of them further names of a file", count(links));
    }
    if standing.changed > 0 {
        text += &format!(
            "<br/><span id=\"changed\">{}</span> changed while being read, and may mix old and new content",
            counted(standing.changed, "file", "files")
        );
    }
    let unlike = totals.get(Counter::UnlikeNames);
    if unlike > 0 {
        text += &format!(
            "; {} with the inode number of another file, but other attributes: loaded as files of their own",
            counted(unlike, "name", "names")
        );
    }
    text
}

fn bytes(subject: &Subject) -> String {
    let totals = &subject.standing.totals;
    let get = |counter| totals.get(counter);
    format!(
        "{} of {} read, {} uploaded in {}",
        size(get(Counter::BytesRead)),
        size(get(Counter::FoundBytes)),
        size(get(Counter::BytesPut)),
        counted(get(Counter::Objects), "object", "objects")
    )
}

fn time(timeline: &Timeline) -> String {
    let runs = timeline.runs.len() as u64 + timeline.earlier;
    let mut text = format!(
        "{} of work in {}",
        span(Duration::from_millis(timeline.length())),
        counted(runs, "run", "runs")
    );
    if timeline.earlier > 0 {
        text += &format!(
            " (the work of the first {} left out)",
            count(timeline.earlier)
        );
    }
    if let (Some(first), Some(last)) = (timeline.runs.front(), timeline.runs.back()) {
        text += &format!("<br/>{} to {}", Moment(first.at), Moment(last.until));
    }
    text
}

fn average(timeline: &Timeline) -> String {
    let seconds = (timeline.length() as f64 / 1000.0).max(0.001);
    let sum = |amount: &dyn Fn(&super::timeline::Run) -> u64| {
        let amounts = timeline.runs.iter().map(amount);
        amounts.fold(0, u64::saturating_add) as f64 / seconds
    };
    format!(
        "{} entries/s, {}/s uploaded",
        rate(sum(&|run| run.done)),
        size(sum(&|run| run.bytes_put) as u64)
    )
}

fn requests(timeline: &Timeline) -> String {
    let mut all = Requests::default();
    for run in &timeline.runs {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut all.puts, run.requests.puts);
        add(&mut all.gets, run.requests.gets);
        add(&mut all.lists, run.requests.lists);
        add(&mut all.deletes, run.requests.deletes);
        add(&mut all.failed, run.requests.failed);
        add(&mut all.throttled, run.requests.throttled);
    }
    let mut text = format!(
        "{}, {}, {}, {}; ",
        counted(all.puts, "put", "puts"),
        counted(all.gets, "get", "gets"),
        counted(all.lists, "list", "lists"),
        counted(all.deletes, "delete", "deletes")
    );
    text += &match (all.failed, all.throttled) {
        (0, _) => "none failed".to_owned(),
        (failed, 0) => format!("{} failed and were repeated", count(failed)),
        (failed, throttled) => format!(
            "{} failed and were repeated, {} of them throttled",
            count(failed),
            count(throttled)
        ),
    };
    text
}
