//! Sinks that answer late or refuse above a rate: how throughput follows concurrency, and what
//! the limiter finds by itself.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use clfsload::progress::history::{self, Record};

use crate::child::Ended;
use crate::load::{Build, Load};
use crate::rates::{Seconds, steady, whole};
use crate::sink::{Pace, Report, Sink};
use crate::table::{Figure, Table, megabytes};
use crate::trees::{Kind, Tree};
use crate::words::Words;

const DELAYS: [u64; 3] = [0, 10, 50];
const FIXED: [u32; 7] = [16, 32, 64, 128, 256, 512, 1024];
/// A run that takes longer is ended: its rate is known by then.
const LONG_ENOUGH: Duration = Duration::from_secs(20);

/// The option that fixes the number of requests at once.
const OPTION: &str = "--concurrency";

/// Throughput for each delay and setting.
pub(crate) fn delays(words: &Words) -> io::Result<()> {
    let tree = Tree::at(&words.trees, Kind::ManySmall)?;
    tree.warm()?;
    let build = &words.build;
    let mut settings = vec![None];
    match build.knows(OPTION)? {
        true => settings.extend(FIXED.map(Some)),
        false => println!("This build has no {OPTION}; only its own choice is measured.\n"),
    }
    let mut table = Table::new(&[
        "delay",
        "requests at once",
        "puts per s, 20 to 90 %",
        "of the best fixed",
        "puts per s, whole run",
        "most in the sink",
        "peak RSS MB",
    ]);
    let mut settled = String::new();
    for delay in DELAYS {
        let pace = Pace::after(Duration::from_millis(delay));
        let mut rates: Vec<Vec<[f64; 2]>> = vec![Vec::new(); settings.len()];
        let mut last = Vec::new();
        for _ in 0..words.runs_or(1) {
            last.clear();
            for (setting, rates) in settings.iter().zip(&mut rates) {
                let (report, ended) = boxed(words, build, &tree, *setting, pace, LONG_ENOUGH)?;
                rates.push([steady(&report), whole(&report, ended.wall)]);
                if setting.is_none() {
                    settled.push_str(&format!("{delay} ms: {}\n", settling(words)?));
                }
                last.push((report, ended.peak));
            }
        }
        let figures: Vec<[Figure; 2]> = rates
            .iter()
            .map(|runs| {
                let each = |read: fn(&[f64; 2]) -> f64| Figure::of(runs.iter().map(read));
                [each(|[steady, _]| *steady), each(|[_, whole]| *whole)]
            })
            .collect();
        let best = settings
            .iter()
            .zip(&figures)
            .filter(|(setting, _)| setting.is_some())
            .map(|(_, [steady, _])| steady.median())
            .fold(f64::NAN, f64::max);
        for ((setting, [steady, whole]), (report, peak)) in settings.iter().zip(&figures).zip(&last)
        {
            table.row([
                format!("{delay} ms"),
                setting.map_or("its own choice".to_owned(), |fixed| fixed.to_string()),
                steady.shown(0),
                match best.is_nan() {
                    true => String::new(),
                    false => format!("{:.0} %", steady.median() / best * 100.0),
                },
                whole.shown(0),
                report.most_inside.to_string(),
                format!("{:.1}", megabytes(*peak)),
            ]);
        }
    }
    println!("{table}\nIts own choice, requests that may be on their way after so many seconds:\n");
    println!("{settled}");
    Ok(())
}

/// What the limiter allowed in the last load over time, as its history tells: seconds and requests at once,
/// and the pace where there is one.
fn settling(words: &Words) -> io::Result<String> {
    let mut steps = Vec::new();
    history::visit(&words.folder.join("state"), |record| {
        if let Record::Snapshot(at) = record {
            let pace = match at.pace {
                0 => String::new(),
                pace => format!(" at {pace}/s"),
            };
            let seconds = at.elapsed_ms as f64 / 1e3;
            steps.push(format!("{seconds:.1} s {}{pace}", at.concurrency));
        }
    })?;
    Ok(steps.join(", "))
}

/// One load that may be ended by a kill; what the sink saw, and how it ended.
fn boxed(
    words: &Words,
    build: &Build,
    tree: &Tree,
    setting: Option<u32>,
    pace: Pace,
    long_enough: Duration,
) -> io::Result<(Report, Ended)> {
    let sink = Sink::start(pace)?;
    let mut options: Vec<OsString> = Vec::new();
    if let Some(setting) = setting {
        options.extend([OPTION.into(), setting.to_string().into()]);
    }
    let load = Load {
        build,
        source: &tree.path,
        sink: &sink,
        state: words.folder.join("state"),
        options,
    };
    let ended = load.new_until(|elapsed| Ok(elapsed >= long_enough))?;
    if !matches!(ended.status, None | Some(0)) {
        return Err(load.failed(ended.status));
    }
    let report = sink.report()?;
    if ended.status == Some(0) {
        load.expect_all(tree.kind, &report)?;
    }
    if words.verbose {
        eprintln!(
            "{setting:?} {pace:?}: {:.0} puts per s, {:.0} in the whole run, at most {} at once",
            steady(&report),
            whole(&report, ended.wall),
            report.most_inside
        );
    }
    Ok((report, ended))
}

const RATES: [u32; 2] = [500, 2000];
const THROTTLED_DELAY: Duration = Duration::from_millis(10);
const THROTTLED_TIME: Duration = Duration::from_secs(40);

/// A sink that answers 503 above a rate: the load has to stay below it, not to swing around it.
pub(crate) fn throttle(words: &Words) -> io::Result<()> {
    let tree = Tree::at(&words.trees, Kind::ManySmall)?;
    tree.warm()?;
    let build = &words.build;
    let mut table = Table::new(&[
        "allowed per s",
        "puts per s",
        "of the allowed",
        "least and most in a second",
        "answered 503",
        "most in the sink",
    ]);
    let mut series = String::new();
    for rate in RATES {
        let pace = Pace {
            delay: THROTTLED_DELAY,
            rate: Some(rate),
        };
        let (report, _) = boxed(words, build, &tree, None, pace, THROTTLED_TIME)?;
        let Seconds { puts, refused } = Seconds::of(&report);
        // What it has settled at shows in the second half.
        let half = |all: &[u64]| all.get(puts.len() / 2..).unwrap_or_default().to_vec();
        let (late, late_refused) = (half(&puts), half(&refused));
        let (sum, refused_sum) = (late.iter().sum::<u64>(), late_refused.iter().sum::<u64>());
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
                refused_sum as f64 / (sum + refused_sum) as f64 * 100.0
            ),
            report.most_inside.to_string(),
        ]);
        series.push_str(&format!(
            "{rate} allowed, puts in each second: {puts:?}\nanswered 503: {refused:?}\n\
             requests at once: {}\n\n",
            settling(words)?
        ));
    }
    println!("The second half of {} s:\n", THROTTLED_TIME.as_secs());
    println!("{table}\n{series}");
    Ok(())
}
