//! Code that the test binaries share. Each binary compiles all of it and uses a part.
#![allow(dead_code, unreachable_pub, unused_imports)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod azurite;
pub mod command;
pub mod counting;
pub mod fault_proxy;
pub mod faulty_source;
pub mod golden;
pub mod kinds;
pub mod mounts;
pub mod sink;
pub mod skip;
pub mod synthetic;
pub mod tree;
pub mod wire;
