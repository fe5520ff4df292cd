//! A strip over time: which phase a transfer was in, and what it was limited by.

use std::io::{self, Write};
use std::time::Duration;

use super::chart::{self, TimeAxis};
use super::escape::Text;
use super::timeline::{Run, Stretch, Timeline};
use crate::amount::span;
use crate::monitor::Phase;
use crate::progress::Bottleneck;

const HEIGHT: f64 = 124.0;
const TOP: f64 = 4.0;
const BOTTOM: f64 = 96.0;
/// A strip's place below the top.
const STRIPS: [f64; 2] = [20.0, 66.0];
const THICKNESS: f64 = 26.0;

/// Where the kinds of something are in the style sheet: `l0` to `l7` and `p0` to `p3`.
fn class(letter: char, at: usize) -> String {
    format!("{letter}{at}")
}

fn limiting_class(limiting: Option<Bottleneck>) -> String {
    let at = Bottleneck::ALL
        .iter()
        .position(|known| Some(*known) == limiting);
    class('l', at.unwrap_or(Bottleneck::ALL.len()))
}

fn phase_class(phase: Phase) -> String {
    class('p', phase as usize)
}

/// What a run was limited by, in a word that fits into the strip.
fn short(limiting: Option<Bottleneck>) -> &'static str {
    limiting.map_or("", Bottleneck::code)
}

/// The same in words for the table.
fn long(limiting: Option<Bottleneck>) -> String {
    match limiting {
        None => "nothing stood out".to_owned(),
        Some(Bottleneck::Network) => "network: objects waited for requests to end".to_owned(),
        Some(Bottleneck::Source) => "source: it answered slowly".to_owned(),
        Some(Bottleneck::Cpu) => "CPU: all processors were busy".to_owned(),
        Some(Bottleneck::Bandwidth) => {
            "bandwidth: as much was uploaded as --bandwidth-limit allows".to_owned()
        }
        Some(Bottleneck::State) => "state: its database waited for its disk".to_owned(),
        Some(other) => format!("{}: {other}", other.code()),
    }
}

/// Each limit with the milliseconds that it held, the longest first.
pub(super) fn shares(timeline: &Timeline) -> Vec<(Option<Bottleneck>, u64)> {
    let all = Bottleneck::ALL.into_iter().map(Some).chain([None]);
    let time = |limiting| {
        let times = timeline
            .stretches()
            .map(|stretch| stretch.limited_by(limiting));
        times.fold(0, u64::saturating_add)
    };
    let mut shares: Vec<_> = all.map(|limiting| (limiting, time(limiting))).collect();
    shares.retain(|(_, time)| *time > 0);
    shares.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    shares
}

fn words(timeline: &Timeline) -> String {
    let length = timeline.length().max(1);
    let shares: Vec<String> = shares(timeline)
        .into_iter()
        .map(|(limiting, time)| {
            let name = limiting.map_or("nothing in particular", Bottleneck::code);
            format!("{name} {:.0} %", time as f64 * 100.0 / length as f64)
        })
        .collect();
    format!(
        "Limited by, in parts of the working time: {}.",
        shares.join(", ")
    )
}

/// Both strips.
pub(super) fn write(timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
    let words = words(timeline);
    chart::begin(
        "limits",
        "What limited it, and the phases",
        &words,
        HEIGHT,
        out,
    )?;
    let axis = TimeAxis::new(timeline);
    let phase = |stretch: &Stretch| {
        let phase = stretch.phase();
        (phase_class(phase), phase.word())
    };
    let limiting = |stretch: &Stretch| {
        let limiting = stretch.limiting();
        (limiting_class(limiting), short(limiting))
    };
    type Kind<'a> = &'a dyn Fn(&Stretch) -> (String, &'static str);
    let strips: [(&str, Kind<'_>); 2] = [("phase", &phase), ("limited by", &limiting)];
    for ((name, kind), top) in strips.into_iter().zip(STRIPS) {
        let (x, y) = (chart::LEFT, top - 5.0);
        write!(out, r#"<text x="{x}" y="{y}">{name}</text>"#)?;
        for (before, run) in timeline.placed() {
            boxes(&axis, before, run, top, kind, out)?;
        }
    }
    axis.write(timeline, TOP, BOTTOM, out)?;
    let (left, right) = (chart::LEFT, chart::RIGHT);
    write!(
        out,
        r#"<line class="axis" x1="{left}" x2="{right}" y1="{BOTTOM}" y2="{BOTTOM}"/>"#
    )?;
    chart::end(&words, out)
}

/// A box for each while of the same kind, with its name where there is room.
fn boxes(
    axis: &TimeAxis,
    before: u64,
    run: &Run,
    top: f64,
    kind: &dyn Fn(&Stretch) -> (String, &'static str),
    out: &mut dyn Write,
) -> io::Result<()> {
    for same in run.stretches.chunk_by(|one, next| kind(one) == kind(next)) {
        let (Some(first), Some(last)) = (same.first(), same.last()) else {
            continue;
        };
        let (class, name) = kind(first);
        let x = axis.place(before.saturating_add(first.from));
        let width = axis.place(before.saturating_add(last.to)) - x;
        write!(
            out,
            r#"<rect class="{class}" x="{x:.1}" y="{top}" width="{width:.1}" height="{THICKNESS}"/>"#
        )?;
        if width > name.len() as f64 * 8.4 + 4.0 && !name.is_empty() {
            let (x, y) = (x + width / 2.0, top + THICKNESS - 8.0);
            write!(
                out,
                r#"<text class="inside" x="{x:.1}" y="{y}" text-anchor="middle">{name}</text>"#
            )?;
        }
    }
    Ok(())
}

/// What the colors mean, with the time of each.
pub(super) fn tables(timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
    let limits = shares(timeline)
        .into_iter()
        .map(|(limiting, time)| (limiting_class(limiting), long(limiting), time));
    table(
        "What limited it, by time",
        "Limit",
        limits.collect(),
        timeline,
        out,
    )?;
    let phases = Phase::ALL.into_iter().map(|phase| {
        let times = timeline.stretches().map(|stretch| stretch.in_phase(phase));
        let time = times.fold(0, u64::saturating_add);
        (phase_class(phase), phase.to_string(), time)
    });
    table("Phases, by time", "Phase", phases.collect(), timeline, out)
}

fn table(
    caption: &str,
    what: &str,
    rows: Vec<(String, String, u64)>,
    timeline: &Timeline,
    out: &mut dyn Write,
) -> io::Result<()> {
    let length = timeline.length().max(1) as f64;
    writeln!(
        out,
        r#"<div class="scroll"><table>
<caption>{caption}</caption>
<thead><tr><th scope="col">{what}</th><th scope="col" class="n">Time</th><th scope="col" class="n">Part</th></tr></thead>
<tbody>"#
    )?;
    for (class, name, time) in rows {
        writeln!(
            out,
            r#"<tr><th scope="row"><svg class="swatch" viewBox="0 0 12 12" aria-hidden="true"><rect class="{class}" width="12" height="12"/></svg> {}</th><td class="n">{}</td><td class="n">{:.0} %</td></tr>"#,
            Text(name),
            span(Duration::from_millis(time)),
            time as f64 * 100.0 / length
        )?;
    }
    writeln!(out, "</tbody>\n</table></div>")
}
