//! The part of the page about entries that failed.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use super::escape::{Foreign, Text, TreePath};
use super::{ReportError, Subject};
use crate::amount::{count, counted};
use crate::entry::EntryId;
use crate::monitor::Escaped;
use crate::problem::Reason;
use crate::state::{Reader, StateError, StoredProblem};

/// Rows of the table: a page with more is slow to open.
pub(super) const ROWS: u64 = 10_000;
/// Problems that are read at a time.
const PAGE: u32 = 1024;

pub(super) fn write(subject: &Subject, out: &mut dyn Write) -> Result<(), ReportError> {
    writeln!(
        out,
        "<section aria-labelledby=\"failed\">\n<h2 id=\"failed\">Failed entries</h2>"
    )?;
    let failed = subject.standing.failed;
    if failed == 0 {
        writeln!(out, "<p>No entry failed.</p>\n</section>")?;
        return Ok(());
    }
    if subject.standing.subtrees.any() {
        writeln!(
            out,
            "<p id=\"subtrees\"><strong>Incomplete: {}.</strong></p>",
            Text(subject.standing.subtrees)
        )?;
    }
    reasons(subject, out)?;
    list(subject, failed, out)?;
    Ok(writeln!(out, "</section>")?)
}

fn reasons(subject: &Subject, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        r#"<div class="scroll"><table id="reasons">
<caption>Failed entries by reason</caption>
<thead><tr><th scope="col">Reason</th><th scope="col" class="n">Entries</th><th scope="col">In words</th></tr></thead>
<tbody>"#
    )?;
    for (code, number) in &subject.reasons {
        let words = Reason::from_code(code).map(|reason| reason.to_string());
        writeln!(
            out,
            r#"<tr><th scope="row" class="word">{}</th><td class="n">{}</td><td>{}</td></tr>"#,
            Text(code),
            count(*number),
            Text(words.unwrap_or_default())
        )?;
    }
    writeln!(out, "</tbody>\n</table></div>")
}

fn list(subject: &Subject, failed: u64, out: &mut dyn Write) -> Result<(), ReportError> {
    let all = subject.folder.join("problems.txt");
    let all = Foreign(Escaped(all.as_os_str().as_bytes()));
    let shown = match failed > ROWS {
        true => format!("The first {} of {}", count(ROWS), count(failed)),
        false => counted(failed, "entry that failed", "entries that failed"),
    };
    writeln!(
        out,
        "<p>{shown}. All are in <code>{all}</code>, as of the end of the last run. A file with several \
         names has a row for each of them. In paths, control characters, those that turn the writing \
         around and bytes that are not UTF-8 are written as <code>\\xNN</code>, and a backslash twice.</p>"
    )?;
    writeln!(
        out,
        r#"<p id="search" hidden="hidden"><label for="words">Show rows with</label> <input id="words" type="search" autocomplete="off" spellcheck="false"/> <span id="matches" role="status"></span></p>
<div class="scroll" tabindex="0" role="region" aria-label="Failed entries"><table id="problems" class="long">
<caption>Failed entries, and in how many runs each failed</caption>
<thead><tr><th scope="col">Path below the source</th><th scope="col">Reason</th><th scope="col">In words</th><th scope="col" class="n">Runs</th></tr></thead>
<tbody>"#
    )?;
    let mut left = ROWS;
    let mut after = EntryId::new(0);
    let reader = &subject.look.reader;
    while left > 0 {
        let problems = reader.problems(after, PAGE)?;
        let Some(last) = problems.last() else { break };
        after = last.id;
        for problem in &problems {
            for path in paths(reader, problem.id)? {
                if left > 0 {
                    left -= 1;
                    row(&path, problem, out)?;
                }
            }
        }
    }
    Ok(writeln!(out, "</tbody>\n</table></div>")?)
}

/// All names of an entry.
fn paths(reader: &Reader, id: EntryId) -> Result<Vec<Vec<u8>>, StateError> {
    let mut paths = vec![reader.path(id)?.join(&b'/')];
    for (parent, name) in reader.link_places(id)? {
        let mut path = reader.path(parent)?;
        path.push(name);
        paths.push(path.join(&b'/'));
    }
    Ok(paths)
}

fn row(path: &[u8], stored: &StoredProblem, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        r#"<tr><th scope="row" class="path">{}</th><td class="word">{}</td><td class="said">{}</td><td class="n">{}</td></tr>"#,
        TreePath(path),
        Text(stored.problem.reason.code()),
        Text(match stored.subtree {
            None => stored.problem.to_string(),
            Some(subtree) => format!("{} ({subtree})", stored.problem),
        }),
        count(stored.attempt.into())
    )
}
