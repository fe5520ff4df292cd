//! The part of the page about files: how large they are, and which stand out.

use std::io::{self, Write};
use std::time::Duration;

use super::Subject;
use super::chart;
use super::escape::TreePath;
use crate::amount::{count, counted, size, size_class, span};
use crate::progress::extremes::RankedFile;
use crate::survey::SizeHistogram;

const LEFT: f64 = 122.0;
const RIGHT: f64 = 420.0;
const TOP: f64 = 26.0;
const ROW: f64 = 30.0;

/// A class of sizes that is shown.
struct Class {
    name: String,
    files: u64,
    bytes: u64,
}

/// The classes up to that of the largest file, and all files.
fn classes(sizes: &SizeHistogram) -> (Vec<Class>, Class) {
    let mut all = Class {
        name: "all".to_owned(),
        files: 0,
        bytes: 0,
    };
    let mut classes = Vec::new();
    let mut shown = 0;
    let mut below = None;
    for class in sizes.classes() {
        classes.push(Class {
            name: size_class(&class, below),
            files: class.files,
            bytes: class.bytes,
        });
        below = class.up_to;
        if class.files > 0 {
            shown = classes.len();
        }
        all.files = all.files.saturating_add(class.files);
        all.bytes = all.bytes.saturating_add(class.bytes);
    }
    classes.truncate(shown);
    (classes, all)
}

fn percent(part: u64, of: u64) -> f64 {
    match of {
        0 => 0.0,
        of => part as f64 * 100.0 / of as f64,
    }
}

pub(super) fn write_sizes(subject: &Subject, out: &mut dyn Write) -> io::Result<()> {
    let (classes, all) = classes(&subject.sizes);
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
    if !classes.is_empty() {
        writeln!(out, "<div class=\"charts\">")?;
        bars(&classes, &all, out)?;
        table(&classes, &all, out)?;
        writeln!(out, "</div>")?;
    }
    writeln!(out, "</section>")
}

fn words(classes: &[Class], all: &Class) -> String {
    let most = |amount: &dyn Fn(&Class) -> u64| {
        let class = classes.iter().max_by_key(|class| amount(class));
        let class = class.unwrap_or(all);
        format!(
            "“{}” ({:.0} %)",
            class.name,
            percent(amount(class), amount(all))
        )
    };
    format!(
        "Most files are in the class {}, most bytes in {}.",
        most(&|class| class.files),
        most(&|class| class.bytes)
    )
}

fn bars(classes: &[Class], all: &Class, out: &mut dyn Write) -> io::Result<()> {
    let words = words(classes, all);
    let bottom = TOP + ROW * classes.len() as f64;
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
    for (row, class) in classes.iter().enumerate() {
        let top = TOP + ROW * row as f64;
        let (x, y) = (LEFT - 6.0, top + 19.5);
        let name = &class.name;
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

fn table(classes: &[Class], all: &Class, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        r#"<div class="scroll"><table id="size-classes">
<caption>Files by size</caption>
<thead><tr><th scope="col">Size</th><th scope="col" class="n">Files</th><th scope="col" class="n">of all</th><th scope="col" class="n">Bytes</th><th scope="col" class="n">of all</th></tr></thead>
<tbody>"#
    )?;
    for class in classes.iter().chain([all]) {
        writeln!(
            out,
            r#"<tr><th scope="row">{}</th><td class="n">{}</td><td class="n">{:.1} %</td><td class="n">{}</td><td class="n">{:.1} %</td></tr>"#,
            class.name,
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

fn placed(caption: &str, files: &[RankedFile], out: &mut dyn Write) -> io::Result<()> {
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
    fn classes_end_with_that_of_the_largest_file() {
        let mut sizes = SizeHistogram::default();
        assert!(classes(&sizes).0.is_empty());
        sizes.add(0, 1);
        sizes.add(1000, 2);
        sizes.add(100_000, 1);
        let (classes, all) = classes(&sizes);
        let names: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
        assert_eq!(
            names,
            ["empty", "up to 1 KiB", "up to 16 KiB", "up to 128 KiB"]
        );
        assert_eq!((all.files, all.bytes), (4, 102_000));
        let words = words(&classes, &all);
        let expected = "Most files are in the class “up to 1 KiB” (50 %), most bytes in “up to 128 KiB” (98 %).";
        assert_eq!(words, expected);
    }
}
