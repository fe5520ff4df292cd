//! Comparison of a container with its source folder.

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::command::{Scratch, run};
use crate::support::skip::needs_root;
use crate::support::tree;

fn verify(scratch: &Scratch, options: &[&str]) -> crate::support::command::CommandOutput {
    let container = scratch.container("t").display().to_string();
    let source = scratch.source().display().to_string();
    let mut arguments = vec!["verify", &container, "--source", &source];
    arguments.extend(options);
    run(arguments)
}

#[test]
fn the_full_tree_equals_its_source() {
    let scratch = Scratch::new();
    tree::full(&scratch.source());
    scratch.load("t", &["--preserve_hardlinks", "1"]).expect(0);
    for depth in ["--full", "--quick"] {
        let ran = verify(&scratch, &[depth]).expect(0);
        assert!(
            ran.stdout.contains("compared with the source: "),
            "{ran:#?}"
        );
        // 1,040 names of one file become two objects.
        assert!(
            ran.stdout.contains("several objects in the container: 1;"),
            "{ran:#?}"
        );
        assert!(ran.stdout.contains("no warnings, 1 note"), "{ran:#?}");
    }
}

/// The file has indirect blocks. Reading each of its thousand segments would take a minute.
#[test]
fn a_very_large_file_equals_its_source() {
    let scratch = Scratch::new();
    tree::sparse(&scratch.source());
    scratch.load("t", &[]).expect(0);
    let ran = verify(&scratch, &["--quick"]).expect(0);
    assert!(ran.stdout.contains("1032 file segments"), "{ran:#?}");
    assert!(ran.stdout.contains("1 indirect block,"), "{ran:#?}");
}

#[test]
fn a_load_without_hard_links_causes_one_note() {
    let scratch = Scratch::new();
    let links = scratch.source();
    tree::hard_links(&links, 30);
    scratch.load("t", &[]).expect(0);
    let ran = verify(&scratch, &[]).expect(0);
    assert!(
        ran.stdout.contains("several objects in the container: 3;"),
        "{ran:#?}"
    );
    assert!(ran.stdout.contains("note [source-links-split]"), "{ran:#?}");
}

/// A description of a change to the source, the rules that it violates, and the function that makes it.
type Change = (&'static str, &'static [&'static str], fn(&Path));

fn set_mtime(path: &Path, time: SystemTime) {
    File::open(path)
        .unwrap()
        .set_times(FileTimes::new().set_modified(time))
        .unwrap();
}

/// Changes an entry of the directory, and restores the directory's mtime.
fn keeping_mtime(path: &Path, change: impl FnOnce(&Path)) {
    let before = fs::metadata(path).unwrap().modified().unwrap();
    change(path);
    set_mtime(path, before);
}

const CHANGES: &[Change] = &[
    ("/file", &["source-mode"], |root| {
        fs::set_permissions(root.join("file"), PermissionsExt::from_mode(0o604)).unwrap();
    }),
    ("/file", &["source-owner"], |root| {
        chown(root.join("file"), None, Some(77)).unwrap();
    }),
    ("/file", &["source-mtime"], |root| {
        let file = root.join("file");
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        set_mtime(&file, before + Duration::from_micros(2));
    }),
    ("/file", &["source-content"], |root| {
        keeping_mtime(&root.join("file"), |file| fs::write(file, "b").unwrap());
    }),
    ("/large", &["source-content"], |root| {
        keeping_mtime(&root.join("large"), |file| {
            use std::os::unix::fs::FileExt;
            let file = File::options().write(true).open(file).unwrap();
            file.write_all_at(b"!", 9_000_000).unwrap();
        });
    }),
    ("/file", &["source-size"], |root| {
        keeping_mtime(&root.join("file"), |file| fs::write(file, "ab").unwrap());
    }),
    ("/link", &["source-target", "source-mtime"], |root| {
        keeping_mtime(root, |root| {
            fs::remove_file(root.join("link")).unwrap();
            symlink("elsewhere", root.join("link")).unwrap();
        });
    }),
    ("/device", &["source-device", "source-mtime"], |root| {
        keeping_mtime(root, |root| {
            fs::remove_file(root.join("device")).unwrap();
            device(&root.join("device"), 4);
        });
    }),
    ("/file", &["source-type"], |root| {
        keeping_mtime(root, |root| {
            fs::remove_file(root.join("file")).unwrap();
            fs::create_dir(root.join("file")).unwrap();
        });
    }),
    ("/directory/inner", &["source-extra"], |root| {
        keeping_mtime(&root.join("directory"), |directory| {
            fs::remove_file(directory.join("inner")).unwrap();
        });
    }),
    ("/directory/more", &["source-missing"], |root| {
        keeping_mtime(&root.join("directory"), |directory| {
            fs::create_dir(directory.join("more")).unwrap();
            fs::write(directory.join("more/below"), "").unwrap();
        });
    }),
    ("/one", &["source-links"], |root| {
        keeping_mtime(root, |root| {
            let (from, to) = (root.join("two"), root.join("two.new"));
            fs::copy(&from, &to).unwrap();
            set_mtime(&to, fs::metadata(&from).unwrap().modified().unwrap());
            fs::rename(to, from).unwrap();
        });
    }),
    ("/", &["source-mode"], |root| {
        fs::set_permissions(root, PermissionsExt::from_mode(0o711)).unwrap();
    }),
];

fn device(path: &Path, minor: u32) {
    let number = rustix::fs::makedev(1, minor);
    mknodat(CWD, path, FileType::CharacterDevice, Mode::RUSR, number).unwrap();
}

fn build(root: &Path) {
    fs::write(root.join("file"), "a").unwrap();
    fs::write(root.join("large"), vec![b'x'; 10_000_000]).unwrap();
    fs::create_dir(root.join("directory")).unwrap();
    fs::write(root.join("directory/inner"), "").unwrap();
    symlink("target", root.join("link")).unwrap();
    device(&root.join("device"), 3);
    fs::write(root.join("one"), "two names").unwrap();
    fs::hard_link(root.join("one"), root.join("two")).unwrap();
}

/// Needs the privilege to create devices and change owners.
#[test]
fn every_difference_is_found() {
    if !needs_root("changing owners") {
        return;
    }
    let mut wrong = Vec::new();
    for (path, rules, change) in CHANGES {
        let scratch = Scratch::new();
        build(&scratch.source());
        scratch.load("t", &["--preserve_hardlinks", "1"]).expect(0);
        verify(&scratch, &[]).expect(0);
        change(&scratch.source());
        let ran = verify(&scratch, &["--json"]).expect(3);
        let found: BTreeSet<(String, String)> = ran
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|line| line.get("rule").is_some())
            .map(|line| {
                let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
                (text("path"), text("rule"))
            })
            .collect();
        let expected = rules
            .iter()
            .map(|rule| (path.to_string(), rule.to_string()));
        if found != expected.collect() {
            wrong.push(format!("{path} {rules:?}: {}", ran.stdout));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_missing_source_is_refused() {
    let scratch = Scratch::new();
    fs::write(scratch.source().join("file"), "a").unwrap();
    scratch.load("t", &[]).expect(0);
    let container = scratch.container("t").display().to_string();
    let missing = scratch.path("missing").display().to_string();
    run(["verify", &container, "--source", &missing]).refused(1, "missing: No such file");
}
