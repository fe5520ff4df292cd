//! A full disk under the state folder or under a folder container: the transfer pauses with a message, and
//! resumes when there is space.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::command::{CommandOutput, SEED, Scratch, assert_same, blobs};
use crate::support::mounts;
use crate::support::tree::walk_source;
use clfsload_checker::{CompareOptions, FolderBlobs, check, compare};

/// A small tmpfs. It is unmounted on drop.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, kib: u32) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={kib}k,nr_inodes=20000");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "small-disk"]);
        assert!(mount.arg(at).status().unwrap().success());
        SmallDisk(at.to_path_buf())
    }

    fn grow(&self, kib: u32) {
        let options = format!("remount,size={kib}k");
        let mut mount = Command::new("mount");
        let grown = mount.args(["-o", &options]).arg(&self.0).status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
    }
}

/// A tree with more than 1 MiB of database and more than 2 MiB of content.
fn tree(scratch: &Scratch) {
    let source = scratch.source();
    for directory in 0..20 {
        let directory = source.join(format!("directory-{directory:02}"));
        std::fs::create_dir(&directory).unwrap();
        for file in 0..300 {
            let name = format!("{file:04}-{}", "n".repeat(180));
            std::fs::write(directory.join(name), [b'x'; 10]).unwrap();
        }
    }
}

fn assert_complete(scratch: &Scratch, name: &str) {
    let checked = check(&FolderBlobs(scratch.container(name)));
    checked.assert_clean();
    let source = walk_source(&scratch.source());
    let differences = compare(&source, &checked.tree, CompareOptions::default());
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Loads with too little space, then resumes with more and more. The result must equal an undisturbed load.
fn with_a_small_disk(at: &str, sizes: &[u32], sentence: &str) {
    if !mounts::possible() {
        return;
    }
    let scratch = Scratch::new();
    tree(&scratch);
    let seed = ["--seed", SEED];
    scratch.load("undisturbed", &seed).expect(0);
    let disk = SmallDisk::mount(&scratch.path(at), sizes[0]);
    let ran = scratch.load("t", &seed).refused(1, sentence);
    assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
    for kib in &sizes[1..] {
        let has_state = scratch.path("t").join("state.db").exists();
        // A second run without space must not make it worse.
        let again = |options: &[&str]| match has_state {
            true => scratch.resume("t", options),
            false => scratch.load("t", options),
        };
        again(&seed).refused(1, sentence);
        disk.grow(*kib);
        let ran = again(&seed);
        assert!(matches!(ran.status, 0 | 1), "{ran:#?}");
    }
    scratch.resume("t", &[]).expect(0);
    assert_complete(&scratch, "t");
    let ours = blobs(&scratch.container("t"));
    assert_same(&blobs(&scratch.container("undisturbed")), &ours);
}

#[test]
fn a_full_disk_under_the_state_folder_pauses_the_transfer() {
    with_a_small_disk("t", &[1024, 65_536], "the disk under the state folder");
}

#[test]
fn a_disk_under_the_state_folder_may_be_full_twice() {
    with_a_small_disk("t", &[700, 1500, 65_536], "the disk under the state folder");
}

#[test]
fn a_disk_without_space_for_the_database_is_reported() {
    with_a_small_disk("t", &[16, 65_536], "the disk under the state folder");
}

#[test]
fn a_full_disk_under_a_folder_container_pauses_the_transfer() {
    with_a_small_disk("containers/t", &[2048, 262_144], "No space left on device");
}

/// RLIMIT_FSIZE under a container and under a state: the message names the file and the limit, SIGXFSZ does not end
/// the process, and the transfer resumes without the limit.
#[test]
fn a_limit_on_file_sizes_pauses_the_transfer() {
    let scratch = Scratch::new();
    let content: Vec<u8> = (0..6u64 << 20).map(|at| (at * at % 251) as u8).collect();
    std::fs::write(scratch.source().join("large"), content).unwrap();
    for number in 0..3000 {
        let name = format!("{number:04}-{}", "n".repeat(200));
        std::fs::write(scratch.source().join(name), "").unwrap();
    }
    let options = ["--seed", SEED, "--compression", "DISABLED"];
    scratch.load("undisturbed", &options).expect(0);
    // The unit of ulimit is 512 bytes in dash and 1024 in other shells; prlimit counts bytes.
    for (bytes, file) in [
        (5 << 20, "could not write the blob "),
        (600 << 10, "state.db"),
    ] {
        let name = format!("limit-{bytes}");
        let mut limited = Command::new("prlimit");
        limited.arg(format!("--fsize={bytes}"));
        limited.arg(env!("CARGO_BIN_EXE_clfsload"));
        limited
            .args(scratch.arguments(&name, &name))
            .arg("--new")
            .args(options);
        let ran = CommandOutput::from(limited.output().unwrap());
        let sentence = format!(
            "this process may write files of at most {bytes} bytes: raise the limit (ulimit -f)"
        );
        let ran = ran.refused(1, &sentence);
        assert!(ran.stderr.contains(file), "{ran:#?}");
        scratch.resume(&name, &options[..2]).expect(0);
        let all = |name: &str| blobs(&scratch.container(name));
        assert_same(&all("undisturbed"), &all(&name));
    }
}
