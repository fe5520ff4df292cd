//! The reading core: the index of names, content of files, walks; on containers in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../checker_damage/synthetic.rs"]
#[allow(dead_code)]
mod synthetic;

mod awkward;
mod content;
mod fixture;
mod index;
mod walk;
