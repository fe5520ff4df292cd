//! An observer of the entries that the scan examines.

use std::ffi::CStr;

use crate::source::{Directory, EntryStat};

/// Receives each entry when it is examined, on any thread and in any order, with the facts that the
/// state does not store.
pub trait EntryVisitor: Sync {
    /// Receives an examined `name` in `directory`. The visitor may send further calls to the source.
    fn visit(&self, directory: &Directory, name: &CStr, seen: &EntryStat);
}
