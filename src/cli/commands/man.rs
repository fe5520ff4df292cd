//! `clfsload man`: the manual pages.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Arg, Args, Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::args::CommandLine;
use crate::cli::args::version::day;
use crate::cli::output::terminal;
use crate::cli::{Failure, Status};

/// Writes the manual pages
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Folder for the pages of all commands [default: clfsload.1 to standard output]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  clfsload man | man -l -
  clfsload man ~/.local/share/man/man1";

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let mut command = prepared(CommandLine::command().disable_help_subcommand(true));
    command.build();
    let Some(folder) = &arguments.folder else {
        let mut text = Vec::new();
        page(&command).render(&mut text).map_err(Failure::failed)?;
        return terminal::document(&text);
    };
    let failed = |error| Failure::failed(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    for page_of in std::iter::once(&command).chain(command.get_subcommands()) {
        page(page_of).generate_to(folder).map_err(failed)?;
    }
    Ok(Status::Done)
}

fn page(command: &Command) -> Man {
    Man::new(command.clone())
        .date(day().unwrap_or_default())
        .source(concat!("clfsload ", env!("CARGO_PKG_VERSION")))
        .manual("CLFS containers")
}

/// Shows all options on the page, and the possible values of an option in place of the name of its value: a separate
/// list would take a line for each value.
fn prepared(command: Command) -> Command {
    command
        .mut_args(|argument| {
            let values = values(&argument);
            let argument = argument.hide_short_help(false);
            match values.is_empty() {
                true => argument,
                false => argument
                    .value_name(values.join("|"))
                    .hide_possible_values(true),
            }
        })
        .mut_subcommands(prepared)
}

fn values(argument: &Arg) -> Vec<String> {
    let shown = argument.get_action().takes_values() && !argument.is_hide_possible_values_set();
    let values = match shown {
        true => argument.get_possible_values(),
        false => Vec::new(),
    };
    let names = values.iter().map(PossibleValue::get_name);
    names.map(str::to_owned).collect()
}
