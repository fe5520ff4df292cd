//! The part of the page about time: rates, requests, retries, limits, and the numbers behind them.

use std::io::{self, Write};
use std::time::Duration;

use super::Subject;
use super::chart::{Chart, Series};
use super::escape::{Moment, Text};
use super::timeline::{STRETCHES, Stretch, Timeline};
use super::{scale, strip};
use crate::amount::{count, counted, rate, size, span};

pub(super) fn write(subject: &Subject, out: &mut dyn Write) -> io::Result<()> {
    let timeline = &subject.timeline;
    writeln!(
        out,
        "<section aria-labelledby=\"over-time\">\n<h2 id=\"over-time\">Over time</h2>"
    )?;
    if let Some(trouble) = &timeline.trouble {
        let trouble = Text(trouble);
        writeln!(out, "<p>The history cannot be read: {trouble}.</p>")?;
    }
    if timeline.length() == 0 {
        writeln!(out, "<p>No figures over time are known.</p>\n</section>")?;
        return Ok(());
    }
    writeln!(out, "<p>{}</p>", about_the_axis(timeline))?;
    writeln!(out, "<div class=\"charts\">")?;
    entries(timeline, out)?;
    uploaded(timeline, out)?;
    concurrency(timeline, out)?;
    retries(timeline, out)?;
    strip::write(timeline, out)?;
    writeln!(out, "<div>")?;
    strip::tables(timeline, out)?;
    writeln!(out, "</div>\n</div>")?;
    numbers(timeline, out)?;
    writeln!(out, "</section>")
}

fn about_the_axis(timeline: &Timeline) -> String {
    let mut text = "The horizontal axes are working time".to_owned();
    if timeline.runs.len() > 1 {
        text += ": the runs one after the other, without the time between them. A dashed line is where \
                 the next run begins";
    }
    text += ". Rates are averages over each step of the line";
    text + "; the numbers are in the table below the charts."
}

/// Seconds of work, for an average.
fn seconds(timeline: &Timeline) -> f64 {
    (timeline.length() as f64 / 1000.0).max(0.001)
}

fn sum(timeline: &Timeline, figure: impl Fn(&Stretch) -> u64) -> u64 {
    timeline
        .stretches()
        .map(figure)
        .fold(0, u64::saturating_add)
}

fn most(timeline: &Timeline, value: impl Fn(&Stretch) -> f64) -> f64 {
    timeline.stretches().map(value).fold(0.0, f64::max)
}

fn entries(timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
    let value = |stretch: &Stretch| stretch.rate(stretch.entries);
    let all = sum(timeline, |stretch| stretch.entries);
    let words = format!(
        "{} in {}: on average {} a second, at most {}.",
        counted(all, "entry", "entries"),
        span(Duration::from_millis(timeline.length())),
        rate(all as f64 / seconds(timeline)),
        rate(most(timeline, value))
    );
    let chart = Chart {
        id: "entries",
        title: "Entries done",
        unit: "entries/s",
        least_step: 0.0,
        series: &[Series {
            name: "entries",
            value: &value,
        }],
        words: &words,
    };
    chart.write(timeline, out)
}

fn uploaded(timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
    let bytes = |stretch: &Stretch| stretch.rate(stretch.bytes_put);
    let most = most(timeline, bytes);
    let (unit, one) = scale::byte_unit(most);
    let all = sum(timeline, |stretch| stretch.bytes_put);
    let words = format!(
        "{} in {}: on average {}/s, at most {}/s.",
        size(all),
        span(Duration::from_millis(timeline.length())),
        size((all as f64 / seconds(timeline)) as u64),
        size(most as u64)
    );
    let chart = Chart {
        id: "uploaded",
        title: "Bytes uploaded",
        unit: &format!("{unit}/s"),
        least_step: 0.0,
        series: &[Series {
            name: "uploaded",
            value: &|stretch| bytes(stretch) / one,
        }],
        words: &words,
    };
    chart.write(timeline, out)
}

fn concurrency(timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
    let words = format!(
        "At most {} allowed at the same time, and at most {} on their way.",
        counted(
            most(timeline, Stretch::concurrency).round() as u64,
            "request",
            "requests"
        ),
        count(most(timeline, Stretch::in_flight).round() as u64)
    );
    let chart = Chart {
        id: "concurrency",
        title: "Requests at the same time",
        unit: "requests",
        least_step: 1.0,
        series: &[
            Series {
                name: "allowed",
                value: &Stretch::concurrency,
            },
            Series {
                name: "on their way",
                value: &Stretch::in_flight,
            },
        ],
        words: &words,
    };
    chart.write(timeline, out)
}

fn retries(timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
    let failed = sum(timeline, |stretch| stretch.failed);
    let throttled = sum(timeline, |stretch| stretch.throttled);
    let waited = timeline.stretches().map(|stretch| stretch.retrying).max();
    let title = "Requests that failed";
    if failed == 0 {
        return writeln!(
            out,
            "<figure>\n<h3>{title}</h3>\n<figcaption>None failed.</figcaption>\n</figure>"
        );
    }
    let words = format!(
        "{} failed and were repeated, {} of them throttled by the service; at most {} waited for the \
         next try at the same time.",
        counted(failed, "request", "requests"),
        count(throttled),
        counted(waited.unwrap_or_default(), "call", "calls")
    );
    let chart = Chart {
        id: "retries",
        title,
        unit: "failed/s",
        least_step: 0.0,
        series: &[
            Series {
                name: "all",
                value: &|stretch| stretch.rate(stretch.failed),
            },
            Series {
                name: "throttled",
                value: &|stretch| stretch.rate(stretch.throttled),
            },
        ],
        words: &words,
    };
    chart.write(timeline, out)
}

fn numbers(timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        r#"<details>
<summary>The numbers behind the charts</summary>
<div class="scroll" tabindex="0" role="region" aria-label="The numbers behind the charts"><table class="long">
<caption>Figures over time; at most {STRETCHES} rows, each about the time since the row above</caption>
<thead><tr><th scope="col">Until (UTC)</th><th scope="col" class="n">Run</th><th scope="col">Phase</th><th scope="col" class="n">Entries/s</th><th scope="col" class="n">Uploaded</th><th scope="col" class="n">Requests allowed</th><th scope="col" class="n">On their way</th><th scope="col" class="n">Failed</th><th scope="col" class="n">Throttled</th><th scope="col" class="n">Waiting to be repeated</th><th scope="col">Limited by</th></tr></thead>
<tbody>"#
    )?;
    for (number, run) in (timeline.earlier + 1..).zip(&timeline.runs) {
        for stretch in &run.stretches {
            writeln!(
                out,
                r#"<tr><th scope="row">{}</th><td class="n">{number}</td><td class="word">{}</td><td class="n">{}</td><td class="n">{}/s</td><td class="n">{:.0}</td><td class="n">{:.0}</td><td class="n">{}</td><td class="n">{}</td><td class="n">{}</td><td class="word">{}</td></tr>"#,
                Moment(stretch.at),
                stretch.phase(),
                rate(stretch.rate(stretch.entries)),
                size(stretch.rate(stretch.bytes_put) as u64),
                stretch.concurrency(),
                stretch.in_flight(),
                count(stretch.failed),
                count(stretch.throttled),
                count(stretch.retrying),
                stretch
                    .limiting()
                    .map_or("–".to_owned(), |limiting| limiting.to_string()),
            )?;
        }
    }
    writeln!(out, "</tbody>\n</table></div>\n</details>")
}
