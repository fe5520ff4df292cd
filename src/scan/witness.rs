//! Who looks over the shoulders of the scan.

use std::ffi::CStr;

use crate::source::{Directory, Seen};

/// Sees each entry when it is looked at, by any thread and in any order: what the state does not
/// keep can be noted then, without asking the source twice.
pub trait Witness: Sync {
    /// `name` in `directory` was found to be `seen`. Calls to the source may follow.
    fn saw(&self, directory: &Directory, name: &CStr, seen: &Seen);
}
