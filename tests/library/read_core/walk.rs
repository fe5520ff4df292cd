//! Walks, including trees that a file system cannot contain.

use std::sync::Arc;

use clfs_format::FileType;
use clfsload::read::{Reader, Step, TreePath, Walk, WalkOptions, WalkProblem};

use super::fixture::{Counted, container, open, run};
use crate::support::synthetic::Builder;

/// Returns the events of a walk, one per line.
async fn walk(reader: &Arc<Reader>, from: &str, options: WalkOptions) -> Vec<String> {
    let start = reader
        .resolve(&TreePath::parse(from.as_bytes()))
        .await
        .unwrap();
    let mut walk = Walk::new(reader, start, options);
    let mut lines = Vec::new();
    while let Some(step) = walk.next().await.unwrap() {
        lines.push(match step {
            Step::Enter { path, .. } => format!("> {path}"),
            Step::Entry { path, .. } => format!("{path}"),
            Step::Listed { path } => format!("= {path}"),
            Step::Leave { path } => format!("< {path}"),
            Step::Problem(WalkProblem::Again { path, .. }) => format!("again {path}"),
            Step::Problem(WalkProblem::Unreadable { path, .. }) => format!("unreadable {path}"),
            Step::Problem(WalkProblem::PartUnreadable { path, .. }) => {
                format!("part unreadable {path}")
            }
            Step::Problem(WalkProblem::NoChild { path }) => format!("no child {path}"),
            other => format!("{other:?}"),
        });
        assert!(lines.len() < 100_000, "the walk has no end");
    }
    lines
}

/// `/a/one`, `/a/b/two`, `/three`, `/c` (empty).
async fn tree() -> Counted {
    let mut build = Builder::new();
    let mut root = build.root();
    let mut a = build.directory(&mut root, "a");
    let mut b = build.directory(&mut a, "b");
    let c = build.directory(&mut root, "c");
    for (name, directory) in [("one", &mut a), ("two", &mut b), ("three", &mut root)] {
        let file = build.handle(directory.handle, FileType::Regular);
        directory.add(name, file);
        build.entity(file, &[directory.handle], name, name.as_bytes());
    }
    for directory in [&root, &a, &b, &c] {
        build.finish_directory(directory);
    }
    container(build.blobs).await
}

#[test]
fn walks_are_depth_first_in_stored_order() {
    run(async {
        let container = tree().await;
        for lists_all in [true, false] {
            let reader = open(&container, lists_all).await.unwrap();
            let lines = walk(&reader, "/", WalkOptions::default()).await;
            let expected = [
                "> /", "/a", "/c", "/three", "= /", "> /a", "/a/b", "/a/one", "= /a", "> /a/b",
                "/a/b/two", "= /a/b", "< /a/b", "< /a", "> /c", "= /c", "< /c", "< /",
            ];
            assert_eq!(lines, expected);
        }
    });
}

#[test]
fn small_directories_are_sorted() {
    run(async {
        let mut build = Builder::new();
        let mut root = build.root();
        let mut few = build.directory(&mut root, "z");
        for name in ["y", "b", "x"] {
            let directory = build.directory(&mut few, name);
            build.finish_directory(&directory);
        }
        let many = build.directory(&mut root, "a");
        for directory in [&root, &few, &many] {
            build.finish_directory(directory);
        }
        let reader = open(&container(build.blobs).await, true).await.unwrap();
        let entries = async |sorted_up_to| {
            let mut options = WalkOptions::default();
            options.sorted_up_to = sorted_up_to;
            let lines = walk(&reader, "/", options).await;
            let steps = lines.iter().filter(|line| !line.starts_with(['=', '<']));
            steps.cloned().collect::<Vec<_>>().join(" ")
        };
        let sorted = "> / /a /z > /a > /z /z/b /z/x /z/y > /z/b > /z/x > /z/y";
        assert_eq!(entries(3).await, sorted);
        // The larger directory keeps its stored order.
        let partly = "> / /a /z > /a > /z /z/y /z/b /z/x > /z/y > /z/b > /z/x";
        assert_eq!(entries(2).await, partly);
        let stored = "> / /z /a > /z /z/y /z/b /z/x > /z/y > /z/b > /z/x > /a";
        assert_eq!(entries(0).await, stored);
    });
}

#[test]
fn depth_limits_and_pruning_are_applied() {
    run(async {
        let container = tree().await;
        let reader = open(&container, true).await.unwrap();
        let mut options = WalkOptions::default();
        options.depth = Some(0);
        let lines = walk(&reader, "/a", options).await;
        assert_eq!(lines, ["> /a", "/a/b", "/a/one", "= /a", "< /a"]);
        let mut options = WalkOptions::default();
        options.prune = Some(Box::new(|path, _| path.name() == Some(b"a")));
        let lines = walk(&reader, "/", options).await;
        assert_eq!(
            lines,
            ["> /", "/c", "/three", "= /", "> /c", "= /c", "< /c", "< /"]
        );
        // A file has no entries.
        assert!(
            walk(&reader, "/three", WalkOptions::default())
                .await
                .is_empty()
        );
    });
}

/// Each of 30 directories has two entries for the next one: 2^30 paths.
#[test]
fn a_tree_that_doubles_on_each_level_is_walked_in_bounded_time() {
    run(async {
        let mut build = Builder::new();
        let mut above = build.root();
        for _ in 0..30 {
            let below = build.directory(&mut above, "x");
            above.add("y", below.handle);
            build.finish_directory(&above);
            above = below;
        }
        build.finish_directory(&above);
        let container = container(build.blobs).await;
        let reader = open(&container, true).await.unwrap();
        let lines = walk(&reader, "/", WalkOptions::default()).await;
        let again = lines.iter().filter(|l| l.starts_with("again")).count();
        let entered = lines.iter().filter(|l| l.starts_with('>')).count();
        assert_eq!((entered, again), (31, 30));
    });
}

#[test]
fn a_tree_that_contains_itself_is_walked_once() {
    run(async {
        let mut build = Builder::new();
        let mut root = build.root();
        let mut a = build.directory(&mut root, "a");
        a.add("self", a.handle).add("root", root.handle);
        for directory in [&root, &a] {
            build.finish_directory(directory);
        }
        let container = container(build.blobs).await;
        let reader = open(&container, true).await.unwrap();
        let lines = walk(&reader, "/", WalkOptions::default()).await;
        let expected = [
            "> /",
            "/a",
            "= /",
            "> /a",
            "again /a/self",
            "again /a/root",
            "= /a",
            "< /a",
            "< /",
        ];
        assert_eq!(lines, expected);
    });
}

#[test]
fn missing_objects_and_dot_names_are_problems_and_the_walk_continues() {
    run(async {
        let mut build = Builder::new();
        let mut root = build.root();
        let lost = build.directory(&mut root, "lost");
        let complete = build.directory(&mut root, "complete");
        root.add("..", complete.handle).add(".", lost.handle);
        for directory in [&root, &complete] {
            build.finish_directory(directory);
        }
        let container = container(build.blobs).await;
        let reader = open(&container, true).await.unwrap();
        let lines = walk(&reader, "/", WalkOptions::default()).await;
        let expected = [
            "> /",
            "/lost",
            "/complete",
            "no child /..",
            "no child /.",
            "= /",
            "unreadable /lost",
            "> /complete",
            "= /complete",
            "< /complete",
            "< /",
        ];
        assert_eq!(lines, expected);
    });
}

/// A directory whose entries fill several segments, and one whose segments need an indirect block.
#[test]
fn large_directories_are_walked_completely() {
    run(async {
        let mut build = Builder::new();
        let mut root = build.root();
        let wide = {
            let mut wide = build.directory(&mut root, "wide");
            for number in 0..3000 {
                let handle = build.handle(wide.handle, FileType::Fifo);
                wide.add(format!("{number:0200}"), handle);
            }
            wide
        };
        let mut thin = build.directory(&mut root, "thin");
        for number in 0..1500 {
            let handle = build.handle(thin.handle, FileType::Fifo);
            thin.add(format!("{number}"), handle);
        }
        build.finish_directory(&root);
        build.finish_directory(&wide);
        build.finish_directory_one_entry_per_segment(&thin);
        let container = container(build.blobs).await;
        let reader = open(&container, true).await.unwrap();
        let lines = walk(&reader, "/wide", WalkOptions::default()).await;
        let names: Vec<String> = (0..3000).map(|n| format!("/wide/{n:0200}")).collect();
        assert_eq!(lines[1..3001], names);
        let lines = walk(&reader, "/thin", WalkOptions::default()).await;
        let names: Vec<String> = (0..1500).map(|n| format!("/thin/{n}")).collect();
        assert_eq!(lines[1..1501], names);
        let last = TreePath::parse(b"/thin/1499");
        let missing = reader.resolve(&last).await.unwrap_err();
        // The entry is found, but its inode does not exist.
        assert!(
            missing.to_string().contains("is not in the container"),
            "{missing}"
        );
    });
}
