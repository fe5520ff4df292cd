//! Provides the commit and the target that `clfsload --version` prints.
//!
//! The commit comes from the first available source: the variable `CLFSLOAD_COMMIT` (for builds without history, such
//! as in a container), `HEAD` of a Git checkout, and the file that `cargo package` writes. Changes since that commit are
//! not detected, since every build would have to examine all files.

use std::path::{Path, PathBuf};
use std::process::Command;

const UNKNOWN: &str = "unknown";

fn main() {
    // Without such a line, cargo runs this script again when any file of the package changes.
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CLFSLOAD_COMMIT");
    let folder = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let commit = from_environment()
        .or_else(|| from_checkout(&folder))
        .or_else(|| from_package(&folder))
        .unwrap_or_else(|| UNKNOWN.to_owned());
    println!("cargo::rustc-env=CLFSLOAD_BUILD_COMMIT={commit}");
    let target = std::env::var("TARGET").unwrap_or_else(|_| UNKNOWN.to_owned());
    println!("cargo::rustc-env=CLFSLOAD_BUILD_TARGET={target}");
}

fn from_environment() -> Option<String> {
    let given = std::env::var("CLFSLOAD_COMMIT").ok()?;
    let commit = given.lines().next()?.trim();
    (!commit.is_empty()).then(|| commit.to_owned())
}

fn from_checkout(folder: &Path) -> Option<String> {
    // Git also searches the parent folders, whose repository would be that of another project.
    if !folder.join(".git").exists() {
        return None;
    }
    let commit = git(
        folder,
        &["show", "-s", "--abbrev=8", "--format=%h %cs", "HEAD"],
    )?;
    // A commit or a checkout changes one of these files. Missing files must be skipped, since cargo treats them as
    // changed on every build.
    let mut watched = vec!["HEAD".to_owned(), "logs/HEAD".to_owned()];
    if let Some(branch) = git(folder, &["symbolic-ref", "-q", "HEAD"]) {
        watched.push(branch);
    }
    for name in watched {
        let Some(path) = git(folder, &["rev-parse", "--git-path", &name]) else {
            continue;
        };
        // Git prints a path relative to the package, so a copy of the build folder in another checkout uses the files of
        // that checkout.
        if folder.join(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    Some(commit)
}

/// Returns the output of git if it is installed, succeeds and prints one line.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .output();
    let output = output.ok().filter(|output| output.status.success())?;
    let line = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!line.is_empty() && !line.contains('\n')).then_some(line)
}

/// Reads `.cargo_vcs_info.json`, whose format the Cargo book describes: `{"git": {"sha1": "…"}, …}`.
fn from_package(folder: &Path) -> Option<String> {
    let path = folder.join(".cargo_vcs_info.json");
    let text = std::fs::read_to_string(&path).ok()?;
    println!("cargo::rerun-if-changed={}", path.display());
    let (_, after) = text.split_once("\"sha1\"")?;
    let hash = after.split('"').nth(1)?;
    let short = hash.get(..8)?;
    short
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| short.to_owned())
}
