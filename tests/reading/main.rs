//! The commands ls, stat, cat, du and find, run as users run them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cat;
mod damage;
mod documentation;
mod golden;
mod listing;
mod names;
mod one_blob;
mod requests;
mod searching;
#[path = "../support/mod.rs"]
mod support;
mod words;
