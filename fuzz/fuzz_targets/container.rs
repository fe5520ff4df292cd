//! Mutates a small container with the input, and reads it with every reading function.
#![no_main]

#[path = "../../tests/library/mutated_container/mutate.rs"]
mod mutate;
#[path = "../../tests/library/mutated_container/read_all.rs"]
mod read_all;
#[path = "../../tests/support/synthetic.rs"]
#[allow(dead_code)]
mod synthetic;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static BASE: LazyLock<mutate::Blobs> = LazyLock::new(mutate::base);

fuzz_target!(|input: &[u8]| {
    read_all::read_all(&mutate::mutate(&BASE, input));
});
