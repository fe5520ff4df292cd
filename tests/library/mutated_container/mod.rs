//! Reading randomly mutated containers does not panic and always finishes. The fuzz target `container` uses the
//! same code. Inputs that once failed are stored in `fuzz/regressions/container`.

mod mutate;
mod read_all;

use std::path::Path;

use mutate::{base, mutate};
use read_all::read_all;

use crate::support::synthetic;

const INPUTS: u64 = 250;

#[test]
fn the_unmutated_container_is_valid() {
    read_all(&base());
    assert!(base().len() > 20);
}

#[test]
fn random_mutations_never_panic() {
    let base = base();
    for seed in 0..INPUTS {
        let mut random = fastrand::Rng::with_seed(seed);
        let steps = 1 + (seed as usize % 8);
        let input: Vec<u8> = (0..6 * steps).map(|_| random.u8(..)).collect();
        read_all(&mutate(&base, &input));
    }
}

#[test]
fn inputs_that_once_failed_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions/container");
    let base = base();
    for file in std::fs::read_dir(folder).unwrap() {
        let input = std::fs::read(file.unwrap().path()).unwrap();
        read_all(&mutate(&base, &input));
    }
}
