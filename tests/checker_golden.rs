//! The checker against the golden containers: they must be clean, and hold the golden trees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checker;
mod support;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use checker::{CompareOptions, Strictness, check_as, compare};
use flate2::read::GzDecoder;
use support::tree::SourceNode;

fn golden(name: &str) -> File {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden");
    File::open(folder.join(name)).unwrap()
}

fn container(name: &str) -> HashMap<String, Vec<u8>> {
    let mut blobs = HashMap::new();
    let mut archive = tar::Archive::new(GzDecoder::new(golden(name)));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().unwrap().into_owned();
        let blob = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        blobs.insert(blob, content);
    }
    blobs
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn source(name: &str) -> BTreeMap<Vec<u8>, SourceNode> {
    let mut text = String::new();
    let mut file = golden(name);
    if name.ends_with(".gz") {
        GzDecoder::new(file).read_to_string(&mut text).unwrap();
    } else {
        file.read_to_string(&mut text).unwrap();
    }
    let nodes: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let number = |node: &serde_json::Value, key: &str| node[key].as_u64().unwrap_or(0);
    let bytes = |node: &serde_json::Value, key: &str| node[key].as_str().map(unhex);
    nodes
        .iter()
        .map(|node| {
            let from = SourceNode {
                mode: number(node, "mode") as u32,
                uid: number(node, "uid") as u32,
                gid: number(node, "gid") as u32,
                size: number(node, "size"),
                sha256: bytes(node, "sha256").map(|hash| hash.try_into().unwrap()),
                target: bytes(node, "target_hex"),
                major: number(node, "major") as u32,
                minor: number(node, "minor") as u32,
                nlink: number(node, "nlink"),
                dev: 0,
                ino: number(node, "ino"),
                mtime: (
                    number(node, "mtime_s") as i64,
                    number(node, "mtime_ns") as u32,
                ),
                ctime: (number(node, "ctime_s") as i64, 0),
            };
            (bytes(node, "path_hex").unwrap(), from)
        })
        .collect()
}

fn clean_and_equal(archive: &str, tree: &str, hardlinks: bool) {
    let source = source(tree);
    let checked = check_as(&container(archive), Strictness::Original);
    checked.assert_clean();
    // The golden trees record change times in whole seconds.
    let options = CompareOptions {
        hardlinks,
        nanoseconds: false,
    };
    assert_eq!(compare(&source, &checked.tree, options), [""; 0]);
    assert_eq!(checked.tree.len(), source.len());
    for (path, node) in &checked.tree {
        // The float of the original is off by less than a microsecond (section 7).
        let off = i64::from(node.mtime.1) - i64::from(source[path].mtime.1);
        assert!(off.abs() < 1000, "{path:?}: nanoseconds off by {off}");
    }
}

#[test]
fn plain_container_is_clean() {
    clean_and_equal("container-plain.tar.gz", "tree-small.json", false);
}

#[test]
fn lz4_container_is_clean() {
    clean_and_equal("container-lz4-nolinks.tar.gz", "tree-small.json", false);
}

#[test]
fn container_with_hard_links_is_clean() {
    clean_and_equal("container-lz4-hardlinks.tar.gz", "tree-small.json", true);
}

#[test]
fn large_container_is_clean() {
    clean_and_equal("container-lz4-large.tar.gz", "tree-large.json.gz", true);
}

/// What is allowed to the original only is a finding in a container of ours.
#[test]
fn allowances_are_for_the_original_only() {
    let blobs = container("container-lz4-hardlinks.tar.gz");
    let checked = checker::check(&blobs);
    assert!(checked.has(checker::Rule::NameVersion));
    assert!(checked.has(checker::Rule::Logs));
}
