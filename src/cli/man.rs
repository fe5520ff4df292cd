//! `clfsload man`: the pages of the manual.

use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;

use super::command::whole;
use super::{Failure, Status, terminal};

/// Writes the pages of the manual
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Folder for all pages, one for each command, made if it is not there [default: the page
    /// clfsload.1 goes to standard output]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  clfsload man | man -l -
  clfsload man ~/.local/share/man/man1";

pub(super) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let Some(folder) = &arguments.folder else {
        let mut page = Vec::new();
        Man::new(whole())
            .render(&mut page)
            .map_err(Failure::failed)?;
        return terminal::document(&page);
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(whole(), folder))
        .map_err(|error| Failure::failed(format!("{}: {error}", folder.display())))?;
    Ok(Status::Done)
}
