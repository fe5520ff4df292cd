//! A visitor of the entries that the scan examines.

use std::ffi::CStr;

use crate::source::{Directory, Seen};

/// Receives each entry when the scan examines it, to collect data that the state does not record without
/// reading the source twice.
pub trait EntryVisitor: Sync {
    /// Receives `name` in `directory` with its attributes. Called by any thread, in any order. May read from
    /// the source.
    fn visit(&self, directory: &Directory, name: &CStr, seen: &Seen);
}
