//! `--dry-run`: its figures agree with the tree, its estimate agrees with a load, and it writes
//! nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod estimates;
mod figures;
mod problems;
mod surveyed;
mod words;
