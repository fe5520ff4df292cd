//! `--dry-run`: its figures are those of the tree, its estimate is what a load then takes, and it
//! writes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod estimates;
mod figures;
mod problems;
mod surveyed;
mod words;
