//! `--dry-run`: a survey of the source instead of a load.

use std::ffi::OsString;
use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory};
use clfs_format::Compression;

use super::arguments::{Arguments, CompressionWord, explain};
use super::command::stop_on_signals;
use super::dry_run_report::{Report, Tree};
use super::{Failure, Status, raise_descriptor_limit, terminal};
use crate::container::location::{ContainerLocation, LocationError};
use crate::container::sas::SasToken;
use crate::load::{LoadError, check_parents, check_places};
use crate::state::{State, StateError};
use crate::survey::{SurveyError, SurveyOptions, Synthetic, survey, synthetic};

const DRY_RUN: &str = "dry-run";
const JSON: &str = "json";
const GIGABYTES: &str = "dry-run-gb";
const COUNT: &str = "dry-run-count";

const ABOUT: &str = "\
Tells what is in a source, what of it would fail, and what its load would take.

The source is scanned as a load scans it, and up to about 220 MiB of its content are read and compressed. Nothing is \
written but temporary files (in TMPDIR, some 150 bytes for each entry), and no container is asked. The words and \
options of a load may stand there too: they are checked, and the state folder and the container are left alone.";

const AFTER: &str = "\
Exit status: 0 nothing would fail; 3 some entries would; 1 the source cannot be read, or stopped;
2 the command is wrong.";

/// Whether the words of a command ask for a dry run.
pub(super) fn is_asked(words: impl Iterator<Item = OsString>) -> bool {
    let options = ["--dry-run", "--dry_run", "--dry_run_gb", "--dry-run-gb"];
    let counts = ["--dry_run_count", "--dry-run-count"];
    let mut words = words.skip(1).take_while(|word| word != "--");
    words.any(|word| {
        let word = word.to_string_lossy();
        let option = word.split('=').next().unwrap_or_default();
        options.contains(&option) || counts.contains(&option)
    })
}

/// The words of a load, of which fewer are needed, and those of a dry run.
fn command() -> Command {
    let option = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    Arguments::command()
        .about("Tells what a load would take")
        .long_about(ABOUT)
        .override_usage(
            "clfsload --dry-run SOURCE\n       \
             clfsload --dry-run STATE_DIR SOURCE ACCOUNT CONTAINER [SAS_TOKEN]\n       \
             clfsload --dry-run --dry_run_gb GB --dry_run_count N",
        )
        .after_help(AFTER)
        .mut_args(|argument| match argument.is_positional() {
            true => argument.required(false),
            false => argument,
        })
        .arg(
            option(DRY_RUN, "Tell what a load would do, and do nothing")
                .alias("dry_run")
                .action(ArgAction::SetTrue),
        )
        .arg(
            option(JSON, "One JSON object instead of lines (docs/dry-run.md has its fields)")
                .action(ArgAction::SetTrue),
        )
        .arg(
            option(
                GIGABYTES,
                "Read no source, but estimate for files of GB gigabytes (10^9 bytes) together; needs \
                 --dry_run_count",
            )
            .visible_alias("dry_run_gb")
            .value_name("GB")
            .requires(COUNT)
            .value_parser(gigabytes),
        )
        .arg(
            option(
                COUNT,
                "The same: so many files, each of GB / N gigabytes, in directories of 1,000; needs \
                 --dry_run_gb",
            )
            .visible_alias("dry_run_count")
            .value_name("N")
            .requires(GIGABYTES)
            .value_parser(clap::value_parser!(u64).range(1..)),
        )
}

/// Takes `12`, `0.5`: bytes, from gigabytes.
fn gigabytes(word: &str) -> Result<u64, String> {
    let gigabytes: f64 = word
        .parse()
        .map_err(|_| "a number of gigabytes is possible".to_owned())?;
    let bytes = gigabytes * 1e9;
    match (0.0..9e18).contains(&bytes) {
        true => Ok(bytes.round() as u64),
        false => Err("a number from 0 to 9 * 10^9 is possible".to_owned()),
    }
}

/// Runs it with the process's arguments.
pub(super) fn run() -> Result<Status, Failure> {
    let mut command = command();
    let words = match command.try_get_matches_from_mut(std::env::args_os()) {
        Ok(words) => words,
        Err(error) => return Ok(explain(&error)),
    };
    let bandwidth = words.get_one::<NonZeroU64>("bandwidth_limit").copied();
    let json = words.get_flag(JSON);
    if let (Some(bytes), Some(files)) = (words.get_one(GIGABYTES), words.get_one(COUNT)) {
        let tree = Synthetic {
            bytes: *bytes,
            files: *files,
        };
        let estimate = synthetic(&tree);
        let report = Report {
            tree: Tree::Synthetic(&tree),
            estimate: &estimate,
            bandwidth,
        };
        report.print(json);
        return Ok(Status::Done);
    }
    let Some(source) = source(&words)? else {
        let error = command.error(
            ErrorKind::MissingRequiredArgument,
            "a dry run needs SOURCE, or STATE_DIR SOURCE ACCOUNT CONTAINER",
        );
        return Ok(explain(&error));
    };
    let mut options = SurveyOptions::new(source);
    options.preserve_hardlinks = words
        .get_one("preserve_hardlinks")
        .copied()
        .unwrap_or_default();
    options.compression = words
        .get_one::<CompressionWord>("compression")
        .map_or(Compression::Lz4, |word| word.compression());
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure {
            message: format!("the threads could not be started: {error}"),
            status: Status::Failed,
        })?;
    stop_on_signals(&runtime, &options.stop);
    let survey = survey(&options)?;
    let report = Report {
        tree: Tree::Source(&survey),
        estimate: &survey.estimate,
        bandwidth,
    };
    report.print(json);
    Ok(match survey.fails() {
        true => Status::Problems,
        false => Status::Done,
    })
}

/// The source: the only word, or the second of a load's, whose others must make sense.
fn source(words: &ArgMatches) -> Result<Option<PathBuf>, Failure> {
    let path = |name| words.get_one::<PathBuf>(name).map(PathBuf::as_path);
    let text = |name| words.get_one::<String>(name).map(String::as_str);
    match (
        path("state"),
        path("source"),
        text("account"),
        text("container"),
    ) {
        (Some(source), None, ..) => Ok(Some(source.to_path_buf())),
        (Some(state), Some(source), Some(account), Some(container)) => {
            let endpoint = text("blob_endpoint");
            let sas = text("sas").filter(|word| *word != "-");
            if words.get_flag("new") && State::exists(state) {
                return Err(LoadError::from(StateError::Exists(state.to_path_buf())).into());
            }
            let location = location(account, container, sas, endpoint)?;
            check_places(source, state, location.as_ref()).map_err(LoadError::from)?;
            if !State::exists(state) {
                check_parents(state, location.as_ref()).map_err(LoadError::from)?;
            }
            Ok(Some(source.to_path_buf()))
        }
        _ => Ok(None),
    }
}

/// None for a container in Azure whose token is not at hand: it is not needed now.
fn location(
    account: &str,
    container: &str,
    sas: Option<&str>,
    endpoint: Option<&str>,
) -> Result<Option<ContainerLocation>, Failure> {
    let sas = match (account.starts_with("file:"), sas) {
        (false, Some(word)) => Some(SasToken::parse(word).map_err(Failure::usage)?),
        _ => None,
    };
    match ContainerLocation::parse(account, container, sas, endpoint) {
        Ok(location) => Ok(Some(location)),
        Err(LocationError::SasMissing(_)) => Ok(None),
        Err(error) => Err(Failure::usage(error)),
    }
}

impl From<SurveyError> for Failure {
    fn from(error: SurveyError) -> Self {
        let status = match &error {
            SurveyError::TemporaryInSource(_) => Status::Usage,
            _ => Status::Failed,
        };
        Failure {
            message: error.to_string(),
            status,
        }
    }
}

impl Report<'_> {
    fn print(&self, json: bool) {
        match json {
            true => terminal::out(&self.json().to_string()),
            false => self.lines().iter().for_each(|line| terminal::out(line)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_words_fit_together() {
        command().debug_assert();
    }

    #[test]
    fn a_dry_run_is_asked_for_by_its_options_only() {
        let asked = |words: &[&str]| is_asked(words.iter().map(OsString::from));
        for word in [
            "--dry-run",
            "--dry_run",
            "--dry_run_gb=3",
            "--dry_run_count",
            "--dry-run-gb",
            "--dry-run-count=5",
        ] {
            assert!(asked(&["clfsload", "--new", word]), "{word}");
        }
        assert!(!asked(&["--dry-run", "state"]), "the program's name");
        assert!(!asked(&["clfsload", "--", "--dry-run"]));
        assert!(!asked(&["clfsload", "dry-run", "--dry"]));
    }

    #[test]
    fn gigabytes_are_numbers() {
        assert_eq!(gigabytes("12"), Ok(12_000_000_000));
        assert_eq!(gigabytes("0.5"), Ok(500_000_000));
        for word in ["", "x", "-1", "nan", "inf", "1e10"] {
            assert!(gigabytes(word).is_err(), "{word}");
        }
    }
}
