//! `clfsload extract` with sound, damaged and hostile containers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;
#[path = "../checker_damage/synthetic.rs"]
#[allow(dead_code)]
mod synthetic;

mod damage;
mod disks;
mod fixture;
mod golden;
mod hostile;
mod limited;
mod limited_disk;
mod memory;
mod repair;
mod resume;
mod round_trip;
mod standing;
mod users;
mod words;
