//! Tests that mount file systems, which requires root: faulty sources (FUSE), full disks, loop devices. Tests of
//! other binaries that need root for one step are in their folders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod disk_full;
mod failing_entries;
mod overlays;
mod remounts;
mod source_slow;
mod source_stalls;
