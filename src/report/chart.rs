//! A chart over time: SVG with axes, units, and the same in words.
//!
//! The drawing is narrow, so that its letters are legible when a phone shrinks it, and not too large
//! beside another one on a wide screen. Colors come from the page's style sheet.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::escape::Text;
use super::scale;
use super::timeline::{Stretch, Timeline};

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 220.0;
/// Where the axes cross, and how far they go.
pub(super) const LEFT: f64 = 54.0;
pub(super) const RIGHT: f64 = 430.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 192.0;

/// A line of a chart.
pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    /// Its value over a stretch.
    pub(super) value: &'a dyn Fn(&Stretch) -> f64,
}

/// A chart.
pub(super) struct Chart<'a> {
    /// A word that no other chart of the page has.
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    /// What a value of 1 is.
    pub(super) unit: &'a str,
    /// No ticks closer to one another than this.
    pub(super) least_step: f64,
    /// One or two.
    pub(super) series: &'a [Series<'a>],
    /// What there is to see, in a sentence.
    pub(super) words: &'a str,
}

/// The axis of time: milliseconds to a place.
pub(super) struct TimeAxis {
    length: u64,
}

impl TimeAxis {
    pub(super) fn new(timeline: &Timeline) -> Self {
        TimeAxis {
            length: timeline.length().max(1),
        }
    }

    pub(super) fn place(&self, at: u64) -> f64 {
        let part = at as f64 / self.length as f64;
        LEFT + part.min(1.0) * (RIGHT - LEFT)
    }

    /// Ticks below `bottom`, and where runs begin.
    pub(super) fn write(
        &self,
        timeline: &Timeline,
        top: f64,
        bottom: f64,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        for (at, shown) in scale::time_ticks(self.length) {
            let x = self.place(at);
            let end = bottom + 5.0;
            write!(
                out,
                r#"<line class="axis" x1="{x:.1}" x2="{x:.1}" y1="{bottom}" y2="{end}"/>"#
            )?;
            // Beside the end of the axis there is no room for half of a word.
            let anchor = if x > RIGHT - 18.0 { "end" } else { "middle" };
            let y = bottom + 20.0;
            write!(
                out,
                r#"<text x="{x:.1}" y="{y}" text-anchor="{anchor}">{shown}</text>"#
            )?;
        }
        for (before, _) in timeline.placed().skip(1) {
            let x = self.place(before);
            write!(
                out,
                r#"<line class="resumed" x1="{x:.1}" x2="{x:.1}" y1="{top}" y2="{bottom}"/>"#
            )?;
        }
        Ok(())
    }
}

/// Begins a figure and its drawing.
pub(super) fn begin(
    id: &str,
    title: &str,
    words: &str,
    height: f64,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (title, words) = (Text(title), Text(words));
    writeln!(
        out,
        r#"<figure>
<h3>{title}</h3>
<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{id}-title {id}-words">
<title id="{id}-title">{title}</title>
<desc id="{id}-words">{words}</desc>"#
    )
}

/// Ends both.
pub(super) fn end(words: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "</svg>\n<figcaption>{}</figcaption>\n</figure>",
        Text(words)
    )
}

impl Chart<'_> {
    pub(super) fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        let values = timeline
            .stretches()
            .flat_map(|stretch| self.series.iter().map(|series| (series.value)(stretch)));
        let steps = scale::steps(values.fold(0.0, f64::max), self.least_step);
        let most = steps.last().copied().unwrap_or(1.0);
        let height = |value: f64| BOTTOM - (value / most).clamp(0.0, 1.0) * (BOTTOM - TOP);
        begin(self.id, self.title, self.words, HEIGHT, out)?;
        for step in &steps {
            let y = height(*step);
            let class = if *step > 0.0 { "grid" } else { "axis" };
            write!(
                out,
                r#"<line class="{class}" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1}" y2="{y:.1}"/>"#
            )?;
            let (x, y, shown) = (LEFT - 6.0, y + 4.5, scale::tick(*step, most));
            write!(
                out,
                r#"<text x="{x}" y="{y:.1}" text-anchor="end">{shown}</text>"#
            )?;
        }
        write!(out, r#"<text x="4" y="14">{}</text>"#, Text(self.unit))?;
        let axis = TimeAxis::new(timeline);
        axis.write(timeline, TOP, BOTTOM, out)?;
        for (number, series) in self.series.iter().enumerate() {
            for (before, run) in timeline.placed() {
                let line = line(&run.stretches, |stretch| {
                    let from = axis.place(before.saturating_add(stretch.from));
                    let to = axis.place(before.saturating_add(stretch.to));
                    (from, to, height((series.value)(stretch)))
                });
                if let Some((line, from)) = line {
                    if number == 0 {
                        write!(
                            out,
                            r#"<path class="area" d="{line}V{BOTTOM}H{from:.1}z"/>"#
                        )?;
                    }
                    write!(out, r#"<path class="line s{number}" d="{line}"/>"#)?;
                }
            }
        }
        self.key(out)?;
        end(self.words, out)
    }

    /// Which line is which, from the right.
    fn key(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.series.len() < 2 {
            return Ok(());
        }
        let mut right = RIGHT;
        for (number, series) in self.series.iter().enumerate().rev() {
            // As wide as letters are on average where they are largest, on a phone.
            let text = right - series.name.chars().count() as f64 * 7.9;
            let (from, to) = (text - 26.0, text - 6.0);
            write!(
                out,
                r#"<line class="line s{number}" x1="{from:.1}" x2="{to:.1}" y1="10" y2="10"/>"#
            )?;
            let name = Text(series.name);
            write!(out, r#"<text x="{text:.1}" y="14">{name}</text>"#)?;
            right = from - 14.0;
        }
        Ok(())
    }
}

/// A line of steps, and where it begins.
fn line(
    stretches: &[Stretch],
    place: impl Fn(&Stretch) -> (f64, f64, f64),
) -> Option<(String, f64)> {
    let mut line = String::new();
    let (begin, _, y) = place(stretches.first()?);
    // Writing to a string does not fail.
    let _ = write!(line, "M{begin:.1} {y:.1}");
    for stretch in stretches {
        let (_, to, y) = place(stretch);
        let _ = write!(line, "V{y:.1}H{to:.1}");
    }
    Some((line, begin))
}
