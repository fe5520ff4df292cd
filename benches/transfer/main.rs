//! What a transfer costs, against a floor that is measured in the same minutes:
//! `cargo bench --bench transfer [-- --help]`
//!
//! docs/performance.md tells the method. As a test (`cargo test --benches`) it only checks itself.

mod check;
mod child;
mod content;
mod floor;
mod latency;
mod load;
mod lz4_alone;
mod million;
mod peers;
mod rates;
mod sink;
mod slow_sink;
mod slow_source;
mod standard;
mod table;
mod trees;
mod wal_index;
mod words;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use rustix::fs::FlockOperation;
use sink::Pace;
use standard::Unit;
use trees::Kind;
use words::{HELP, Mode, NoWords, Words};

/// The command's, so that the floor and LZ4 by itself are measured with the same.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match begin(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("transfer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// This program is several: the measuring one starts itself again as the others.
fn begin(words: &[OsString]) -> io::Result<()> {
    let first = words.split_first();
    match first.map(|(first, rest)| (first.to_str().unwrap_or_default(), rest)) {
        Some((sink::ROLE, rest)) => match Pace::parse(rest) {
            Some(pace) => sink::serve(pace),
            None => Err(io::Error::other("no pace of the sink")),
        },
        Some((floor::ROLE, rest)) => floor::put_all(rest),
        Some((lz4_alone::ROLE, rest)) => lz4_alone::compress_all(rest),
        Some((trees::ROLE, rest)) => trees::make(rest),
        Some((slow_source::ROLE, rest)) => slow_source::serve(rest),
        _ if !words.iter().any(|word| word == "--bench") => check::check(),
        _ => match Words::parse(words) {
            Ok(words) => measure(&words),
            Err(NoWords::Help) => {
                println!("{HELP}");
                Ok(())
            }
            Err(NoWords::Wrong(what)) => Err(io::Error::other(format!("{what}\n\n{HELP}"))),
        },
    }
}

fn measure(words: &Words) -> io::Result<()> {
    std::fs::create_dir_all(&words.folder)?;
    std::fs::create_dir_all(&words.trees)?;
    // Two at once would share a state, and disturb each other's figures.
    let folder = std::fs::File::open(&words.folder)?;
    rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| io::Error::other(format!("{} is in use", words.folder.display())))?;
    let cores = std::thread::available_parallelism()?;
    for mode in &words.modes {
        println!(
            "{mode:?}: {cores} cores, load average before: {}",
            std::fs::read_to_string("/proc/loadavg")?.trim()
        );
        println!();
        measure_one(words, *mode)?;
    }
    println!(
        "load average after: {}",
        std::fs::read_to_string("/proc/loadavg")?.trim()
    );
    Ok(())
}

fn measure_one(words: &Words, mode: Mode) -> io::Result<()> {
    const BOTH: [&str; 2] = ["LZ4", "DISABLED"];
    match mode {
        Mode::Small => standard::compare(words, &[Kind::Small], Unit::File, &BOTH),
        Mode::Large => {
            let kinds = [Kind::LargeText, Kind::LargeRandom];
            standard::compare(words, &kinds, Unit::Gigabyte, &BOTH)
        }
        Mode::Latency => latency::delays(words),
        Mode::Throttle => latency::throttle(words),
        Mode::SlowSource => slow_source::speeds(words),
        Mode::Million => million::million(words),
        Mode::Wide => million::wide(words),
        Mode::SlowSink => slow_sink::slow_sink(words),
        Mode::Peers => peers::compare(words),
    }
}
