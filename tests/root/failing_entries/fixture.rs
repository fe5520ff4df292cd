//! A faulty source with a tree, loads of it, and checks of their results.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::command::{CommandOutput, SEED, Scratch, blobs};
use crate::support::faulty_source::FaultySource;
use crate::support::tree::walk_source;
use clfsload_checker::{CompareOptions, FolderBlobs, check, compare};

/// The size of `large/one`: a first segment in the inode and three more, the last of them short.
pub(crate) const LARGE: u64 = 16_384 + (16 << 20) + 1000;
/// The number of entries of `wide`: more than one read of the directory returns.
pub(crate) const WIDE: u64 = 1500;

/// A problem as stored in `problems.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) reason: String,
    pub(crate) errno: Option<i64>,
    pub(crate) attempt: u64,
}

/// Paths as text.
pub(crate) type Paths = BTreeSet<String>;

pub(crate) fn paths<'a>(paths: impl IntoIterator<Item = &'a str>) -> Paths {
    paths.into_iter().map(str::to_owned).collect()
}

pub(crate) struct Fixture {
    // Must be dropped first: the scratch folder cannot be removed while a file system is mounted in it.
    pub(crate) source: FaultySource,
    pub(crate) scratch: Scratch,
}

impl Fixture {
    /// Mounts a tree without faults. Returns `None` and prints the reason if FUSE is not available.
    pub(crate) fn new() -> Option<Fixture> {
        let fixture = Self::empty()?;
        let source = &fixture.source;
        for number in 0..20 {
            source.file(format!("small/file-{number:02}"), number * 700);
        }
        for number in 0..5 {
            source.file(format!("small/sub/file-{number}"), number);
        }
        source.symlink("small/symlink", b"file-00");
        source.file("large/one", LARGE);
        source.file("large/two", 16_385);
        source.file("links/a/first", 40_000);
        source.link("links/b/second", "links/a/first");
        source.link("links/third", "links/a/first");
        source.file("links/a/small-first", 40);
        source.link("links/b/small-second", "links/a/small-first");
        Some(fixture)
    }

    /// Adds a directory that takes several reads to list.
    pub(crate) fn add_wide(&self) -> Paths {
        let names = (0..WIDE).map(|number| format!("wide/entry-{number:06}-of-the-wide-directory"));
        let names: Paths = names.collect();
        names.iter().for_each(|name| self.source.file(name, 1));
        names
    }

    pub(crate) fn empty() -> Option<Fixture> {
        if !FaultySource::is_possible() {
            return None;
        }
        let scratch = Scratch::new();
        let source = FaultySource::mount(&scratch.source());
        Some(Fixture { source, scratch })
    }

    pub(crate) fn load(&self, name: &str, options: &[&str]) -> CommandOutput {
        let mut all = vec!["--seed", SEED, "--preserve_hardlinks", "1"];
        all.extend(options);
        self.scratch.load(name, &all)
    }

    pub(crate) fn resume(&self, name: &str, options: &[&str]) -> CommandOutput {
        self.scratch.resume(name, options)
    }

    pub(crate) fn blobs(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        blobs(&self.scratch.container(name))
    }

    /// Returns the entries in `problems.json`. All three lists must agree.
    pub(crate) fn problems(&self, name: &str) -> BTreeMap<String, Listed> {
        listed_problems(&self.scratch, name)
    }

    /// Returns the paths of the problems, which must all have this reason.
    pub(crate) fn failed(&self, name: &str, reason: &str) -> Paths {
        let problems = self.problems(name);
        for (path, problem) in &problems {
            assert_eq!(problem.reason, reason, "{path}: {problem:?}");
        }
        problems.into_keys().collect()
    }

    pub(crate) fn assert_no_root(&self, name: &str) {
        let root = clfsload::load::encode::root_name();
        let there = self.blobs(name).contains_key(root.as_str());
        assert!(!there, "the root is written while entries have problems");
    }

    /// Checks that the container is valid and equals the source, and returns the paths that it lacks.
    pub(crate) fn missing(&self, name: &str) -> Paths {
        self.source
            .without_faults(|| missing(&self.scratch, name, true))
    }

    /// Checks that the container is valid and complete, and that no problems are listed.
    pub(crate) fn assert_complete(&self, name: &str) {
        assert_eq!(self.missing(name), Paths::new());
        assert_eq!(self.problems(name), BTreeMap::new());
    }
}

pub(crate) fn listed_problems(scratch: &Scratch, name: &str) -> BTreeMap<String, Listed> {
    let read = |file: &str| std::fs::read(scratch.path(name).join(file)).unwrap_or_default();
    let there = |file: &str| scratch.path(name).join(file).exists();
    let lists = ["problems.txt", "problems0.txt", "problems.json"].map(there);
    assert!(lists == [lists[0]; 3], "only some of the lists: {lists:?}");
    let (mut found, mut shown, mut raw) = (BTreeMap::new(), String::new(), Vec::new());
    for line in String::from_utf8(read("problems.json")).unwrap().lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| value[key].as_str().unwrap().to_owned();
        shown += &text("path");
        shown += match value["subtree"].as_str() {
            None => "",
            Some("missing") => " (a directory: everything below it is missing)",
            Some("partial") => " (a directory, listed in part: the rest of it is missing)",
            Some(_) => " (not examined: if it is a directory, everything below it is missing)",
        };
        shown.push('\n');
        let hex = text("path_hex");
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap())
            .collect();
        raw.extend_from_slice(&bytes);
        raw.push(0);
        assert!(!text("message").is_empty(), "{line}");
        let listed = Listed {
            reason: text("reason"),
            errno: value["errno"].as_i64(),
            attempt: value["attempt"].as_u64().unwrap(),
        };
        let path = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(found.insert(path, listed), None, "listed twice: {line}");
    }
    assert_eq!(shown, String::from_utf8(read("problems.txt")).unwrap());
    assert_eq!(raw, read("problems0.txt"));
    assert!(lists[0] != found.is_empty(), "empty lists exist");
    found
}

pub(crate) fn missing(scratch: &Scratch, name: &str, hardlinks: bool) -> Paths {
    let checked = check(&FolderBlobs(scratch.container(name)));
    checked.assert_clean();
    let expected = walk_source(&scratch.source());
    let (held, missing): (BTreeMap<_, _>, BTreeMap<_, _>) = expected
        .into_iter()
        .partition(|(path, _)| checked.tree.contains_key(path));
    let options = CompareOptions {
        hardlinks,
        ..CompareOptions::default()
    };
    let differences = compare(&held, &checked.tree, options);
    assert!(differences.is_empty(), "{differences:#?}");
    missing
        .into_keys()
        .map(|path| String::from_utf8_lossy(&path).into_owned())
        .collect()
}
