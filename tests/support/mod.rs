//! What integration tests share. Each of them is a crate of its own and uses another part of this.
#![allow(dead_code, unreachable_pub, unused_imports)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod azurite;
pub mod command;
pub mod fault_proxy;
pub mod faulty_source;
pub mod golden;
pub mod mounts;
pub mod sink;
pub mod tree;
pub mod wire;
