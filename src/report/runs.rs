//! The part of the page about runs: when, what they were asked for, what they did, how they ended.

use std::io::{self, Write};
use std::time::Duration;

use super::Subject;
use super::escape::{Foreign, Moment, Text};
use super::timeline::{RUNS, Run};
use crate::amount::{count, counted, size, span};

pub(super) fn write(subject: &Subject, out: &mut dyn Write) -> io::Result<()> {
    let timeline = &subject.timeline;
    writeln!(
        out,
        "<section aria-labelledby=\"runs\">\n<h2 id=\"runs\">Runs</h2>"
    )?;
    if timeline.runs.is_empty() {
        writeln!(out, "<p>The history tells of none.</p>\n</section>")?;
        return Ok(());
    }
    if timeline.earlier > 0 {
        writeln!(
            out,
            "<p>The last {RUNS} runs. {} came before them.</p>",
            count(timeline.earlier)
        )?;
    }
    writeln!(
        out,
        r#"<div class="scroll" tabindex="0" role="region" aria-label="Runs"><table id="run-list">
<caption>Runs, with the options of each</caption>
<thead><tr><th scope="col" class="n">Run</th><th scope="col">Began (UTC)</th><th scope="col" class="n">Worked</th><th scope="col">Ended</th><th scope="col" class="n">Entries done</th><th scope="col" class="n">Uploaded</th><th scope="col">Requests</th><th scope="col">Version</th><th scope="col">Options</th></tr></thead>
<tbody>"#
    )?;
    let last = timeline.runs.len() - 1;
    for (at, run) in timeline.runs.iter().enumerate() {
        let runs_on = subject.look.is_running && at == last;
        let (version, options) = match &run.asked {
            Some((version, options)) => (version.as_str(), told(options)),
            None => ("not known", "not known".to_owned()),
        };
        writeln!(
            out,
            r#"<tr><th scope="row" class="n">{}</th><td>{}</td><td class="n">{}</td><td class="words">{}</td><td class="n">{}</td><td class="n">{}</td><td class="word">{}</td><td>{}</td><td class="word">{options}</td></tr>"#,
            timeline.earlier + at as u64 + 1,
            Moment(run.at),
            span(Duration::from_millis(run.length())),
            ended(run, runs_on),
            count(run.done),
            size(run.bytes_put),
            requests(run),
            Text(version),
        )?;
    }
    writeln!(out, "</tbody>\n</table></div>\n</section>")
}

/// How a run ended, as HTML.
pub(super) fn ended(run: &Run, runs_on: bool) -> String {
    match &run.end {
        Some(end) => format!("{} {}", Foreign(end), Moment(run.until)),
        None if runs_on => "running".to_owned(),
        None => format!(
            "without a word (killed, or the machine went down), last seen {}",
            Moment(run.until)
        ),
    }
}

/// How many requests there were, as HTML.
fn requests(run: &Run) -> String {
    let requests = &run.requests;
    let mut told = count(requests.all());
    if requests.failed > 0 {
        told += &format!("<br/>{} failed", count(requests.failed));
    }
    if requests.throttled > 0 {
        told += &format!("<br/>{} throttled", count(requests.throttled));
    }
    told
}

/// Options as they were given, as HTML.
fn told(options: &[(String, String)]) -> String {
    /// No run of ours has more.
    const SHOWN: usize = 100;
    let mut told: Vec<String> = options
        .iter()
        .take(SHOWN)
        .map(|(name, value)| {
            let space = if value.is_empty() { "" } else { " " };
            format!("<code>{}{space}{}</code>", Text(name), Text(value))
        })
        .collect();
    if let Some(more) = options.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        told.push(counted(more as u64, "further option", "further options"));
    }
    told.join("<br/>")
}
