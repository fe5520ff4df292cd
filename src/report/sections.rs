//! The summary of the page, and its sections without charts.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use clfs_format::FileType;

use super::escape::{IsolatedText, Moment, Text, TreePath};
use super::table::Table;
use super::timeline::{RUNS, Run, Timeline};
use super::{ReportError, Subject};
use crate::entry::EntryId;
use crate::problem::Reason;
use crate::progress::extremes::{Extremes, RankedFile};
use crate::progress::{Requests, Snapshot};
use crate::state::{Counter, compression_name};
use crate::survey::SizeHistogram;
use crate::text::Escaped;
use crate::text::human::{count, counted, rate, size, size_class, span, type_names};

/// Maximum rows in the table of failed entries: a page with more is slow to open.
const ROWS: u64 = 10_000;
/// Failed entries that are read at a time.
const PAGE: u32 = 1024;

/// Writes the summary: status, failures, source, container and totals.
pub(super) fn summary(subject: &Subject, out: &mut dyn Write) -> io::Result<()> {
    let settings = &subject.view.settings;
    let counts = &subject.counts;
    let mut row =
        |name: &str, html: String| writeln!(out, "<div><dt>{name}</dt><dd>{html}</dd></div>");
    row("Status", status(subject))?;
    if counts.subtrees.any() {
        let subtrees = Text(counts.subtrees);
        row(
            "Incomplete",
            format!("<strong id=\"subtrees\">{subtrees}</strong>"),
        )?;
    }
    let link = match counts.failed {
        0 => "",
        _ => " (<a href=\"#failed\">list</a>)",
    };
    let failed = count(counts.failed);
    row(
        "Failed entries",
        format!("<span id=\"failed-count\">{failed}</span>{link}"),
    )?;
    if counts.changed > 0 {
        let changed = counted(counts.changed, "file", "files");
        row(
            "Changed",
            format!(
                "<span id=\"changed\">{changed}</span> changed while being read, and may mix old and new content"
            ),
        )?;
    }
    if !subject.lost.is_empty() {
        let lost = subject.lost.iter().map(|lost| {
            format!(
                "{}: {} (first: {})",
                counted(lost.entries, "entry", "entries"),
                Text(lost.loss),
                TreePath(&lost.first)
            )
        });
        row("Not stored", lost.collect::<Vec<_>>().join("<br/>"))?;
    }
    let source = Escaped(settings.source.as_os_str().as_bytes());
    row("Source", IsolatedText(source).to_string())?;
    row("Container", IsolatedText(&settings.container).to_string())?;
    row("Entries", entries(subject))?;
    let total = |counter| counts.totals.get(counter);
    row(
        "Bytes",
        format!(
            "{} of {} read, {} uploaded in {}",
            size(total(Counter::BytesRead)),
            size(total(Counter::FoundBytes)),
            size(total(Counter::BytesPut)),
            counted(total(Counter::Objects), "object", "objects")
        ),
    )?;
    if let (Some(first), Some(last)) = (subject.timeline.runs.front(), subject.timeline.runs.back())
    {
        let time = time(&subject.timeline);
        let (first, last) = (Moment(first.at), Moment(last.until));
        row("Time", format!("{time}<br/>{first} to {last}"))?;
        row("Average", average(&subject.timeline))?;
        row("Requests", requests(&subject.timeline))?;
    }
    let links = match settings.preserve_hardlinks {
        true => "hard links preserved",
        false => "a file for each name of a hard link",
    };
    let compression = compression_name(settings.compression);
    row("Settings", format!("compression {compression}; {links}"))?;
    let folder = Escaped(subject.folder.as_os_str().as_bytes());
    row("State folder", IsolatedText(folder).to_string())?;
    let (at, version) = (Moment(subject.at), env!("CARGO_PKG_VERSION"));
    row(
        "This report",
        format!("made at {at} by clfsload {version}; all times are UTC"),
    )
}

/// Returns the status as HTML: running, or how the transfer ended.
fn status(subject: &Subject) -> String {
    let view = &subject.view;
    if view.is_running {
        let activity = subject.latest.snapshot.as_ref().map(activity);
        let activity = activity.map_or(String::new(), |activity| format!(": {}", Text(activity)));
        return format!("<strong>running</strong>{activity}");
    }
    let status = match view.is_finished {
        true if subject.counts.subtrees.any() => {
            "<strong>finished, but incomplete</strong>: the container can be attached, but directories are \
             missing"
        }
        true => "<strong>finished</strong>: the container can be attached",
        false => {
            "<strong>not finished, and not running</strong>: resume it with the same command without --new"
        }
    };
    match subject.timeline.runs.back() {
        Some(run) => format!("{status} (last run: {})", ended(run, false)),
        None => status.to_owned(),
    }
}

fn activity(snapshot: &Snapshot) -> String {
    let elapsed = span(Duration::from_millis(snapshot.elapsed_ms));
    let mut text = format!("{} for {elapsed}", snapshot.phase);
    if let Some(seconds) = snapshot.eta_seconds {
        text += &format!(", about {} left", span(Duration::from_secs(seconds)));
    }
    text
}

fn entries(subject: &Subject) -> String {
    let counts = &subject.counts;
    let totals = &counts.totals;
    let types = FileType::ALL.into_iter();
    let types = types.map(|file_type| (totals.get(Counter::Found(file_type)), file_type));
    let types = types
        .filter(|(number, _)| *number > 0)
        .map(|(number, file_type)| {
            let names = type_names(file_type);
            counted(number, names.one, names.several)
        });
    let mut text = format!(
        "<span id=\"found\">{}</span> found, <span id=\"done\">{}</span> done<br/>{}",
        count(counts.entries),
        count(counts.done),
        types.collect::<Vec<_>>().join(", ")
    );
    let links = totals.get(Counter::FoundLinks);
    if links > 0 {
        text += &format!("; {} of them further names of a file", count(links));
    }
    let unlike = totals.get(Counter::UnlikeNames);
    if unlike > 0 {
        text += &format!(
            "; {} with the inode number of another file, but other attributes: loaded as separate files",
            counted(unlike, "name", "names")
        );
    }
    text
}

fn time(timeline: &Timeline) -> String {
    let runs = timeline.runs.len() as u64 + timeline.earlier;
    let working = span(Duration::from_millis(timeline.length()));
    let earlier = match timeline.earlier {
        0 => String::new(),
        earlier => format!(" (without the time of the first {})", count(earlier)),
    };
    format!(
        "{working} of work in {}{earlier}",
        counted(runs, "run", "runs")
    )
}

fn sum(timeline: &Timeline, amount: impl Fn(&Run) -> u64) -> u64 {
    let amounts = timeline.runs.iter().map(amount);
    amounts.fold(0, u64::saturating_add)
}

fn average(timeline: &Timeline) -> String {
    let seconds = (timeline.length() as f64 / 1000.0).max(0.001);
    format!(
        "{} entries/s, {}/s uploaded",
        rate(sum(timeline, |run| run.done) as f64 / seconds),
        size((sum(timeline, |run| run.bytes_put) as f64 / seconds) as u64)
    )
}

fn requests(timeline: &Timeline) -> String {
    let all = |kind: fn(&Requests) -> u64| sum(timeline, |run| kind(&run.requests));
    let (failed, throttled) = (all(|all| all.failed), all(|all| all.throttled));
    format!(
        "{} Put Blob, {} Get Blob, {} List Blobs, {} Delete Blob; {}",
        count(all(|all| all.puts)),
        count(all(|all| all.gets)),
        count(all(|all| all.lists)),
        count(all(|all| all.deletes)),
        match (failed, throttled) {
            (0, _) => "none failed".to_owned(),
            (_, 0) => format!("{} failed and were retried", count(failed)),
            _ => format!(
                "{} failed and were retried, {} of them throttled",
                count(failed),
                count(throttled)
            ),
        }
    )
}

/// Returns a share in percent.
fn percent(part: u64, of: u64) -> f64 {
    part as f64 * 100.0 / of.max(1) as f64
}

/// Writes the number of files by size.
pub(super) fn sizes(sizes: &SizeHistogram, out: &mut dyn Write) -> io::Result<()> {
    let all = sizes.classes().fold((0u64, 0u64), |(files, bytes), class| {
        (
            files.saturating_add(class.files),
            bytes.saturating_add(class.bytes),
        )
    });
    let known = counted(all.0, "known regular file", "known regular files");
    let bytes = size(all.1);
    writeln!(
        out,
        "<p>{known} with {bytes}. A file with several names counts once if hard links are preserved.</p>"
    )?;
    if all.0 == 0 {
        return Ok(());
    }
    let columns = [
        ("Size", "word"),
        ("Files", "n"),
        ("Share of files", "bar"),
        ("Bytes", "n"),
        ("Share of bytes", "bar"),
    ];
    let mut table = Table::begin(out, "size-classes", "Files by size", &columns)?;
    let bar = |percent: f64| {
        format!("<meter min=\"0\" max=\"100\" value=\"{percent:.1}\"></meter> {percent:.1} %")
    };
    let mut below = None;
    let mut left = all.0;
    for class in sizes.classes() {
        table.row(&[
            size_class(class.up_to, below),
            count(class.files),
            bar(percent(class.files, all.0)),
            size(class.bytes),
            bar(percent(class.bytes, all.1)),
        ])?;
        below = class.up_to;
        left = left.saturating_sub(class.files);
        if left == 0 {
            break;
        }
    }
    let none = String::new;
    table.row(&["all".to_owned(), count(all.0), none(), size(all.1), none()])?;
    table.end()
}

/// Writes the failed entries: by reason, and the first [`ROWS`].
pub(super) fn failed(subject: &Subject, out: &mut dyn Write) -> Result<(), ReportError> {
    let failed = subject.counts.failed;
    if failed == 0 {
        return Ok(writeln!(out, "<p>No entry failed.</p>")?);
    }
    if subject.counts.subtrees.any() {
        let subtrees = Text(subject.counts.subtrees);
        writeln!(out, "<p><strong>Incomplete: {subtrees}.</strong></p>")?;
    }
    let columns = [("Reason", "word"), ("Entries", "n"), ("Meaning", "")];
    let mut table = Table::begin(out, "reasons", "Failed entries by reason", &columns)?;
    for (code, number) in &subject.reasons {
        let meaning = Reason::from_code(code).map(|reason| reason.to_string());
        let meaning = Text(meaning.unwrap_or_default()).to_string();
        table.row(&[Text(code).to_string(), count(*number), meaning])?;
    }
    table.end()?;
    let all = subject.folder.join("problems.txt");
    let all = IsolatedText(Escaped(all.as_os_str().as_bytes()));
    let shown = match failed > ROWS {
        true => format!("The first {} of {}", count(ROWS), count(failed)),
        false => counted(failed, "failed entry", "failed entries"),
    };
    writeln!(
        out,
        "<p>{shown}. <code>{all}</code> lists all, as of the end of the last run. A file with several names \
         has a row for each. In paths, control characters, characters that change the direction of writing \
         and bytes that are not UTF-8 are written as <code>\\xNN</code>, and a backslash as two.</p>\n\
         <p id=\"search\" hidden=\"hidden\"><label for=\"words\">Show rows with</label> <input id=\"words\" \
         type=\"search\" autocomplete=\"off\" spellcheck=\"false\"/> <span id=\"matches\" \
         role=\"status\"></span></p>"
    )?;
    let columns = [
        ("Path below the source", "path"),
        ("Reason", "word"),
        ("Message", "said"),
        ("Runs", "n"),
    ];
    let caption = "Failed entries, and in how many runs each failed";
    let mut table = Table::begin(out, "problems", caption, &columns)?;
    let mut left = ROWS;
    let mut after = EntryId::new(0);
    let reader = &subject.view.reader;
    while left > 0 {
        let problems = reader.problems(after, PAGE)?;
        let Some(last) = problems.last() else { break };
        after = last.id;
        for stored in &problems {
            let subtree = stored.subtree.map(|subtree| format!(" ({subtree})"));
            let message = format!("{}{}", stored.problem, subtree.unwrap_or_default());
            for path in reader.paths(stored.id)? {
                if left > 0 {
                    left -= 1;
                    table.row(&[
                        TreePath(&path).to_string(),
                        Text(stored.problem.reason.code()).to_string(),
                        Text(&message).to_string(),
                        count(stored.attempt.into()),
                    ])?;
                }
            }
        }
    }
    Ok(table.end()?)
}

/// Writes the largest and the slowest files.
pub(super) fn extremes(extremes: &Extremes, out: &mut dyn Write) -> io::Result<()> {
    if extremes.largest.is_empty() && extremes.slowest.is_empty() {
        return writeln!(out, "<p>No file is known.</p>");
    }
    writeln!(
        out,
        "<p>Of the loaded files. The time is from the first read of the file to the last response of the \
         container, including the time in queues.</p>"
    )?;
    files("largest", "Largest files", &extremes.largest, out)?;
    files("slowest", "Slowest files", &extremes.slowest, out)
}

fn files(id: &str, caption: &str, files: &[RankedFile], out: &mut dyn Write) -> io::Result<()> {
    let columns = [
        ("Path below the source", "path"),
        ("Size", "n"),
        ("Time", "n"),
    ];
    let mut table = Table::begin(out, id, caption, &columns)?;
    for file in files {
        table.row(&[
            TreePath(&file.path()).to_string(),
            size(file.bytes),
            span(Duration::from_millis(file.milliseconds)),
        ])?;
    }
    table.end()
}

/// Writes the runs with their options.
pub(super) fn runs(subject: &Subject, out: &mut dyn Write) -> io::Result<()> {
    let timeline = &subject.timeline;
    let Some(last) = timeline.runs.len().checked_sub(1) else {
        return writeln!(out, "<p>The history contains no run.</p>");
    };
    if timeline.earlier > 0 {
        let earlier = count(timeline.earlier);
        writeln!(out, "<p>The last {RUNS} runs, after {earlier} others.</p>")?;
    }
    let columns = [
        ("Run", "n"),
        ("Start (UTC)", ""),
        ("Duration", "n"),
        ("End", "words"),
        ("Entries done", "n"),
        ("Uploaded", "n"),
        ("Requests", "word"),
        ("Version", ""),
        ("Options", "word"),
    ];
    let mut table = Table::begin(out, "run-list", "Runs with their options", &columns)?;
    for (at, run) in timeline.runs.iter().enumerate() {
        let (version, options) = match &run.started_with {
            Some((version, options)) => (version.as_str(), options_text(options)),
            None => ("unknown", "unknown".to_owned()),
        };
        let mut requests = count(run.requests.all());
        for (number, what) in [
            (run.requests.failed, "failed"),
            (run.requests.throttled, "throttled"),
        ] {
            if number > 0 {
                requests += &format!("<br/>{} {what}", count(number));
            }
        }
        table.row(&[
            (timeline.earlier + at as u64 + 1).to_string(),
            Moment(run.at).to_string(),
            span(Duration::from_millis(run.length())),
            ended(run, subject.view.is_running && at == last),
            count(run.done),
            size(run.bytes_put),
            requests,
            Text(version).to_string(),
            options,
        ])?;
    }
    table.end()
}

/// Returns how a run ended, as HTML.
fn ended(run: &Run, is_running: bool) -> String {
    match &run.end {
        Some(end) => format!("{} {}", IsolatedText(end), Moment(run.until)),
        None if is_running => "running".to_owned(),
        None => format!(
            "without a record (killed, or the machine stopped), last seen {}",
            Moment(run.until)
        ),
    }
}

/// Returns the options of a run, as HTML.
fn options_text(options: &[(String, String)]) -> String {
    /// No run of this program has more.
    const SHOWN: usize = 100;
    let shown = options.iter().take(SHOWN).map(|(name, value)| {
        let space = if value.is_empty() { "" } else { " " };
        format!("<code>{}{space}{}</code>", Text(name), Text(value))
    });
    let mut given: Vec<String> = shown.collect();
    if options.len() > SHOWN {
        let more = (options.len() - SHOWN) as u64;
        given.push(counted(more, "further option", "further options"));
    }
    given.join("<br/>")
}
