//! The command line: its definition, values and hints.

pub(crate) mod address;
pub(crate) mod credential;
mod hint;
pub(crate) mod load;
pub(crate) mod location_hints;
pub(crate) mod values;
pub(crate) mod version;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::Status;
use super::commands::Command;
use super::output::terminal::{Prefix, err, message};
use crate::container::credential::sas::redacted;

pub(crate) use hint::for_load as hint_for_load;

const USAGE: &str = "\
clfsload COMMAND ...
       clfsload [--new] STATE_DIR SOURCE ACCOUNT CONTAINER [SAS_TOKEN]   (same as load)";

const EXAMPLES: &str = "\
Examples (without --new, a load resumes):
  clfsload load --new /var/t1 /mnt/data myaccount mycontainer --sas-token-file token
  clfsload load --dry-run /mnt/data   the contents of a tree, and the cost of its load
  clfsload load --help                the options of a command";

/// Without the options, so that the text fits a screen of 24 lines.
const TEMPLATE: &str = "\
{about}

{usage-heading} {usage}

Commands:
{subcommands}{after-help}";

/// Loads a folder into an Azure Blob container in CLFS format, and reads such containers
#[derive(Debug, Parser)]
#[command(
    name = "clfsload",
    version = version::version(),
    propagate_version = true,
    max_term_width = 100,
    override_usage = USAGE,
    help_template = TEMPLATE,
    after_help = EXAMPLES
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// Parses the arguments of the process. Prints help, the version, or why the arguments are wrong.
///
/// # Errors
/// The exit status, if there is no command to run.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, Status> {
    let arguments: Vec<OsString> = arguments.collect();
    match CommandLine::try_parse_from(with_command(arguments.clone())) {
        Ok(line) => Ok(line.command),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            // A closed pipe (`| head`) is not a failure.
            drop(error.print());
            Err(Status::Done)
        }
        Err(error) => {
            // Without the signature of a token in the wrong place.
            err(redacted(&error.to_string()).trim_end());
            if let Some(hint) = hint::for_arguments(&arguments, error.kind()) {
                message(Prefix::Hint, redacted(&hint));
            }
            Err(Status::Usage)
        }
    }
}

/// Arguments without a command are those of a load: the command line of the original.
fn with_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let first = arguments.get(1).and_then(|first| first.to_str());
    let is_complete = match first {
        Some("-h" | "--help" | "-V" | "--version" | "help") => true,
        Some(name) => is_command(name),
        None => arguments.len() < 2,
    };
    if !is_complete {
        arguments.insert(1, "load".into());
    }
    arguments
}

fn is_command(name: &str) -> bool {
    CommandLine::command().find_subcommand(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_valid() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn only_a_command_line_without_a_command_gets_load() {
        let with_command = |line: &str| {
            let arguments = line.split_whitespace().map(OsString::from).collect();
            with_command(arguments).join(" ".as_ref())
        };
        for line in [
            "clfsload",
            "clfsload --version",
            "clfsload help ls",
            "clfsload -h",
            "clfsload ls c",
            "clfsload load ls /s a c",
        ] {
            assert_eq!(with_command(line), line);
        }
        for (line, expected) in [
            ("clfsload --new t s a c", "clfsload load --new t s a c"),
            ("clfsload t s a c --new", "clfsload load t s a c --new"),
            ("clfsload ./ls s a c", "clfsload load ./ls s a c"),
            ("clfsload --dry_run s", "clfsload load --dry_run s"),
            ("clfsload -- t s a c", "clfsload load -- t s a c"),
        ] {
            assert_eq!(with_command(line), expected);
        }
    }
}
