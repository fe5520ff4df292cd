//! The commands, one file each.

mod cat;
mod completions;
mod dry_run;
mod du;
mod extract;
mod find;
mod load;
mod ls;
mod man;
mod report;
mod stat;
mod status;
mod verify;
mod visit;

use clap::Subcommand;

use super::args::load::LoadArguments;
use super::{Failure, Status};

pub(crate) use load::exit_status;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Load(Box<LoadArguments>),
    Ls(ls::Arguments),
    Stat(stat::Arguments),
    Cat(cat::Arguments),
    Du(du::Arguments),
    Find(find::Arguments),
    Extract(extract::Arguments),
    Verify(verify::Arguments),
    Status(status::Arguments),
    Report(report::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

pub(crate) fn run(command: &Command) -> Result<Status, Failure> {
    match command {
        Command::Load(arguments) if arguments.dry_run.is_requested() => dry_run::run(arguments),
        Command::Load(arguments) => load::run(arguments),
        Command::Ls(arguments) => ls::run(arguments),
        Command::Stat(arguments) => stat::run(arguments),
        Command::Cat(arguments) => cat::run(arguments),
        Command::Du(arguments) => du::run(arguments),
        Command::Find(arguments) => find::run(arguments),
        Command::Extract(arguments) => extract::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::Completions(arguments) => completions::run(arguments),
        Command::Man(arguments) => man::run(arguments),
    }
}
