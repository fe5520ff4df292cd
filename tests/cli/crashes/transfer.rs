//! A tree with edge cases, the container of an undisturbed load, and disturbed transfers of the tree.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::support::command::{CommandOutput, SEED, Scratch, assert_same, blobs, clfsload};
use crate::support::tree::{self, walk_source};
use clfsload_checker::{CompareOptions, FolderBlobs, check, compare};

/// The options with which every transfer starts.
const OPTIONS: [&str; 4] = ["--seed", SEED, "--preserve_hardlinks", "1"];

/// The tree, and the container of an undisturbed load.
pub(crate) struct Undisturbed {
    pub(crate) scratch: Scratch,
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    /// The duration of the load.
    pub(crate) took: Duration,
    /// The number of entries below the root.
    pub(crate) entries: usize,
}

/// Shared by concurrent tests, and dropped by the last of them.
static SHARED: Mutex<Weak<Undisturbed>> = Mutex::new(Weak::new());

impl Undisturbed {
    pub(crate) fn shared() -> Arc<Undisturbed> {
        let mut shared = SHARED.lock().unwrap_or_else(|poison| poison.into_inner());
        shared.upgrade().unwrap_or_else(|| {
            let made = Arc::new(Undisturbed::load());
            *shared = Arc::downgrade(&made);
            made
        })
    }

    fn load() -> Undisturbed {
        let scratch = Scratch::in_memory();
        build(&scratch.source());
        // The first read of a symlink sets its access time: readlink(2) has no O_NOATIME.
        let source = walk_source(&scratch.source());
        let started = Instant::now();
        scratch.load("undisturbed", &OPTIONS).expect(0);
        let took = started.elapsed();
        let container = scratch.container("undisturbed");
        let checked = check(&FolderBlobs(container.clone()));
        checked.assert_clean();
        let options = CompareOptions {
            hardlinks: true,
            ..CompareOptions::default()
        };
        let differences = compare(&source, &checked.tree, options);
        assert!(differences.is_empty(), "{differences:#?}");
        assert!(source.len() >= 3000, "{} entries", source.len());
        Undisturbed {
            blobs: blobs(&container),
            took,
            entries: source.len() - 1,
            scratch,
        }
    }

    pub(crate) fn transfer(&self, name: impl Into<String>) -> Transfer<'_> {
        Transfer {
            undisturbed: self,
            name: name.into(),
        }
    }
}

/// Creates about 3,800 entries: small files in many directories, files of two and of several segments, a directory
/// of several segments, hard links within and across directories, symlinks.
fn build(root: &Path) {
    for directory in 0..300 {
        let at = root.join(format!("d{:02}/e{directory:03}", directory % 20));
        fs::create_dir_all(&at).unwrap();
        for file in 0..5 {
            let content = format!("{directory} {file} ").repeat(file * 40);
            fs::write(at.join(format!("f{file}")), content).unwrap();
        }
    }
    let links = root.join("links");
    fs::create_dir(&links).unwrap();
    tree::hard_links(&links, 60);
    for pair in 0..300 {
        let first = root.join(format!("d{:02}/pair-{pair:03}", pair % 20));
        fs::write(&first, format!("pair {pair}")).unwrap();
        fs::hard_link(&first, links.join(format!("other-{pair:03}"))).unwrap();
    }
    let wide = root.join("wide");
    fs::create_dir(&wide).unwrap();
    tree::wide(&wide, 1300);
    let large = root.join("large");
    fs::create_dir(&large).unwrap();
    for number in 0u64..12 {
        let content: Vec<u8> = (0..20_000 + 3_000 * number)
            .map(|byte| (byte * (number + 3) % 251) as u8)
            .collect();
        fs::write(large.join(format!("two-segments-{number}")), content).unwrap();
    }
    for number in 0u64..2 {
        let file = File::create(large.join(format!("several-segments-{number}"))).unwrap();
        file.set_len((17 << 20) + number * (8 << 20)).unwrap();
        for island in 0..3u64 {
            file.write_all_at(b"island", island * (8 << 20) + number * 1000)
                .unwrap();
        }
    }
    for number in 0..20 {
        let target = format!("../wide/{number}");
        std::os::unix::fs::symlink(target, large.join(format!("symlink-{number}"))).unwrap();
    }
}

/// A transfer of the tree into a separate folder container, which is deleted on drop.
pub(crate) struct Transfer<'a> {
    undisturbed: &'a Undisturbed,
    name: String,
}

impl Transfer<'_> {
    pub(crate) fn state(&self) -> PathBuf {
        self.undisturbed.scratch.path(&self.name)
    }

    pub(crate) fn container(&self) -> PathBuf {
        self.undisturbed.scratch.container(&self.name)
    }

    /// Returns the arguments: state, source, account and container.
    pub(crate) fn arguments(&self) -> Vec<String> {
        self.undisturbed.scratch.arguments(&self.name, &self.name)
    }

    /// Returns the command that starts the transfer or, if there is a state, resumes it.
    pub(crate) fn command(&self) -> Command {
        let mut command = clfsload();
        command.args(self.arguments());
        if !self.state().join("state.db").exists() {
            command.arg("--new");
        }
        command.args(OPTIONS);
        command
    }

    pub(crate) fn run(&self) -> CommandOutput {
        CommandOutput::from(self.command().output().unwrap())
    }

    /// Runs with an armed crash point. Returns true if the process crashed there.
    pub(crate) fn crashes_at(&self, place: &str) -> bool {
        use std::os::unix::process::ExitStatusExt;
        let mut command = self.command();
        let output = command.env("CLFSLOAD_CRASH_AT", place).output().unwrap();
        match output.status.signal() {
            Some(9) => true,
            None if output.status.success() => false,
            _ => panic!("{}, {place}: {output:#?}", self.name),
        }
    }

    /// Runs to completion, and compares with the undisturbed container.
    pub(crate) fn finish(&self) {
        self.run().expect(0);
        self.assert_undisturbed();
    }

    pub(crate) fn assert_undisturbed(&self) {
        let ours = blobs(&self.container());
        let leftovers: Vec<_> = ours.keys().filter(|name| name.starts_with('.')).collect();
        assert!(leftovers.is_empty(), "{}: {leftovers:?}", self.name);
        assert!(ours.contains_key("output.txt"), "{}: no log", self.name);
        assert_same(&self.undisturbed.blobs, &ours);
    }
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        // The files of a failed test are deleted with the scratch folder.
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(self.state()));
            drop(fs::remove_dir_all(self.container()));
        }
    }
}
