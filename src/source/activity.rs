//! Which calls to the source are open, and since when.
//!
//! A network file system that does not answer holds a thread in the kernel for as long as it
//! likes (nfs(5), `hard`): the call cannot be ended, but it can be told.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::entry::EntryId;

/// The open calls.
#[derive(Debug, Default)]
pub(super) struct Activity {
    calls: Mutex<Vec<Call>>,
}

#[derive(Debug)]
struct Call {
    entry: EntryId,
    since: Instant,
    reported: bool,
}

/// An entry that the source is being asked for, until dropped.
#[derive(Debug)]
pub struct Asking<'a> {
    activity: &'a Activity,
    entry: EntryId,
}

/// An entry for which the source does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stalled {
    /// The entry: a file, or the directory that is listed.
    pub entry: EntryId,
    /// How long it was asked for.
    pub since: Duration,
}

impl Activity {
    pub(super) fn ask(&self, entry: EntryId) -> Asking<'_> {
        self.calls().push(Call {
            entry,
            since: Instant::now(),
            reported: false,
        });
        Asking {
            activity: self,
            entry,
        }
    }

    /// Calls that are open for longer than `patience` and were not told of yet.
    pub(super) fn stalled(&self, patience: Duration) -> Vec<Stalled> {
        self.calls()
            .iter_mut()
            .filter(|call| !call.reported && call.since.elapsed() >= patience)
            .map(|call| {
                call.reported = true;
                Stalled {
                    entry: call.entry,
                    since: call.since.elapsed(),
                }
            })
            .collect()
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking<'_> {
    /// The source answered, and is asked again.
    pub fn renew(&self) {
        let mut calls = self.activity.calls();
        if let Some(call) = calls.iter_mut().find(|call| call.entry == self.entry) {
            call.since = Instant::now();
            call.reported = false;
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut calls = self.activity.calls();
        // As many as there are threads: a search is nothing.
        if let Some(index) = calls.iter().position(|call| call.entry == self.entry) {
            calls.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_of_once_while_it_is_open() {
        let activity = Activity::default();
        let entry = EntryId::new(1000);
        let asking = activity.ask(entry);
        assert_eq!(activity.stalled(Duration::from_secs(3600)), []);
        let told = activity.stalled(Duration::ZERO);
        assert_eq!(told.first().map(|stalled| stalled.entry), Some(entry));
        assert_eq!(activity.stalled(Duration::ZERO), []);
        drop(asking);
        assert!(activity.calls().is_empty());
    }
}
