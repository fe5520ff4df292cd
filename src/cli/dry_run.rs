//! `--dry-run`: surveys the source instead of loading it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory};
use clfs_format::Compression;

use super::args::address;
use super::arguments::{Arguments, CompressionKind, explain};
use super::command::stop_on_signals;
use super::dry_run_report::{Report, Tree};
use super::{Failure, Status, raise_descriptor_limit, terminal};
use crate::container::ContainerLocation;
use crate::container::credential::sas::SasToken;
use crate::load::{LoadError, check_parents, check_places};
use crate::state::{State, StateError};
use crate::survey::{SurveyError, SurveyOptions, Synthetic, survey};

const DRY_RUN: &str = "dry-run";
const JSON: &str = "json";
const GIGABYTES: &str = "dry-run-gb";
const COUNT: &str = "dry-run-count";

const ABOUT: &str = "\
Reports the contents of a source, the entries that would fail, and the cost of its load.

The source is scanned as a load scans it, and up to 200 MiB of its content are read and compressed. Only temporary files \
are written (in TMPDIR, about 150 bytes for each entry), and no request is sent to a container. The arguments and options \
of a load are also accepted: they are checked, and the state folder and the container are not touched.";

const AFTER: &str = "\
Exit status: 0 no entry would fail; 3 some entries would fail; 1 the source cannot be read, or the dry run
was stopped; 2 the command line is wrong.";

/// Whether the arguments of the command contain an option of the dry run.
pub(super) fn is_requested(arguments: impl Iterator<Item = OsString>) -> bool {
    let options = ["--dry-run", "--dry_run", "--dry_run_gb", "--dry-run-gb"];
    let counts = ["--dry_run_count", "--dry-run-count"];
    let mut arguments = arguments.skip(1).take_while(|argument| argument != "--");
    arguments.any(|argument| {
        let argument = argument.to_string_lossy();
        let option = argument.split('=').next().unwrap_or_default();
        options.contains(&option) || counts.contains(&option)
    })
}

/// The command line of a load with fewer required arguments, and the options of a dry run.
fn command() -> Command {
    let option = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    Arguments::command()
        .about("Reports the cost of a load")
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
            option(DRY_RUN, "Report what a load would do, and load nothing")
                .alias("dry_run")
                .action(ArgAction::SetTrue),
        )
        .arg(
            option(JSON, "Print one JSON object instead of lines (fields: docs/dry-run.md)")
                .action(ArgAction::SetTrue),
        )
        .arg(
            option(
                GIGABYTES,
                "Read no source: estimate for files of GB gigabytes (10^9 bytes) in total; needs \
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
                "The number of these files, each of GB / N gigabytes, in directories of 1,000; needs \
                 --dry_run_gb",
            )
            .visible_alias("dry_run_count")
            .value_name("N")
            .requires(GIGABYTES)
            .value_parser(clap::value_parser!(u64).range(1..)),
        )
}

/// Parses gigabytes such as `12` or `0.5` into bytes.
fn gigabytes(word: &str) -> Result<u64, String> {
    let gigabytes: f64 = word
        .parse()
        .map_err(|_| "expected a number of gigabytes".to_owned())?;
    let bytes = gigabytes * 1e9;
    match (0.0..9e18).contains(&bytes) {
        true => Ok(bytes.round() as u64),
        false => Err("expected a number from 0 to 9 * 10^9".to_owned()),
    }
}

/// Runs a dry run with the arguments of the process.
pub(super) fn run() -> Result<Status, Failure> {
    let mut command = command();
    let arguments = match command.try_get_matches_from_mut(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => return Ok(explain(&error)),
    };
    let json = arguments.get_flag(JSON);
    let print = |tree, estimate| {
        let bandwidth = arguments.get_one("bandwidth_limit").copied();
        let report = Report {
            tree,
            estimate,
            bandwidth,
        };
        match json {
            true => terminal::out(&report.json().to_string()),
            false => report.lines().iter().for_each(|line| terminal::out(line)),
        }
    };
    if let (Some(bytes), Some(files)) = (arguments.get_one(GIGABYTES), arguments.get_one(COUNT)) {
        let tree = Synthetic {
            bytes: *bytes,
            files: *files,
        };
        print(Tree::Synthetic(tree), tree.estimate());
        return Ok(Status::Done);
    }
    let Some(source) = source(&arguments)? else {
        let error = command.error(
            ErrorKind::MissingRequiredArgument,
            "a dry run needs SOURCE, or STATE_DIR SOURCE ACCOUNT CONTAINER",
        );
        return Ok(explain(&error));
    };
    let mut options = SurveyOptions::new(source);
    options.preserve_hardlinks = arguments
        .get_one("preserve_hardlinks")
        .copied()
        .unwrap_or_default();
    options.compression = arguments
        .get_one::<CompressionKind>("compression")
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
    let status = match survey.fails() {
        true => Status::Problems,
        false => Status::Done,
    };
    let estimate = survey.estimate;
    print(Tree::Source(Box::new(survey)), estimate);
    Ok(status)
}

/// The source: the only argument, or the second one of a load, whose other arguments are checked.
fn source(arguments: &ArgMatches) -> Result<Option<PathBuf>, Failure> {
    let path = |name| arguments.get_one::<PathBuf>(name).map(PathBuf::as_path);
    let text = |name| arguments.get_one::<String>(name).map(String::as_str);
    match (
        path("state"),
        path("source"),
        text("account"),
        text("container"),
    ) {
        (Some(source), None, ..) => Ok(Some(source.to_path_buf())),
        (Some(state), Some(source), Some(account), Some(container)) => {
            if arguments.get_flag("new") && State::exists(state) {
                return Err(LoadError::from(StateError::Exists(state.to_path_buf())).into());
            }
            let endpoint = text("blob_endpoint");
            let location =
                address::of_load(account, container, endpoint).map_err(Failure::usage)?;
            // A dry run needs no token, but reports an error in one that is an argument.
            let token = text("sas").filter(|token| *token != "-");
            if let (ContainerLocation::Azure { .. }, Some(token)) = (&location, token) {
                SasToken::parse(token).map_err(Failure::usage)?;
            }
            check_places(source, state, &location).map_err(LoadError::from)?;
            if !State::exists(state) {
                check_parents(state, Some(&location)).map_err(LoadError::from)?;
            }
            Ok(Some(source.to_path_buf()))
        }
        _ => Ok(None),
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn only_its_options_select_a_dry_run() {
        let requested = |arguments: &[&str]| is_requested(arguments.iter().map(OsString::from));
        for argument in [
            "--dry-run",
            "--dry_run",
            "--dry_run_gb=3",
            "--dry_run_count",
            "--dry-run-gb",
            "--dry-run-count=5",
        ] {
            assert!(requested(&["clfsload", "--new", argument]), "{argument}");
        }
        assert!(!requested(&["--dry-run", "state"]), "the program's name");
        assert!(!requested(&["clfsload", "--", "--dry-run"]));
        assert!(!requested(&["clfsload", "dry-run", "--dry"]));
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
