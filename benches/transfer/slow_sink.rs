//! Peak memory while the sink answers slowly: what waits for it must be bounded, whatever the tree.

use std::io;
use std::time::Duration;

use crate::million::memory;
use crate::sink::Pace;
use crate::standard::load_once;
use crate::table::{Table, megabytes, seconds};
use crate::trees::{Kind, Tree};
use crate::words::Words;

/// Trees, and how long each answer takes.
const CASES: [(Kind, u64); 5] = [
    (Kind::Small, 100),
    (Kind::LargeText, 100),
    (Kind::LargeRandom, 100),
    (Kind::Million, 10),
    (Kind::Wide, 10),
];

pub(crate) fn slow_sink(words: &Words) -> io::Result<()> {
    let mut table = Table::new(&["what", "delay", "wall", "peak RSS MB", "most in the sink"]);
    let mut series = String::new();
    for (kind, delay) in CASES {
        let tree = Tree::at(&words.trees, kind)?;
        tree.warm()?;
        let pace = Pace::after(Duration::from_millis(delay));
        let run = load_once(words, &words.build, &tree, "LZ4", pace)?;
        table.row([
            kind.name().to_owned(),
            format!("{delay} ms"),
            seconds(run.ended.wall),
            format!("{:.1}", megabytes(run.ended.peak)),
            run.report.most_inside.to_string(),
        ]);
        series.push_str(&format!("{}: {}\n", kind.name(), memory(&run.ended.memory)));
    }
    println!("{table}\n{series}");
    Ok(())
}
