//! To be written.

use super::command::ContainerWords;
use super::{Failure, Status};

/// To be written
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: ContainerWords,
}

pub(super) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let session = arguments.place.open(true)?;
    drop((
        session.reader,
        session.location,
        session.stop,
        session.runtime,
    ));
    Ok(Status::Done)
}
