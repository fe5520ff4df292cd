//! The documentation is true: its commands run, its links lead somewhere, and the messages that it explains are
//! those of the program.

mod commands;
mod links;
mod literals;
mod messages;
mod pages;
