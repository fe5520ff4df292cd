//! The reading core: the index of names, content of files, walks; on containers in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../checker_damage/kinds.rs"]
mod kinds;
#[path = "../checker_damage/synthetic.rs"]
#[allow(dead_code)]
mod synthetic;

mod awkward;
mod content;
mod fixture;
mod identity;
mod index;
mod walk;
