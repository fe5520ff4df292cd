//! The command-line arguments of the benchmark.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use crate::load::Build;

/// A benchmark mode.
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

Modes (default: small and large):
  small        10,000 files of 2 to 3.7 KB, against the floor
  large        768 MiB in 48 files, text and random bytes, against the floor
  latency      a sink with a latency of 0, 10 and 50 ms: adaptive against fixed concurrency
  throttle     a sink that responds 503 above a rate
  slow-source  a source whose calls take 0.3, 1 and 2 ms (FUSE; needs root)
  million      1,000,000 entries against 10,000; resume times
  wide         one folder with 1,000,000 files
  slow-sink    peak memory with a slow sink
  peers        azcopy and rclone, if on the PATH

--dir FOLDER       the folder of states and trees; use the disk to measure
--trees FOLDER     another folder for trees, such as a tmpfs, which makes reads free
--runs N           runs of each variant; the table shows medians [default: 3 for small,
                   large and peers, otherwise 1]
--program PROGRAM  the build of clfsload to measure [default: the one built with the benchmark]
--against PROGRAM  another build of clfsload to measure in turn (small and large only)
--verbose          print each run to standard error
";

/// The parsed arguments.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) modes: Vec<Mode>,
    /// The folder of states.
    pub(crate) folder: PathBuf,
    /// The folder of trees.
    pub(crate) trees: PathBuf,
    pub(crate) runs: Option<usize>,
    pub(crate) build: Build,
    /// Further builds that run in turn with it.
    pub(crate) against: Vec<Build>,
    pub(crate) verbose: bool,
}

/// The reason to measure nothing.
#[derive(Debug)]
pub(crate) enum ParseError {
    /// `--help` was given.
    Help,
    /// An invalid argument.
    Invalid(String),
}

impl From<io::Error> for ParseError {
    fn from(error: io::Error) -> Self {
        ParseError::Invalid(error.to_string())
    }
}

impl Arguments {
    /// Returns the number of runs of each variant: that of `--runs`, or `default`.
    pub(crate) fn runs_or(&self, default: usize) -> usize {
        self.runs.unwrap_or(default)
    }

    pub(crate) fn parse(arguments: &[OsString]) -> Result<Arguments, ParseError> {
        let mut parsed = Arguments {
            modes: Vec::new(),
            folder: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("transfer"),
            trees: PathBuf::new(),
            runs: None,
            build: Build::this(),
            against: Vec::new(),
            verbose: false,
        };
        let mut trees = None;
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let missing =
                    || ParseError::Invalid(format!("{} needs a value", argument.display()));
                arguments.next().ok_or_else(missing)
            };
            match argument.to_str().unwrap_or_default() {
                // cargo bench passes this.
                "--bench" => {}
                "--help" | "-h" => return Err(ParseError::Help),
                "--dir" => parsed.folder = std::path::absolute(value()?)?,
                "--trees" => trees = Some(std::path::absolute(value()?)?),
                "--verbose" => parsed.verbose = true,
                "--runs" => {
                    let runs = value()?.to_str().and_then(|runs| runs.parse().ok());
                    let runs = runs.filter(|runs| *runs > 0);
                    let invalid =
                        || ParseError::Invalid("--runs needs a number above 0".to_owned());
                    parsed.runs = Some(runs.ok_or_else(invalid)?);
                }
                "--program" => parsed.build.path = PathBuf::from(value()?).canonicalize()?,
                "--against" => {
                    let path = PathBuf::from(value()?).canonicalize()?;
                    let label = format!(" against {}", parsed.against.len() + 1);
                    parsed.against.push(Build { label, path });
                }
                mode => match MODES.iter().find(|(name, _)| *name == mode) {
                    Some((_, mode)) => parsed.modes.push(*mode),
                    None => {
                        return Err(ParseError::Invalid(format!(
                            "unknown mode or option: {}",
                            argument.display()
                        )));
                    }
                },
            }
        }
        if parsed.modes.is_empty() {
            parsed.modes = vec![Mode::Small, Mode::Large];
        }
        parsed.trees = trees.unwrap_or_else(|| parsed.folder.clone());
        let is_compared = |mode: &Mode| matches!(mode, Mode::Small | Mode::Large);
        if !parsed.against.is_empty() && !parsed.modes.iter().all(is_compared) {
            let message = "--against applies to small and large only".to_owned();
            return Err(ParseError::Invalid(message));
        }
        Ok(parsed)
    }
}
