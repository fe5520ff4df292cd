//! What meets somebody who has not used the command before: what it tells of itself, and what it says to
//! words that are nearly right.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod examples;
mod mistakes;
mod pages;
