//! Whatever ends the process, and however often: the container that is finished at last is, byte
//! for byte, the one of an undisturbed run (docs/reliability.md).
//!
//! Needs debug assertions: a release build has no crash points.
#![cfg(debug_assertions)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../checker/mod.rs"]
mod checker;
#[path = "../support/mod.rs"]
mod support;

mod damaged_state;
mod deletions;
mod overlays;
mod points;
mod power_loss;
mod random_kills;
mod remounts;
mod requests;
mod signals;
mod transfer;
mod wrapper;
