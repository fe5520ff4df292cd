//! Tests that call the library, and the tests of the independent checker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod checker_damage;
mod checker_golden;
mod container_azure;
mod container_contract;
mod layers;
mod mutated_container;
mod read_core;
mod source_trees;
mod verify;
