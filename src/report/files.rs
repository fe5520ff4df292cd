//! The part of the page about files: how large they are, and which stand out.

use std::io::{self, Write};
use std::time::Duration;

use super::Subject;
use super::chart;
use super::escape::TreePath;
use crate::amount::{count, counted, size, span};
use crate::progress::extremes::Placed;
use crate::state::{SizeClass, Sizes};

const LEFT: f64 = 122.0;
const RIGHT: f64 = 420.0;
const TOP: f64 = 26.0;
const ROW: f64 = 30.0;

/// What a class of sizes is called.
fn class_name(least: u64) -> String {
    let next = Sizes::BOUNDS.into_iter().find(|bound| *bound > least);
    let whole = |bytes: u64| size(bytes).replace(".0 ", " ");
    match (least, next) {
        (0, _) => "empty".to_owned(),
        (1, Some(next)) => format!("below {}", whole(next)),
        (least, None) => format!("{} and more", whole(least)),
        (least, Some(next)) => {
            let (from, to) = (whole(least), whole(next));
            let unit = to.split(' ').next_back().unwrap_or_default();
            match from.strip_suffix(unit) {
                Some(number) => format!("{}–{to}", number.trim_end()),
                None => format!("{from}–{to}"),
            }
        }
    }
}

fn percent(part: u64, of: u64) -> f64 {
    match of {
        0 => 0.0,
        of => part as f64 * 100.0 / of as f64,
    }
}

pub(super) fn write_sizes(subject: &Subject, out: &mut dyn Write) -> io::Result<()> {
    let sizes = &subject.sizes;
    let all = sizes.all();
    writeln!(
        out,
        "<section aria-labelledby=\"sizes\">\n<h2 id=\"sizes\">File sizes</h2>"
    )?;
    writeln!(
        out,
        "<p>Regular files that are known, {} with {}. What has several names as one file counts once.</p>",
        counted(all.files, "file", "files"),
        size(all.bytes)
    )?;
    writeln!(out, "<div class=\"charts\">")?;
    bars(sizes, out)?;
    table(sizes, out)?;
    writeln!(out, "</div>\n</section>")
}

fn words(sizes: &Sizes) -> String {
    let all = sizes.all();
    let most = |amount: &dyn Fn(&SizeClass) -> u64| {
        let largest = sizes.classes().max_by_key(|(_, class)| amount(class));
        let (least, class) = largest.unwrap_or_default();
        (class_name(least), class)
    };
    if all.files == 0 {
        return "No regular files are known.".to_owned();
    }
    let (by_files, files) = most(&|class| class.files);
    let (by_bytes, bytes) = most(&|class| class.bytes);
    format!(
        "Most files are in the class “{by_files}” ({:.0} % of the files), most bytes in “{by_bytes}” \
         ({:.0} % of the bytes).",
        percent(files.files, all.files),
        percent(bytes.bytes, all.bytes)
    )
}

fn bars(sizes: &Sizes, out: &mut dyn Write) -> io::Result<()> {
    let all = sizes.all();
    let words = words(sizes);
    let bottom = TOP + ROW * (Sizes::BOUNDS.len() + 1) as f64;
    chart::begin(
        "histogram",
        "Files and bytes by file size",
        &words,
        bottom + 26.0,
        out,
    )?;
    let place = |percent: f64| LEFT + percent.clamp(0.0, 100.0) / 100.0 * (RIGHT - LEFT);
    for percent in [0, 25, 50, 75, 100] {
        let x = place(f64::from(percent));
        let class = if percent == 0 { "axis" } else { "grid" };
        write!(
            out,
            r#"<line class="{class}" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{bottom}"/>"#
        )?;
        let y = bottom + 18.0;
        write!(
            out,
            r#"<text x="{x:.1}" y="{y}" text-anchor="middle">{percent} %</text>"#
        )?;
    }
    for (row, (least, class)) in sizes.classes().enumerate() {
        let top = TOP + ROW * row as f64;
        let (x, y) = (LEFT - 6.0, top + 19.5);
        let name = class_name(least);
        write!(
            out,
            r#"<text x="{x}" y="{y}" text-anchor="end">{name}</text>"#
        )?;
        let parts = [
            (percent(class.files, all.files), "b0", top + 4.0),
            (percent(class.bytes, all.bytes), "b1", top + 15.5),
        ];
        for (percent, bar, y) in parts {
            let width = place(percent) - LEFT;
            write!(
                out,
                r#"<rect class="{bar}" x="{LEFT}" y="{y}" width="{width:.1}" height="10.5"/>"#
            )?;
        }
    }
    for (bar, x, name) in [
        ("b0", LEFT, "% of files"),
        ("b1", LEFT + 120.0, "% of bytes"),
    ] {
        let text = x + 16.0;
        write!(
            out,
            r#"<rect class="{bar}" x="{x}" y="4" width="11" height="11"/><text x="{text}" y="14">{name}</text>"#
        )?;
    }
    chart::end(&words, out)
}

fn table(sizes: &Sizes, out: &mut dyn Write) -> io::Result<()> {
    let all = sizes.all();
    writeln!(
        out,
        r#"<div class="scroll"><table id="size-classes">
<caption>Files by size</caption>
<thead><tr><th scope="col">Size</th><th scope="col" class="n">Files</th><th scope="col" class="n">of all</th><th scope="col" class="n">Bytes</th><th scope="col" class="n">of all</th></tr></thead>
<tbody>"#
    )?;
    let rows = sizes
        .classes()
        .map(|(least, class)| (class_name(least), class));
    for (name, class) in rows.chain([("all".to_owned(), all)]) {
        writeln!(
            out,
            r#"<tr><th scope="row">{name}</th><td class="n">{}</td><td class="n">{:.1} %</td><td class="n">{}</td><td class="n">{:.1} %</td></tr>"#,
            count(class.files),
            percent(class.files, all.files),
            size(class.bytes),
            percent(class.bytes, all.bytes)
        )?;
    }
    writeln!(out, "</tbody>\n</table></div>")
}

pub(super) fn write_extremes(subject: &Subject, out: &mut dyn Write) -> io::Result<()> {
    let extremes = &subject.latest.extremes;
    writeln!(
        out,
        "<section aria-labelledby=\"extremes\">\n<h2 id=\"extremes\">Largest and slowest files</h2>"
    )?;
    if extremes.largest.is_empty() && extremes.slowest.is_empty() {
        writeln!(out, "<p>None are known.</p>\n</section>")?;
        return Ok(());
    }
    writeln!(
        out,
        "<p>Of the files that were loaded. The time of a file is that from its first read to the last \
         answer of the container; it includes waiting for others.</p>"
    )?;
    placed("Largest files", &extremes.largest, out)?;
    placed("Slowest files", &extremes.slowest, out)?;
    writeln!(out, "</section>")
}

fn placed(caption: &str, files: &[Placed], out: &mut dyn Write) -> io::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        r#"<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table>
<caption>{caption}</caption>
<thead><tr><th scope="col" class="n">Size</th><th scope="col" class="n">Time</th><th scope="col">Path below the source</th></tr></thead>
<tbody>"#
    )?;
    for file in files {
        writeln!(
            out,
            r#"<tr><td class="n">{}</td><td class="n">{}</td><th scope="row" class="path">{}</th></tr>"#,
            size(file.bytes),
            span(Duration::from_millis(file.milliseconds)),
            TreePath(&file.path())
        )?;
    }
    writeln!(out, "</tbody>\n</table></div>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_sizes_have_names() {
        let names: Vec<String> = Sizes::default()
            .classes()
            .map(|(least, _)| class_name(least))
            .collect();
        assert_eq!(
            names,
            [
                "empty",
                "below 1 KiB",
                "1–16 KiB",
                "16–256 KiB",
                "256 KiB–4 MiB",
                "4–64 MiB",
                "64 MiB–1 GiB",
                "1 GiB and more"
            ]
        );
    }
}
