//! The estimate compared with a load.

use std::path::Path;

use clfsload::survey::{self, SurveyOptions};
use serde_json::Value;

use super::surveyed::{number, survey as surveyed};
use crate::support::command::{CommandOutput, Scratch, clfsload};
use crate::support::tree;

/// Returns the number of blobs of the container, and their bytes except those of the log, which grows with every run.
fn stored(container: &Path) -> (u64, u64) {
    let (mut blobs, mut bytes) = (0, 0);
    for blob in std::fs::read_dir(container).unwrap() {
        let blob = blob.unwrap();
        blobs += 1;
        if blob.file_name() != "output.txt" {
            bytes += blob.metadata().unwrap().len();
        }
    }
    (blobs, bytes)
}

#[track_caller]
fn assert_near(what: &str, estimated: u64, found: u64, percent: u64) {
    let off = estimated.abs_diff(found) as f64 * 100.0 / found as f64;
    println!("{what}: {estimated} estimated, {found} loaded: {off:.2} % off");
    assert!(off <= percent as f64, "{what}: {estimated}, not {found}");
}

/// Surveys and loads the source. Requests must be equal, bytes within `percent`.
#[track_caller]
fn compare(scratch: &Scratch, options: &[&str], percent: u64) -> Value {
    let report = surveyed(scratch, options, 0);
    let name = format!("t{}", options.concat().to_lowercase());
    scratch.load(&name, options).expect(0);
    let (blobs, bytes) = stored(&scratch.container(&name));
    assert_eq!(number(&report, "/estimate/puts"), blobs, "{options:?}");
    assert_near(
        &format!("{options:?}"),
        number(&report, "/estimate/bytes"),
        bytes,
        percent,
    );
    report
}

fn state_bytes(scratch: &Scratch, name: &str) -> u64 {
    let database = scratch.path(name).join("state.db");
    std::fs::metadata(database).unwrap().len()
}

#[test]
fn the_full_tree_is_estimated_as_it_is_loaded() {
    let scratch = Scratch::in_memory();
    tree::full(&scratch.source());
    for (options, percent) in [
        (["--compression", "LZ4", "--preserve-hardlinks", "0"], 2),
        (["--compression", "LZ4", "--preserve-hardlinks", "1"], 2),
        (
            ["--compression", "disabled", "--preserve-hardlinks", "0"],
            0,
        ),
        // The padding of further back pointers is not counted.
        (
            ["--compression", "disabled", "--preserve-hardlinks", "1"],
            1,
        ),
    ] {
        let report = compare(&scratch, &options, percent);
        let name = format!("t{}", options.concat().to_lowercase());
        assert_near(
            "state",
            number(&report, "/estimate/database_bytes"),
            state_bytes(&scratch, &name),
            10,
        );
        if options[1] == "disabled" {
            let plain = number(&report, "/estimate/bytes_uncompressed");
            assert!(plain.abs_diff(number(&report, "/estimate/bytes")) < 1000);
            assert_eq!(number(&report, "/estimate/bytes_sampled"), 0);
        }
    }
}

/// Returns words in random order, which LZ4 compresses.
fn text(random: &mut fastrand::Rng, bytes: usize) -> Vec<u8> {
    const WORDS: [&str; 12] = [
        "storage ",
        "administrator ",
        "of ",
        "a ",
        "cache ",
        "segment ",
        "inode ",
        "container ",
        "pointer\n",
        "0.5772156649 ",
        "the ",
        "temperature ",
    ];
    let mut text = Vec::with_capacity(bytes + 16);
    while text.len() < bytes {
        text.extend_from_slice(WORDS[random.usize(..WORDS.len())].as_bytes());
    }
    text.truncate(bytes);
    text
}

/// There are too many files to read all, so the estimate uses a sample.
#[test]
fn text_and_random_data_are_estimated_from_a_sample() {
    let scratch = Scratch::in_memory();
    let mut random = fastrand::Rng::with_seed(5);
    for directory in 0..5 {
        let directory = scratch.source().join(format!("d{directory}"));
        std::fs::create_dir(&directory).unwrap();
        for file in 0..800 {
            let bytes = match file % 2 {
                0 => random.usize(..16_000),
                _ => random.usize(17_000..120_000),
            };
            let content = match file % 3 {
                0 => (0..bytes).map(|_| random.u8(..)).collect(),
                _ => text(&mut random, bytes),
            };
            std::fs::write(directory.join(format!("file-{file}")), content).unwrap();
        }
    }
    let surveyed = || {
        let mut options = SurveyOptions::new(scratch.source());
        options.sample_bytes = 32 << 20;
        survey::survey(&options).unwrap()
    };
    let found = surveyed();
    scratch.load("t", &[]).expect(0);
    let (blobs, bytes) = stored(&scratch.container("t"));
    assert_eq!(found.estimate.puts.total(), blobs);
    assert_near("sampled", found.estimate.bytes, bytes, 3);
    let (_, all) = found.files();
    let read = found.estimate.bytes_sampled;
    assert!(read > 16 << 20, "{read} bytes were read");
    assert!(read < all / 2, "{read} of {all} bytes were read");
    let margin = found.estimate.margin;
    assert!(margin > 0 && margin < bytes / 5, "{margin} of {bytes}");
    // The sample is the same in each run.
    assert_eq!(surveyed().estimate, found.estimate);
}

/// Trees of one kind each. docs/dry-run.md quotes the results and the limits.
#[test]
fn each_kind_of_tree_is_estimated_with_the_documented_accuracy() {
    type Fill = fn(&Path, &mut fastrand::Rng);
    let small: Fill = |source, random| {
        for number in 0..1500 {
            let bytes = random.usize(..8000);
            std::fs::write(source.join(format!("f{number}")), text(random, bytes)).unwrap();
        }
    };
    let large: Fill = |source, random| {
        for number in 0..4 {
            let content = match number % 2 {
                0 => text(random, 12 << 20),
                _ => std::iter::repeat_with(|| random.u8(..))
                    .take(12 << 20)
                    .collect(),
            };
            std::fs::write(source.join(format!("f{number}")), content).unwrap();
        }
    };
    let wide: Fill = |source, _| {
        for number in 0..20_000 {
            std::fs::write(source.join(format!("file-{number:06}")), b"").unwrap();
        }
    };
    let deep: Fill = |source, random| {
        let mut path = source.to_path_buf();
        for level in 0..400 {
            path.push(format!("d{level}"));
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("file"), text(random, 500)).unwrap();
        }
    };
    let long_names: Fill = |source, random| {
        for number in 0..1500 {
            let mut name = format!("{number:06}");
            name.extend(std::iter::repeat_with(|| random.alphanumeric()).take(194));
            std::fs::write(source.join(name), b"x").unwrap();
        }
    };
    let links: Fill = |source, random| {
        for directory in ["a", "b", "c"] {
            std::fs::create_dir(source.join(directory)).unwrap();
        }
        for number in 0..1000 {
            let file = source.join(format!("a/f{number}"));
            std::fs::write(&file, text(random, 900)).unwrap();
            std::fs::hard_link(&file, source.join(format!("b/g{number}"))).unwrap();
            std::os::unix::fs::symlink(
                format!("../a/f{number}"),
                source.join(format!("c/s{number}")),
            )
            .unwrap();
        }
    };
    // The ids in a container are random, so small inodes of one load are up to 3 % smaller than those of another.
    for (name, fill, percent) in [
        ("small files", small, 2),
        ("large files", large, 1),
        ("wide", wide, 5),
        ("deep", deep, 5),
        ("long names", long_names, 5),
        ("links", links, 5),
    ] {
        let scratch = Scratch::in_memory();
        fill(&scratch.source(), &mut fastrand::Rng::with_seed(11));
        println!("{name}:");
        let report = compare(&scratch, &["--preserve_hardlinks", "1"], percent);
        println!("  margin {}", number(&report, "/estimate/bytes_margin"));
    }
}

#[test]
fn a_synthetic_tree_is_estimated_accurately() {
    let scratch = Scratch::in_memory();
    let names = scratch.source();
    for (directory, files) in [(0, 1000), (1, 1000), (2, 500)] {
        let directory = names.join(format!("directory-0{directory}"));
        std::fs::create_dir(&directory).unwrap();
        for file in 0..files {
            let file = directory.join(format!("file-{file:07}"));
            std::fs::write(file, vec![b'x'; 20_000]).unwrap();
        }
    }
    let real = surveyed(&scratch, &["--compression", "DISABLED"], 0);
    let ran = CommandOutput::from(
        clfsload()
            .args([
                "--dry_run",
                "--json",
                "--dry_run_gb",
                "0.05",
                "--dry_run_count",
                "2500",
            ])
            .output()
            .unwrap(),
    )
    .expect(0);
    let made: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(made["synthetic"]["file_bytes"], 20_000);
    assert_eq!(made["synthetic"]["directories"], 4);
    assert_eq!(
        made["estimate"]["puts_by_kind"],
        real["estimate"]["puts_by_kind"]
    );
    for figure in ["bytes", "database_bytes"] {
        let pointer = format!("/estimate/{figure}");
        assert_near(figure, number(&made, &pointer), number(&real, &pointer), 10);
    }
}
