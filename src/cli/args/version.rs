//! The version of this program.

use std::sync::LazyLock;

use clfs_format::BUCKET_VERSION;

static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} ({}, {}, CLFS format {BUCKET_VERSION})",
        env!("CARGO_PKG_VERSION"),
        env!("CLFSLOAD_BUILD_COMMIT"),
        env!("CLFSLOAD_BUILD_TARGET"),
    )
});

/// Returns the version with commit, day of the commit, target, and the version of the format that it writes:
/// `0.1.0 (a1b2c3d4 2026-11-21, x86_64-unknown-linux-gnu, CLFS format 2)`. Without a known commit it has "unknown"; a
/// build of a packaged crate has no day.
pub(crate) fn version() -> &'static str {
    &VERSION
}

/// Returns the day of the commit, `2026-11-21`, if it is known.
pub(crate) fn day() -> Option<&'static str> {
    let (_, day) = env!("CLFSLOAD_BUILD_COMMIT").split_once(' ')?;
    Some(day)
}
