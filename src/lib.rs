//! Loads a POSIX tree into an Azure Blob container in CLFS format.

pub mod cli;
pub mod container;
pub mod crash_point;
pub mod entry;
pub mod events;
pub mod extract;
pub mod identity;
pub mod load;
pub mod loss;
pub mod problem;
mod process_limits;
pub mod progress;
pub mod read;
pub mod report;
pub mod source;
pub mod state;
pub mod stop;
pub mod survey;
pub mod text;
pub mod verify;
