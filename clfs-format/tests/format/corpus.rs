//! Runs the checks of the fuzz targets on their seeds and on mutations of each seed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::decoders;

const MUTATIONS_PER_SEED: u32 = 2000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// Returns file names and contents, sorted by name.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(corpus().join(target)).unwrap();
    let mut seeds: Vec<_> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    seeds.sort();
    seeds
}

#[test]
fn seeds_decode_and_bad_seeds_do_not() {
    for (target, decoder) in decoders::ALL {
        let seeds = seeds(target);
        let good = seeds.iter().filter(|(name, _)| !name.starts_with("bad-"));
        assert!(good.count() >= 3, "{target}");
        for (name, seed) in seeds {
            // An input that fuzzing found has a hash as its name, and may decode or not.
            let from_fuzzing = name.len() == 40 && name.bytes().all(|b| b.is_ascii_hexdigit());
            let decoded = decoder(&seed);
            assert!(
                from_fuzzing || decoded != name.starts_with("bad-"),
                "{target}/{name}"
            );
        }
    }
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let mut dirs: Vec<_> = fs::read_dir(corpus())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    dirs.sort();
    let mut targets = decoders::ALL.map(|(target, _)| target.to_owned());
    targets.sort();
    assert_eq!(dirs, targets);
}

#[test]
fn mutations_never_panic() {
    for (target, decoder) in decoders::ALL {
        let seeds = seeds(target);
        let mut decoded = 0;
        let mut random = Random(0x5eed);
        for (_, seed) in &seeds {
            for _ in 0..MUTATIONS_PER_SEED {
                let other = &seeds[random.below(seeds.len())].1;
                let mutant = mutate(seed, other, &mut random);
                decoded += u32::from(decoder(&mutant));
            }
        }
        // Some mutations must pass the first checks, or this would test little. Few names do, because
        // the hash covers nearly all of their bytes.
        let all = MUTATIONS_PER_SEED * u32::try_from(seeds.len()).unwrap();
        println!("{target}: {decoded} of {all} mutations decode");
        assert!(decoded > 100, "{target}: {decoded} of {all} decode");
        assert!(decoded < all, "{target}: all decode");
    }
}

/// Returns the seed with one to three changes.
fn mutate(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let number: u32 = [0, 1, 2, 7, 0xff, 0x7fff_ffff, u32::MAX, 1 << 20][random.below(8)];
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => {
                bytes.insert(at, number.to_le_bytes()[0]);
            }
            2 => {
                let end = bytes.len().min(at + 1 + random.below(8));
                bytes.drain(at..end);
            }
            3 => {
                let from = random.below(other.len() + 1);
                let end = bytes.len().min(at + random.below(64));
                bytes.splice(at..end, other[from..].iter().copied().take(end - at));
            }
            4 => overwrite(&mut bytes, at, &number.to_le_bytes()),
            5 => overwrite(&mut bytes, at / 4 * 4, &number.to_le_bytes()),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (byte, value) in bytes.iter_mut().skip(at).zip(with) {
        *byte = *value;
    }
}

/// A xorshift generator, which returns the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}
