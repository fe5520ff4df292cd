//! Measures the cost of a load relative to a floor measured in the same run:
//! `cargo bench --bench transfer [-- --help]`
//!
//! docs/performance.md describes the method. `cargo test --benches` only checks the benchmark itself.

mod arguments;
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

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use arguments::{Arguments, HELP, Mode, ParseError};
use rustix::fs::FlockOperation;
use sink::ResponsePolicy;
use standard::Unit;
use trees::TreeKind;

/// The allocator of clfsload, so that the floor and LZ4 alone are measured with the same one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("transfer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the role that the first argument names: the benchmark starts itself again for its child processes.
fn run(arguments: &[OsString]) -> io::Result<()> {
    let first = arguments.split_first();
    match first.map(|(first, rest)| (first.to_str().unwrap_or_default(), rest)) {
        Some((sink::ROLE, rest)) => match ResponsePolicy::parse(rest) {
            Some(policy) => sink::serve(policy),
            None => Err(io::Error::other("the sink needs a delay and a rate")),
        },
        Some((floor::ROLE, rest)) => floor::upload_all(rest),
        Some((lz4_alone::ROLE, rest)) => lz4_alone::compress_all(rest),
        Some((trees::ROLE, rest)) => trees::create(rest),
        Some((slow_source::ROLE, rest)) => slow_source::serve(rest),
        _ if !arguments.iter().any(|argument| argument == "--bench") => check::check(),
        _ => match Arguments::parse(arguments) {
            Ok(arguments) => measure(&arguments),
            Err(ParseError::Help) => {
                println!("{HELP}");
                Ok(())
            }
            Err(ParseError::Invalid(message)) => {
                Err(io::Error::other(format!("{message}\n\n{HELP}")))
            }
        },
    }
}

fn measure(arguments: &Arguments) -> io::Result<()> {
    std::fs::create_dir_all(&arguments.folder)?;
    std::fs::create_dir_all(&arguments.trees)?;
    // Concurrent runs would share a state folder and distort each other's figures.
    let folder = std::fs::File::open(&arguments.folder)?;
    rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        io::Error::other(format!(
            "{} is in use by another run",
            arguments.folder.display()
        ))
    })?;
    let cores = std::thread::available_parallelism()?;
    for mode in &arguments.modes {
        println!(
            "{mode:?}: {cores} cores, load average before: {}",
            std::fs::read_to_string("/proc/loadavg")?.trim()
        );
        println!();
        measure_one(arguments, *mode)?;
    }
    println!(
        "load average after: {}",
        std::fs::read_to_string("/proc/loadavg")?.trim()
    );
    Ok(())
}

fn measure_one(arguments: &Arguments, mode: Mode) -> io::Result<()> {
    const BOTH: [&str; 2] = ["LZ4", "DISABLED"];
    match mode {
        Mode::Small => standard::compare(arguments, &[TreeKind::Small], Unit::File, &BOTH),
        Mode::Large => {
            let kinds = [TreeKind::LargeText, TreeKind::LargeRandom];
            standard::compare(arguments, &kinds, Unit::Gigabyte, &BOTH)
        }
        Mode::Latency => latency::delays(arguments),
        Mode::Throttle => latency::throttle(arguments),
        Mode::SlowSource => slow_source::measure(arguments),
        Mode::Million => million::million(arguments),
        Mode::Wide => million::wide(arguments),
        Mode::SlowSink => slow_sink::slow_sink(arguments),
        Mode::Peers => peers::compare(arguments),
    }
}
