//! The commands ls, stat, cat, du and find, run as users run them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod archived;
mod cat;
mod damage;
mod documentation;
mod golden;
#[path = "../checker_damage/kinds.rs"]
#[allow(dead_code)]
mod kinds;
mod listing;
mod names;
mod one_blob;
mod requests;
mod searching;
#[path = "../support/mod.rs"]
mod support;
mod swapped;
#[path = "../checker_damage/synthetic.rs"]
#[allow(dead_code)]
mod synthetic;
mod words;
