//! Tests that cannot run on this machine.

use std::io::Write;

/// Reports that this test is skipped and why, even if the output of tests is captured. The caller returns.
///
/// Panics if CI is set, where no test may be skipped.
#[track_caller]
pub fn skip(why: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "CI is set, and this test cannot run: {why}"
    );
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // A single write, so that the lines of concurrent tests do not mix.
    let line = format!("skipped: {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Returns true as root; skips the test otherwise. `action` needs root, such as "mounting".
#[track_caller]
pub fn needs_root(action: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip(&format!("{action} needs root"));
    }
    is_root
}
