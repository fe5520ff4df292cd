//! The summary at the end of a run: totals, failed entries, requests, and what to do next.

use clfs_format::FileType;

use super::Ending;
use crate::load::{End, Summary};
use crate::progress::{Progress, Requests};
use crate::state::{Counter, State, StateError};
use crate::text::human::{count, counted, rate, size, span, type_names};
use crate::text::{Escaped, below_source};

/// The maximum number of failed entries that are shown. `problems.txt` lists all.
const SHOWN_PROBLEMS: u32 = 10;

/// Returns the lines of the summary.
pub(crate) fn lines(ending: &Ending<'_>) -> Vec<String> {
    let Ending { summary, state, .. } = ending;
    let mut lines = vec![entries(summary)];
    lines.extend(unlike_names(summary.totals.get(Counter::UnlikeNames)));
    lines.extend([bytes(summary), run(summary)]);
    lines.extend(requests(ending));
    lines.extend(changed(summary, state));
    lines.extend(problems(summary, state));
    lines.extend(summary.lost.iter().map(|lost| format!("warning: {lost}")));
    lines.push(end_line(summary, state));
    lines.extend(ending.next.iter().cloned());
    lines
}

fn entries(summary: &Summary) -> String {
    let totals = &summary.totals;
    let types = FileType::ALL.map(|file_type| (file_type, totals.get(Counter::Found(file_type))));
    let types = by_type(types);
    let mut entries = counted(totals.entries(), "entry", "entries");
    entries += &format!(": {}", types.join(", "));
    let links = totals.get(Counter::FoundLinks);
    if links > 0 {
        entries += &format!(" ({} of them additional hard links)", count(links));
    }
    entries
}

/// Returns the number of entries of each type, if it is not 0.
pub(crate) fn by_type(types: impl IntoIterator<Item = (FileType, u64)>) -> Vec<String> {
    let types = types.into_iter().filter(|(_, number)| *number > 0);
    let types = types.map(|(file_type, number)| {
        let names = type_names(file_type);
        counted(number, names.one, names.several)
    });
    types.collect()
}

/// Returns the number of failed entries by reason.
pub(crate) fn by_reason<'a>(reasons: impl Iterator<Item = (&'a str, u64)>) -> Vec<String> {
    let rows = reasons.map(|(reason, number)| format!("  {:>12}  {reason}", count(number)));
    let mut lines: Vec<String> = rows.collect();
    if !lines.is_empty() {
        lines.insert(0, "failed entries, by reason:".to_owned());
    }
    lines
}

/// Returns the number of names that share an inode number but were loaded as separate files, unless it is 0.
pub(crate) fn unlike_names(number: u64) -> Option<String> {
    (number > 0).then(|| {
        format!(
            "{} with the inode number of another file, but other attributes: loaded as separate files",
            counted(number, "name", "names")
        )
    })
}

fn bytes(summary: &Summary) -> String {
    let totals = &summary.totals;
    format!(
        "{} read, {} uploaded in {}",
        size(totals.get(Counter::BytesRead)),
        size(totals.get(Counter::BytesPut)),
        counted(totals.get(Counter::Objects), "object", "objects"),
    )
}

fn run(summary: &Summary) -> String {
    let seconds = summary.elapsed.as_secs_f64().max(0.001);
    let put = Progress::get(&summary.progress.bytes_put) as f64 / seconds;
    let done = Progress::get(&summary.progress.done) as f64 / seconds;
    format!(
        "this run: {}, {} entries/s, {}/s uploaded",
        span(summary.elapsed),
        rate(done),
        size(put as u64)
    )
}

/// Returns the requests of the run, because each is charged.
fn requests(ending: &Ending<'_>) -> Option<String> {
    let requests = ending.last?.requests;
    if requests.all() == 0 {
        return None;
    }
    let Requests {
        puts,
        gets,
        lists,
        deletes,
        failed,
        throttled,
    } = requests;
    let mut kinds = Vec::new();
    for (number, one, several) in [
        (puts, "upload", "uploads"),
        (gets, "read", "reads"),
        (lists, "listing", "listings"),
        (deletes, "deletion", "deletions"),
    ] {
        if number > 0 {
            kinds.push(counted(number, one, several));
        }
    }
    let mut line = format!("requests of this run: {}", kinds.join(", "));
    if failed > 0 {
        line += &format!("; {} failed and were retried", count(failed));
    }
    if throttled > 0 {
        line += &format!(", {} of them throttled by the service", count(throttled));
    }
    Some(line)
}

/// Files that are in the container, but may mix old and new content.
fn changed(summary: &Summary, state: &State) -> Option<String> {
    (summary.changed > 0).then(|| {
        format!(
            "warning: {} changed while being read; stored with the size and times from before the read, \
             and may mix old and new content (listed in {})",
            counted(summary.changed, "file", "files"),
            state.folder().join("changed.txt").display()
        )
    })
}

/// Returns the missing subtrees, then the number of failed entries by reason, then the first ones with their paths.
fn problems(summary: &Summary, state: &State) -> Vec<String> {
    let shown = || -> Result<Vec<String>, StateError> {
        let reader = state.reader()?;
        let mut lines = Vec::new();
        for stored in reader.first_problems(SHOWN_PROBLEMS)? {
            let path = reader.path(stored.id)?;
            let mut line = format!("  {}: {}", Escaped(below_source(&path)), stored.problem);
            if let Some(subtree) = stored.subtree {
                line += &format!(" ({subtree})");
            }
            lines.push(line);
        }
        Ok(lines)
    };
    if summary.problems == 0 {
        return Vec::new();
    }
    let first = shown().unwrap_or_default();
    let mut lines = Vec::new();
    if summary.subtrees.any() {
        lines.push(format!("incomplete: {}", summary.subtrees));
    }
    let reasons = || state.reader()?.problem_reasons();
    if summary.problems > u64::from(SHOWN_PROBLEMS) {
        let reasons = reasons().unwrap_or_default();
        let reasons = reasons.iter().map(|(reason, number)| (&**reason, *number));
        lines.extend(by_reason(reasons));
    }
    lines.push(match summary.problems > first.len() as u64 {
        true => format!(
            "failed entries, the first {} of {}:",
            first.len(),
            count(summary.problems)
        ),
        false => "failed entries:".to_owned(),
    });
    lines.extend(first);
    lines
}

fn end_line(summary: &Summary, state: &State) -> String {
    let problems = counted(summary.problems, "entry", "entries");
    let list = state.folder().join("problems.txt");
    let list = list.display();
    match summary.end {
        End::Finished => "done: the container is complete and can be attached".to_owned(),
        End::WasFinished => {
            "done: this transfer was already finished; there was nothing to do".to_owned()
        }
        End::FinishedWithout if summary.subtrees.any() => format!(
            "done, but incomplete: {}; {problems} failed in total (listed in {list})",
            summary.subtrees
        ),
        End::FinishedWithout => format!(
            "done: the container is complete except for {problems} that failed (listed in {list})"
        ),
        End::Problems => format!(
            "paused: {problems} failed (listed in {list}). Fix them, then resume with the same command without --new, \
             or add --skip-failed to finish without them"
        ),
        End::TooManyProblems => format!(
            "stopped: {problems} failed (listed in {list}), and --max-errors was reached. Fix them, then resume with the \
             same command without --new"
        ),
        End::Stopped => "stopped: resume with the same command without --new".to_owned(),
    }
}
