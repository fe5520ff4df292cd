//! Tests that run the `clfsload` command as users do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

// A release build has no crash points.
#[cfg(debug_assertions)]
mod crashes;
mod docs;
mod dry_run;
mod extract;
mod first_contact;
mod limits;
mod load_tree;
mod outputs;
mod proxies;
mod reading;
mod refusals;
mod report;
mod resources;
mod secrets;
mod source_races;
mod status;
mod tokens;
mod wire_faults;
mod wire_outages;
