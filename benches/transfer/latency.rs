//! Sinks with a latency or a rate limit: throughput by concurrency, and the limits that the limiter
//! chooses.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use clfsload::progress::history::{self, Record};

use crate::arguments::Arguments;
use crate::child::ProcessStats;
use crate::load::{Build, Load};
use crate::rates::{Seconds, overall, steady};
use crate::sink::{Report, ResponsePolicy, Sink};
use crate::table::{Figure, Table, megabytes};
use crate::trees::{Tree, TreeKind};

const DELAYS: [u64; 3] = [0, 10, 50];
const FIXED: [u32; 7] = [16, 32, 64, 128, 256, 512, 1024];
/// Longer runs are killed, because their rate is known by then.
const MAX_RUN: Duration = Duration::from_secs(20);

/// The option that fixes the number of concurrent requests.
const CONCURRENCY_OPTION: &str = "--concurrency";

/// Measures throughput for each delay and concurrency.
pub(crate) fn delays(arguments: &Arguments) -> io::Result<()> {
    let tree = Tree::at(&arguments.trees, TreeKind::ManySmall)?;
    tree.warm()?;
    let build = &arguments.build;
    let mut settings = vec![None];
    match build.has_option(CONCURRENCY_OPTION)? {
        true => settings.extend(FIXED.map(Some)),
        false => println!(
            "This build has no {CONCURRENCY_OPTION}; only the adaptive limit is measured.\n"
        ),
    }
    let mut table = Table::new(&[
        "delay",
        "concurrency",
        "uploads per s, 20 to 90 %",
        "share of the best fixed",
        "uploads per s, overall",
        "max in flight",
        "peak RSS MB",
    ]);
    let mut history = String::new();
    for delay in DELAYS {
        let policy = ResponsePolicy::delayed(Duration::from_millis(delay));
        let mut rates: Vec<Vec<[f64; 2]>> = vec![Vec::new(); settings.len()];
        let mut last = Vec::new();
        for _ in 0..arguments.runs_or(1) {
            last.clear();
            for (setting, rates) in settings.iter().zip(&mut rates) {
                let (report, stats) = load_for(arguments, build, &tree, *setting, policy, MAX_RUN)?;
                rates.push([steady(&report), overall(&report, stats.wall)]);
                if setting.is_none() {
                    history.push_str(&format!("{delay} ms: {}\n", limits_over_time(arguments)?));
                }
                last.push((report, stats.peak));
            }
        }
        let figures: Vec<[Figure; 2]> = rates
            .iter()
            .map(|runs| {
                let each = |read: fn(&[f64; 2]) -> f64| Figure::of(runs.iter().map(read));
                [each(|[steady, _]| *steady), each(|[_, overall]| *overall)]
            })
            .collect();
        let best = settings
            .iter()
            .zip(&figures)
            .filter(|(setting, _)| setting.is_some())
            .map(|(_, [steady, _])| steady.median())
            .fold(f64::NAN, f64::max);
        for ((setting, [steady, overall]), (report, peak)) in
            settings.iter().zip(&figures).zip(&last)
        {
            table.row([
                format!("{delay} ms"),
                setting.map_or("adaptive".to_owned(), |fixed| fixed.to_string()),
                steady.shown(0),
                match best.is_nan() {
                    true => String::new(),
                    false => format!("{:.0} %", steady.median() / best * 100.0),
                },
                overall.shown(0),
                report.max_in_flight.to_string(),
                format!("{:.1}", megabytes(*peak)),
            ]);
        }
    }
    println!("{table}\nAdaptive limit on concurrent requests over time:\n");
    println!("{history}");
    Ok(())
}

/// Returns the limits of the last load over time, read from its history: seconds, concurrent requests,
/// and requests per second where they were limited.
fn limits_over_time(arguments: &Arguments) -> io::Result<String> {
    let mut steps = Vec::new();
    history::visit(&arguments.folder.join("state"), |record| {
        if let Record::Snapshot(at) = record {
            let rate = match at.pace {
                0 => String::new(),
                rate => format!(" at {rate}/s"),
            };
            let seconds = at.elapsed_ms as f64 / 1e3;
            steps.push(format!("{seconds:.1} s {}{rate}", at.concurrency));
        }
    })?;
    Ok(steps.join(", "))
}

/// Runs one load, and kills it after `max_run`.
fn load_for(
    arguments: &Arguments,
    build: &Build,
    tree: &Tree,
    setting: Option<u32>,
    policy: ResponsePolicy,
    max_run: Duration,
) -> io::Result<(Report, ProcessStats)> {
    let sink = Sink::start(policy)?;
    let mut options: Vec<OsString> = Vec::new();
    if let Some(setting) = setting {
        options.extend([CONCURRENCY_OPTION.into(), setting.to_string().into()]);
    }
    let load = Load {
        build,
        source: &tree.path,
        sink: &sink,
        state: arguments.folder.join("state"),
        options,
    };
    let stats = load.run_new_until(|elapsed| Ok(elapsed >= max_run))?;
    if !matches!(stats.status, None | Some(0)) {
        return Err(load.failed(stats.status));
    }
    let report = sink.report()?;
    if stats.status == Some(0) {
        load.expect_complete(tree.kind, &report)?;
    }
    if arguments.verbose {
        eprintln!(
            "{setting:?} {policy:?}: {:.0} uploads per s, {:.0} overall, max {} in flight",
            steady(&report),
            overall(&report, stats.wall),
            report.max_in_flight
        );
    }
    Ok((report, stats))
}

const RATES: [u32; 2] = [500, 2000];
const THROTTLED_DELAY: Duration = Duration::from_millis(10);
const THROTTLED_RUN: Duration = Duration::from_secs(40);

/// Measures loads into a sink that responds 503 above a rate. The request rate must stay below that rate
/// without oscillating.
pub(crate) fn throttle(arguments: &Arguments) -> io::Result<()> {
    let tree = Tree::at(&arguments.trees, TreeKind::ManySmall)?;
    tree.warm()?;
    let build = &arguments.build;
    let mut table = Table::new(&[
        "allowed per s",
        "uploads per s",
        "share of the allowed",
        "min and max in a second",
        "responses 503",
        "max in flight",
    ]);
    let mut series = String::new();
    for rate in RATES {
        let policy = ResponsePolicy {
            delay: THROTTLED_DELAY,
            rate: Some(rate),
        };
        let (report, _) = load_for(arguments, build, &tree, None, policy, THROTTLED_RUN)?;
        let Seconds { puts, throttled } = Seconds::of(&report);
        // The limits have settled by the second half.
        let half = |all: &[u64]| all.get(puts.len() / 2..).unwrap_or_default().to_vec();
        let (late, late_throttled) = (half(&puts), half(&throttled));
        let (sum, throttled_sum) = (late.iter().sum::<u64>(), late_throttled.iter().sum::<u64>());
        let each = sum as f64 / late.len() as f64;
        table.row([
            rate.to_string(),
            format!("{each:.0}"),
            format!("{:.0} %", each / f64::from(rate) * 100.0),
            format!(
                "{}–{}",
                late.iter().min().copied().unwrap_or(0),
                late.iter().max().copied().unwrap_or(0)
            ),
            format!(
                "{:.1} %",
                throttled_sum as f64 / (sum + throttled_sum) as f64 * 100.0
            ),
            report.max_in_flight.to_string(),
        ]);
        series.push_str(&format!(
            "{rate} allowed, uploads in each second: {puts:?}\nresponses 503: {throttled:?}\n\
             concurrent requests: {}\n\n",
            limits_over_time(arguments)?
        ));
    }
    println!("Second half of {} s:\n", THROTTLED_RUN.as_secs());
    println!("{table}\n{series}");
    Ok(())
}
