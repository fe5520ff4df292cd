//! The documentation is correct: its commands run, its links have targets, the tests that it cites exist, and it explains
//! the messages of the program.

mod cited_tests;
mod commands;
mod links;
mod literals;
mod messages;
mod pages;
