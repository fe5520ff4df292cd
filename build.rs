//! Tells the program which commit it is made of and for which target: `clfsload --version`.
//!
//! The commit is, of the first that is there: the variable `CLFSLOAD_COMMIT` (for builds without history, such as
//! in a container), git's `HEAD` of a checkout, and the one that `cargo package` wrote down. Whether
//! files differ from that commit is not told: that would need a look at each of them in every build.

use std::path::{Path, PathBuf};
use std::process::Command;

const UNKNOWN: &str = "unknown";

fn main() {
    // Without a line of this kind cargo runs this again whenever any file of the package changes.
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
    let word = given.lines().next()?.trim();
    (!word.is_empty()).then(|| word.to_owned())
}

fn from_checkout(folder: &Path) -> Option<String> {
    // Git would look for one in the folders above, too: that is another project's.
    if !folder.join(".git").exists() {
        return None;
    }
    let commit = git(
        folder,
        &["show", "-s", "--abbrev=8", "--format=%h %cs", "HEAD"],
    )?;
    // A commit or a checkout changes one of these. One that is missing must not be named: cargo takes
    // it for changed each time.
    let mut watched = vec!["HEAD".to_owned(), "logs/HEAD".to_owned()];
    if let Some(branch) = git(folder, &["symbolic-ref", "-q", "HEAD"]) {
        watched.push(branch);
    }
    for name in watched {
        let Some(path) = git(folder, &["rev-parse", "--git-path", &name]) else {
            continue;
        };
        // Relative to the package, as git gives it: a copy of the build folder beside another checkout
        // then looks at that one.
        if folder.join(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    Some(commit)
}

/// What git prints, if it is there and content.
fn git(folder: &Path, words: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(words)
        .output();
    let output = output.ok().filter(|output| output.status.success())?;
    let line = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!line.is_empty() && !line.contains('\n')).then_some(line)
}

/// `{"git": {"sha1": "…"}, …}`, as the Cargo book describes `.cargo_vcs_info.json`.
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
