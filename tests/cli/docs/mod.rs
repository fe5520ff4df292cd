//! The documentation is correct: its commands run, its links have targets, and it explains the messages of the
//! program.

mod commands;
mod links;
mod literals;
mod messages;
mod pages;
