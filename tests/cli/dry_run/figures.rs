//! The figures about the tree.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::surveyed::{assert_left_nothing, command, finding, number, survey};
use crate::support::command::Scratch;
use crate::support::tree::{self, SourceNode, walk_source};

type Source = BTreeMap<Vec<u8>, SourceNode>;

fn is_file(node: &SourceNode) -> bool {
    node.mode & 0o170_000 == 0o100_000
}

fn files(source: &Source) -> impl Iterator<Item = (&Vec<u8>, &SourceNode)> {
    source.iter().filter(|(_, node)| is_file(node))
}

/// Returns the names of each inode that has several.
fn groups(source: &Source) -> Vec<Vec<&SourceNode>> {
    let mut groups: BTreeMap<(u64, u64), Vec<&SourceNode>> = BTreeMap::new();
    for node in source.values() {
        if node.mode & 0o170_000 != 0o040_000 {
            groups.entry((node.dev, node.ino)).or_default().push(node);
        }
    }
    groups
        .into_values()
        .filter(|group| group.len() > 1)
        .collect()
}

fn compare_types(report: &Value, source: &Source) {
    for (name, kind) in [
        ("directory", 0o040_000),
        ("file", 0o100_000),
        ("symlink", 0o120_000),
        ("block", 0o060_000),
        ("character", 0o020_000),
        ("socket", 0o140_000),
        ("fifo", 0o010_000),
    ] {
        let there = source.values();
        let there = there.filter(|node| node.mode & 0o170_000 == kind).count();
        assert_eq!(number(report, &format!("/types/{name}")), there as u64);
    }
    assert_eq!(number(report, "/entries"), source.len() as u64);
    assert_eq!(number(report, "/unseen"), 0);
}

fn compare_sizes(report: &Value, sizes: &[u64]) {
    assert_eq!(number(report, "/files"), sizes.len() as u64);
    assert_eq!(number(report, "/bytes"), sizes.iter().sum::<u64>());
    let mut above = None;
    for class in report["sizes"].as_array().unwrap() {
        let up_to = class["up_to"].as_u64();
        let inside = |size: &&u64| {
            above.is_none_or(|above| **size > above) && up_to.is_none_or(|up_to| **size <= up_to)
        };
        let there: Vec<u64> = sizes.iter().filter(inside).copied().collect();
        assert_eq!(class["files"], there.len() as u64, "up to {up_to:?}");
        assert_eq!(class["bytes"], there.iter().sum::<u64>(), "up to {up_to:?}");
        above = up_to;
    }
}

#[test]
fn the_figures_agree_with_the_tree() {
    let scratch = Scratch::new();
    tree::full(&scratch.source());
    let source = walk_source(&scratch.source());
    let report = survey(&scratch, &[], 0);
    assert_eq!(report["v"], 1);
    assert_eq!(report["fails"], false);
    compare_types(&report, &source);
    let sizes: Vec<u64> = files(&source).map(|(_, node)| node.size).collect();
    compare_sizes(&report, &sizes);

    let mut largest = sizes.clone();
    largest.sort_unstable_by(|a, b| b.cmp(a));
    let listed = report["largest_files"].as_array().unwrap();
    assert_eq!(listed.len(), 10);
    for (file, size) in listed.iter().zip(largest) {
        assert_eq!(file["bytes"], size);
        let path = file["path"].as_str().unwrap();
        assert_eq!(source[path.as_bytes()].size, size);
    }
    let wide = &report["largest_directories"][0];
    assert_eq!(wide["path"], "wide");
    assert_eq!(wide["entries"], 3000);
    let of_wide =
        |path: &[u8]| path.starts_with(b"wide/") && path.split(|b| *b == b'/').count() == 2;
    let bytes: u64 = files(&source)
        .filter(|(path, _)| of_wide(path))
        .map(|(_, node)| node.size)
        .sum();
    assert_eq!(wide["file_bytes"], bytes);
    let levels = source.keys().map(|path| path.split(|b| *b == b'/').count());
    assert_eq!(
        number(&report, "/deepest/levels"),
        levels.max().unwrap() as u64
    );
    let deepest = report["deepest"]["path"].as_str().unwrap();
    assert!(source.contains_key(deepest.as_bytes()), "{deepest}");

    let groups = groups(&source);
    let names: usize = groups.iter().map(Vec::len).sum();
    let once = groups
        .iter()
        .filter(|group| is_file(group[0]))
        .map(|group| group[0].size);
    let all = groups
        .iter()
        .flatten()
        .filter(|node| is_file(node))
        .map(|node| node.size);
    assert_eq!(number(&report, "/hard_links/inodes"), groups.len() as u64);
    assert_eq!(number(&report, "/hard_links/names"), names as u64);
    assert_eq!(number(&report, "/hard_links/bytes_once"), once.sum::<u64>());
    assert_eq!(number(&report, "/hard_links/bytes_all"), all.sum::<u64>());
    let (inodes, paths) = finding(&report, "many-names").unwrap();
    assert_eq!(inodes, 1);
    assert!(paths[0].starts_with("links/"), "{paths:?}");

    let cannot = |time: i64| u32::try_from(time).is_err();
    // Access times are excluded, since the walk of this test does not read them.
    let clamped = source
        .values()
        .filter(|node| cannot(node.mtime.0) || cannot(node.ctime.0))
        .count();
    let (found, paths) = finding(&report, "time-clamped").unwrap();
    assert_eq!(found, clamped as u64);
    assert_eq!(paths.len(), 10.min(clamped));
    assert!(paths.iter().all(|path| path.starts_with("times/")));
    assert_eq!(finding(&report, "mount"), None);
}

#[test]
fn preserved_links_count_once() {
    let scratch = Scratch::new();
    tree::hard_links(&scratch.source(), 1040);
    let source = walk_source(&scratch.source());
    let report = survey(&scratch, &["--preserve_hardlinks", "1"], 0);
    // 1,040 names become two objects; the other file is one.
    compare_types(&report, &source);
    assert_eq!(number(&report, "/files"), 3);
    assert_eq!(number(&report, "/bytes"), 2 * 20_000 + 9);
}

#[test]
fn a_sparse_file_is_found_and_needs_an_indirect_block() {
    let scratch = Scratch::new();
    tree::sparse(&scratch.source());
    let report = survey(&scratch, &[], 0);
    let (files, paths) = finding(&report, "sparse").unwrap();
    assert_eq!((files, paths), (1, vec!["sparse".to_owned()]));
    let segments = (8_650_000_001u64 - 16_384).div_ceil(8 << 20);
    assert_eq!(
        number(&report, "/estimate/puts_by_kind/file_segments"),
        segments
    );
    assert_eq!(number(&report, "/estimate/puts_by_kind/indirect_blocks"), 1);
    assert_eq!(number(&report, "/estimate/puts"), segments + 5);
    let read = number(&report, "/estimate/bytes_sampled");
    assert!(read < 210 << 20, "{read} bytes were read");
    assert!(number(&report, "/estimate/bytes") < 1 << 30);
}

#[test]
fn an_empty_source_has_a_root() {
    let scratch = Scratch::new();
    let report = survey(&scratch, &[], 0);
    assert_eq!(number(&report, "/entries"), 1);
    assert_eq!(number(&report, "/estimate/puts"), 3);
    assert_eq!(report["deepest"], Value::Null);
    assert_eq!(report["largest_directories"][0]["path"], "");
}

/// Returns the peak resident memory. VmHWM (proc_pid_status(5)) only grows.
fn peak(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.map(|line| line.trim().trim_end_matches(" kB").parse::<u64>().unwrap());
    kibibytes.unwrap_or_default() << 10
}

#[test]
fn memory_does_not_grow_with_the_tree() {
    let scratch = Scratch::in_memory();
    let source = scratch.source();
    for directory in 0..50 {
        let directory = source.join(format!("directory-{directory}"));
        std::fs::create_dir(&directory).unwrap();
        let first = directory.join("0");
        std::fs::write(&first, vec![b'x'; 20_000]).unwrap();
        // Half of the names belong to one inode, so there are many links.
        for file in 1..1000 {
            std::fs::hard_link(&first, directory.join(format!("{file}"))).unwrap();
        }
        for file in 1000..2000 {
            std::fs::write(directory.join(format!("{file}")), file.to_string()).unwrap();
        }
    }
    let mut child = command(&scratch)
        .arg(&source)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut max = 0;
    let status = loop {
        max = max.max(peak(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let output = child.wait_with_output().unwrap();
    assert!(status.success());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(number(&report, "/entries"), 100_051);
    assert_eq!(number(&report, "/hard_links/names"), 50_000);
    println!("a peak of {:.1} MiB", max as f64 / f64::from(1 << 20));
    assert!(max > 1 << 20, "no peak was measured");
    assert!(max < 64 << 20, "a peak of {max} bytes");
    assert_left_nothing(&scratch);
}
