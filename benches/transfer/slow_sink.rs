//! Peak memory with a slow sink: the data that waits for uploads must be bounded for any tree.

use std::io;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::million::memory;
use crate::sink::ResponsePolicy;
use crate::standard::load_once;
use crate::table::{Table, megabytes, seconds};
use crate::trees::{Tree, TreeKind};

/// Trees, and the delay of each response in milliseconds.
const CASES: [(TreeKind, u64); 5] = [
    (TreeKind::Small, 100),
    (TreeKind::LargeText, 100),
    (TreeKind::LargeRandom, 100),
    (TreeKind::Million, 10),
    (TreeKind::Wide, 10),
];

pub(crate) fn slow_sink(arguments: &Arguments) -> io::Result<()> {
    let mut table = Table::new(&["what", "delay", "wall", "peak RSS MB", "max in flight"]);
    let mut series = String::new();
    for (kind, delay) in CASES {
        let tree = Tree::at(&arguments.trees, kind)?;
        tree.warm()?;
        let policy = ResponsePolicy::delayed(Duration::from_millis(delay));
        let run = load_once(arguments, &arguments.build, &tree, "LZ4", policy)?;
        table.row([
            kind.name().to_owned(),
            format!("{delay} ms"),
            seconds(run.stats.wall),
            format!("{:.1}", megabytes(run.stats.peak)),
            run.report.max_in_flight.to_string(),
        ]);
        series.push_str(&format!("{}: {}\n", kind.name(), memory(&run.stats.memory)));
    }
    println!("{table}\n{series}");
    Ok(())
}
