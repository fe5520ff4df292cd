//! A load of a tree with all edge cases creates a container that satisfies the format's rules and equals the source.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::azurite::{ACCOUNT, Azurite, container_sas};
use crate::support::command::{SEED, Scratch, assert_same, blobs, clfsload, run};
use crate::support::tree::{self, walk_source};
use clfsload_checker::{Checked, CompareOptions, FolderBlobs, check, compare};

/// Checks a folder container by every rule, and compares its tree with the source.
fn check_against(scratch: &Scratch, container: &Path, hardlinks: bool) -> Checked {
    let checked = check(&FolderBlobs(container.to_path_buf()));
    checked.assert_clean();
    let options = CompareOptions {
        hardlinks,
        ..CompareOptions::default()
    };
    let differences = compare(&walk_source(&scratch.source()), &checked.tree, options);
    assert!(differences.is_empty(), "{differences:#?}");
    checked
}

#[test]
fn the_full_tree_is_loaded_with_lz4_and_hard_links() {
    let scratch = Scratch::new();
    tree::full(&scratch.source());
    let ran = scratch.load("t", &["--preserve_hardlinks", "1"]).expect(0);
    assert!(
        ran.stdout.contains("done: the container is complete"),
        "{ran:#?}"
    );
    // 1,040 names of one file: 1,023 in one object, 17 in another.
    assert!(
        ran.stderr.contains("1 files have more than 1023 names"),
        "{ran:#?}"
    );
    assert!(ran.stderr.contains("have times before 1970"), "{ran:#?}");
    check_against(&scratch, &scratch.container("t"), true);
    let mode = scratch.path("t").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    // Another run reports that the transfer is complete, and writes nothing.
    let before = blobs(&scratch.container("t"));
    let ran = scratch.resume("t", &[]).expect(0);
    assert!(ran.stdout.contains("already finished"), "{ran:#?}");
    assert_eq!(before, blobs(&scratch.container("t")));
    // The source is not needed any more.
    let arguments = scratch.arguments("t", "t");
    let moved = scratch.path("moved");
    std::fs::rename(scratch.source(), &moved).unwrap();
    let ran = crate::support::command::run(arguments).expect(0);
    assert!(ran.stdout.contains("already finished"), "{ran:#?}");
    std::fs::rename(&moved, scratch.path("source")).unwrap();
}

#[test]
fn the_full_tree_is_loaded_without_compression_and_hard_links() {
    let scratch = Scratch::new();
    tree::full(&scratch.source());
    scratch.load("t", &["--compression", "DISABLED"]).expect(0);
    let container = scratch.container("t");
    check_against(&scratch, &container, false);
    for (name, blob) in blobs(&container) {
        if !name.ends_with(".txt") {
            assert_eq!(blob[..4], [0; 4], "{name} is compressed or encrypted");
        }
    }
}

#[test]
fn a_sparse_file_with_indirect_blocks_is_loaded() {
    let scratch = Scratch::new();
    tree::sparse(&scratch.source());
    scratch.load("t", &[]).expect(0);
    let checked = check_against(&scratch, &scratch.container("t"), false);
    assert_eq!(checked.tree.len(), 2);
    let indirect = blobs_of_type(&scratch.container("t"), "0009");
    assert!(indirect > 0, "no indirect block");
}

fn blobs_of_type(container: &Path, object_type: &str) -> usize {
    std::fs::read_dir(container)
        .unwrap()
        .filter(|item| {
            let name = item.as_ref().unwrap().file_name().into_string().unwrap();
            name.split('.').nth(1) == Some(object_type)
        })
        .count()
}

#[test]
fn an_empty_source_is_loaded() {
    let scratch = Scratch::new();
    scratch.source();
    scratch.load("t", &[]).expect(0);
    let checked = check_against(&scratch, &scratch.container("t"), false);
    assert_eq!(checked.tree.len(), 1);
}

/// Reads all symlinks, so that later reads do not change their access times.
///
/// readlink(2) has no `O_NOATIME`. With relatime (mount(8)), it sets the access time until that is later than the
/// symlink's last change. The kernel's clock for both ticks every 10 ms or faster. For a symlink that was changed in
/// the future, this never ends, so those are removed.
fn settle_symlinks(source: &Path) {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    for (path, node) in walk_source(source) {
        let future = u64::try_from(node.mtime.0).is_ok_and(|seconds| seconds > now);
        if node.target.is_some() && future {
            let path = std::ffi::OsStr::from_bytes(&path);
            std::fs::remove_file(source.join(path)).unwrap();
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(50));
    walk_source(source);
}

#[test]
fn one_seed_creates_the_same_container_in_a_folder_and_in_azure() {
    let scratch = Scratch::new();
    tree::full(&scratch.source());
    settle_symlinks(&scratch.source());
    let options = ["--seed", SEED, "--preserve_hardlinks", "1"];
    scratch.load("one", &options).expect(0);
    scratch.load("two", &options).expect(0);
    let one = blobs(&scratch.container("one"));
    assert_same(&one, &blobs(&scratch.container("two")));

    let server = Azurite::shared();
    let name = Azurite::unused_name();
    server.create_container(&name);
    let mut arguments = scratch.arguments("azure", &name);
    arguments[2] = ACCOUNT.to_owned();
    arguments.extend(["--new", "--blob-endpoint", &server.endpoint()].map(str::to_owned));
    arguments.extend(options.map(str::to_owned));
    let output = clfsload()
        .args(arguments)
        .env("AZURE_STORAGE_SAS_TOKEN", container_sas(&name, "rwdl"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:#?}");
    assert_same(&one, &crate::support::azurite::blobs(&server, &name));

    // Another seed gives other ids.
    scratch.load("other", &[]).expect(0);
    let other = blobs(&scratch.container("other"));
    let same = one.keys().filter(|name| other.contains_key(*name)).count();
    // The bucket object, the root and the log have fixed names.
    assert_eq!(same, 3);
}

#[test]
fn loading_does_not_change_the_source() {
    // O_NOATIME and reading in the order of the scan keep the attributes that a second run sees.
    let scratch = Scratch::new();
    let source = scratch.source();
    tree::sizes(&source);
    let before = walk_source(&source);
    scratch.load("t", &[]).expect(0);
    assert_eq!(before, walk_source(&source));
}

#[test]
fn help_and_version_go_to_standard_output() {
    let help = run(["--help"]).expect(0);
    assert!(help.stdout.contains("--new"), "{help:#?}");
    let version = run(["--version"]).expect(0);
    assert!(version.stdout.starts_with("clfsload "), "{version:#?}");
}
