//! The words of the benchmark.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use crate::load::Build;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Small,
    Large,
    Latency,
    Throttle,
    SlowSource,
    Million,
    Wide,
    SlowSink,
    Peers,
}

const MODES: [(&str, Mode); 9] = [
    ("small", Mode::Small),
    ("large", Mode::Large),
    ("latency", Mode::Latency),
    ("throttle", Mode::Throttle),
    ("slow-source", Mode::SlowSource),
    ("million", Mode::Million),
    ("wide", Mode::Wide),
    ("slow-sink", Mode::SlowSink),
    ("peers", Mode::Peers),
];

pub(crate) const HELP: &str = "\
cargo bench --bench transfer -- [MODE ...] [--dir FOLDER] [--trees FOLDER] [--runs N]
                               [--program PROGRAM] [--against PROGRAM]

Modes; without one small and large run:
  small        10,000 files of 2 to 3.7 KB, against the floor
  large        768 MiB in 48 files, text and random bytes, against the floor
  latency      a sink that answers after 0, 10 and 50 ms: adaptive against fixed concurrency
  throttle     a sink that answers 503 above a rate
  slow-source  a source whose calls take 0.3, 1 and 2 ms (FUSE; as root)
  million      1,000,000 entries against 10,000; resumes
  wide         one folder with 1,000,000 files
  slow-sink    peak memory while the sink answers slowly
  peers        azcopy and rclone, if they are on the PATH

--dir FOLDER       where states lie, and trees; must be on a disk that counts
--trees FOLDER     where trees lie, if elsewhere: in memory, so that reading them costs nothing
--runs N           runs of each variant; the table shows medians [default: 3 in small,
                   large and peers, else 1]
--program PROGRAM  the build of clfsload that is measured [default: the one built with this]
--against PROGRAM  another build of clfsload, run in turn with this one (small, large)
--verbose          every run as it ends, on standard error
";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) modes: Vec<Mode>,
    /// Where states lie.
    pub(crate) folder: PathBuf,
    /// Where trees lie.
    pub(crate) trees: PathBuf,
    pub(crate) runs: Option<usize>,
    pub(crate) build: Build,
    /// Others that run in turn with it.
    pub(crate) against: Vec<Build>,
    pub(crate) verbose: bool,
}

/// Why there is nothing to measure.
#[derive(Debug)]
pub(crate) enum NoWords {
    /// Help was asked for.
    Help,
    /// Something is wrong.
    Wrong(String),
}

impl From<io::Error> for NoWords {
    fn from(error: io::Error) -> Self {
        NoWords::Wrong(error.to_string())
    }
}

impl Words {
    /// How often each variant runs, where `default` does unless another number was asked for.
    pub(crate) fn runs_or(&self, default: usize) -> usize {
        self.runs.unwrap_or(default)
    }

    pub(crate) fn parse(words: &[OsString]) -> Result<Words, NoWords> {
        let mut parsed = Words {
            modes: Vec::new(),
            folder: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("transfer"),
            trees: PathBuf::new(),
            runs: None,
            build: Build::this(),
            against: Vec::new(),
            verbose: false,
        };
        let mut trees = None;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                let wrong = || NoWords::Wrong(format!("{} needs a value", word.display()));
                words.next().ok_or_else(wrong)
            };
            match word.to_str().unwrap_or_default() {
                // cargo says this.
                "--bench" => {}
                "--help" | "-h" => return Err(NoWords::Help),
                "--dir" => parsed.folder = std::path::absolute(value()?)?,
                "--trees" => trees = Some(std::path::absolute(value()?)?),
                "--verbose" => parsed.verbose = true,
                "--runs" => {
                    let runs = value()?.to_str().and_then(|runs| runs.parse().ok());
                    let runs = runs.filter(|runs| *runs > 0);
                    let wrong = || NoWords::Wrong("--runs needs a number".to_owned());
                    parsed.runs = Some(runs.ok_or_else(wrong)?);
                }
                "--program" => parsed.build.path = PathBuf::from(value()?).canonicalize()?,
                "--against" => {
                    let path = PathBuf::from(value()?).canonicalize()?;
                    let label = format!(" against {}", parsed.against.len() + 1);
                    parsed.against.push(Build { label, path });
                }
                mode => match MODES.iter().find(|(name, _)| *name == mode) {
                    Some((_, mode)) => parsed.modes.push(*mode),
                    None => return Err(NoWords::Wrong(format!("what is {}?", word.display()))),
                },
            }
        }
        if parsed.modes.is_empty() {
            parsed.modes = vec![Mode::Small, Mode::Large];
        }
        parsed.trees = trees.unwrap_or_else(|| parsed.folder.clone());
        let in_turn = |mode: &Mode| matches!(mode, Mode::Small | Mode::Large);
        if !parsed.against.is_empty() && !parsed.modes.iter().all(in_turn) {
            let what = "--against is for small and large only".to_owned();
            return Err(NoWords::Wrong(what));
        }
        Ok(parsed)
    }
}
