//! The data of the charts, which the script of the page draws, and tables of the same figures.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::Subject;
use super::escape::{Moment, Text};
use super::table::Table;
use super::timeline::{INTERVALS, Interval, Timeline};
use crate::events::Phase;
use crate::progress::Bottleneck;
use crate::text::human::{count, rate, size, span};

fn sum(timeline: &Timeline, figure: impl Fn(&Interval) -> u64) -> u64 {
    let figures = timeline.intervals().map(figure);
    figures.fold(0, u64::saturating_add)
}

/// Returns each bottleneck with its time in milliseconds, the longest first.
fn limit_shares(timeline: &Timeline) -> Vec<(Option<Bottleneck>, u64)> {
    let time = |limiting| sum(timeline, |interval| interval.limited_by(limiting));
    let all = Bottleneck::ALL.into_iter().map(Some).chain([None]);
    let mut shares: Vec<_> = all.map(|limiting| (limiting, time(limiting))).collect();
    shares.retain(|(_, time)| *time > 0);
    shares.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    shares
}

/// Returns the data of the charts, for an element `script`: a list for each figure, with a value for each
/// interval.
pub(super) fn data(timeline: &Timeline) -> String {
    let column = |value: &dyn Fn(&Interval) -> Value| -> Vec<Value> {
        timeline.intervals().map(value).collect()
    };
    let rounded = |value: f64| json!((value * 100.0).round() / 100.0);
    let seconds = |milliseconds: u64| milliseconds as f64 / 1000.0;
    let ends = timeline.placed().flat_map(|(before, run)| {
        let ends = run.intervals.iter().map(|interval| interval.to);
        ends.map(move |end| seconds(before.saturating_add(end)))
    });
    let starts = timeline.placed().skip(1).map(|(before, _)| seconds(before));
    script_json(&json!({
        // When each interval ends, in seconds of working time.
        "time": ends.collect::<Vec<f64>>(),
        // When each run but the first starts.
        "runs": starts.collect::<Vec<f64>>(),
        // Per second.
        "entries": column(&|interval| rounded(interval.rate(interval.entries))),
        "bytes": column(&|interval| rounded(interval.rate(interval.bytes_put))),
        "failed": column(&|interval| rounded(interval.rate(interval.failed))),
        "throttled": column(&|interval| rounded(interval.rate(interval.throttled))),
        "limit": column(&|interval| rounded(interval.concurrency())),
        "in_flight": column(&|interval| rounded(interval.in_flight())),
        "bottleneck": column(&|interval| json!(interval.limiting().map_or("none", Bottleneck::code))),
        "phase": column(&|interval| json!(interval.phase().code())),
    }))
}

/// Returns JSON in which `<`, `>` and `&` are escaped, so that no text can end the element, whether the page is
/// read as HTML or as XML.
fn script_json(data: &Value) -> String {
    let mut escaped = String::new();
    for character in data.to_string().chars() {
        match character {
            '<'
            | '>'
            | '&'
            | '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{fffe}'
            | '\u{ffff}' => escaped += &format!("\\u{:04x}", u32::from(character)),
            character => escaped.push(character),
        }
    }
    escaped
}

pub(super) fn write(subject: &Subject, out: &mut dyn Write) -> io::Result<()> {
    let timeline = &subject.timeline;
    if let Some(error) = &timeline.error {
        writeln!(out, "<p>The history cannot be read: {}.</p>", Text(error))?;
    }
    if timeline.length() == 0 {
        return writeln!(out, "<p>There are no figures over time.</p>");
    }
    let runs = match timeline.runs.len() {
        1 => "",
        _ => {
            ": the runs one after the other, without the time between them. A dashed line is the start of \
             the next run"
        }
    };
    writeln!(
        out,
        "<p>The horizontal axis is working time{runs}. Values are averages over each step of the line.</p>\n\
         <noscript><p>The charts need JavaScript. The tables contain the same figures.</p></noscript>\n\
         <div class=\"charts\" id=\"charts\"></div>\n<div class=\"charts\">"
    )?;
    shares(timeline, out)?;
    writeln!(out, "</div>")?;
    numbers(timeline, out)
}

fn shares(timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
    let length = timeline.length().max(1) as f64;
    let mut rows = |caption, what, rows: Vec<(String, u64)>| {
        let columns = [(what, ""), ("Time", "n"), ("Share", "n")];
        let mut table = Table::begin(out, "", caption, &columns)?;
        for (name, time) in rows {
            table.row(&[
                Text(name).to_string(),
                span(Duration::from_millis(time)),
                format!("{:.0} %", time as f64 * 100.0 / length),
            ])?;
        }
        table.end()
    };
    let limits = limit_shares(timeline).into_iter();
    let limits = limits.map(|(limiting, time)| {
        let name = match limiting {
            None => "none stands out".to_owned(),
            Some(Bottleneck::Network) => "network: objects wait for requests to end".to_owned(),
            Some(Bottleneck::Source) => "source: it responds slowly".to_owned(),
            Some(Bottleneck::Cpu) => "CPU: all processors are busy".to_owned(),
            Some(Bottleneck::Bandwidth) => "bandwidth: --bandwidth-limit is reached".to_owned(),
            Some(Bottleneck::State) => "state: its database waits for its disk".to_owned(),
            Some(other) => format!("{}: {other}", other.code()),
        };
        (name, time)
    });
    rows("Bottlenecks by time", "Bottleneck", limits.collect())?;
    let phases = Phase::ALL.into_iter();
    let phases = phases.map(|phase| {
        let time = sum(timeline, |interval| interval.in_phase(phase));
        (phase.to_string(), time)
    });
    rows("Phases by time", "Phase", phases.collect())
}

fn numbers(timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<details>\n<summary>Figures of the charts</summary>")?;
    let caption = format!("At most {INTERVALS} rows, each for the time since the row above");
    let columns = [
        ("Until (UTC)", ""),
        ("Run", "n"),
        ("Phase", "word"),
        ("Entries/s", "n"),
        ("Uploaded", "n"),
        ("Request limit", "n"),
        ("In flight", "n"),
        ("Failed", "n"),
        ("Throttled", "n"),
        ("In backoff", "n"),
        ("Bottleneck", "word"),
    ];
    let mut table = Table::begin(out, "figures", &caption, &columns)?;
    for (number, run) in (timeline.earlier + 1..).zip(&timeline.runs) {
        for interval in &run.intervals {
            let limiting = interval.limiting();
            table.row(&[
                Moment(interval.at).to_string(),
                number.to_string(),
                interval.phase().to_string(),
                rate(interval.rate(interval.entries)),
                format!("{}/s", size(interval.rate(interval.bytes_put) as u64)),
                format!("{:.0}", interval.concurrency()),
                format!("{:.0}", interval.in_flight()),
                count(interval.failed),
                count(interval.throttled),
                count(interval.retrying),
                limiting.map_or("–".to_owned(), |limiting| limiting.to_string()),
            ])?;
        }
    }
    table.end()?;
    writeln!(out, "</details>")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_the_script_element() {
        let data = json!({"a": "</script><!--<![CDATA[ ]]> &amp; \u{2028}\u{9f}\u{ffff}\u{0}\"\\"});
        let escaped = script_json(&data);
        assert!(!escaped.contains(['<', '>', '&', '\u{2028}', '\u{9f}', '\u{ffff}', '\0']));
        assert_eq!(serde_json::from_str::<Value>(&escaped).unwrap(), data);
    }
}
