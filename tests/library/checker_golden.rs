//! The checker on the golden containers: it has no findings and returns the golden trees.

use std::collections::HashMap;

use crate::support::golden;
use clfsload_checker::{CompareOptions, Strictness, check_as, compare};

fn clean_and_equal(archive: &str, tree: &str, hardlinks: bool) {
    let source = golden::tree(tree);
    let blobs: HashMap<_, _> = golden::container(archive).into_iter().collect();
    let checked = check_as(&blobs, Strictness::Original);
    checked.assert_clean();
    // The golden trees record change times in seconds, without a fraction.
    let options = CompareOptions {
        hardlinks,
        nanoseconds: false,
    };
    assert_eq!(compare(&source, &checked.tree, options), [""; 0]);
    assert_eq!(checked.tree.len(), source.len());
    for (path, node) in &checked.tree {
        // The float times of the original are off by less than a microsecond (format.md §7).
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

/// The exceptions for the original are findings in a container of this project.
#[test]
fn exceptions_apply_only_to_the_original() {
    let blobs = golden::container("container-lz4-hardlinks.tar.gz");
    let blobs: HashMap<_, _> = blobs.into_iter().collect();
    let checked = clfsload_checker::check(&blobs);
    assert!(checked.has(clfsload_checker::Rule::NameVersion));
    assert!(checked.has(clfsload_checker::Rule::Logs));
}
