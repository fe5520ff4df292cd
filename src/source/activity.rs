//! The calls to the source that are in progress, and when they began.
//!
//! A network file system that does not respond blocks a thread in the kernel without limit (nfs(5),
//! `hard`). The call cannot be cancelled, but it can be reported.
//!
//! Each entry needs several calls, so recording one takes no lock: each call has a slot of its own,
//! and the same thread usually finds the same slot free again.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::entry::EntryId;

/// Slots that are allocated at once: more than the threads of a load.
const SLOTS: usize = 128;

/// Not ids of entries: the lowest is the root's.
const FREE: u64 = 0;
const TAKEN: u64 = 1;

/// The calls in progress.
#[derive(Debug)]
pub(super) struct Activity {
    /// The origin of all times.
    begin: Instant,
    slots: Slots,
}

/// Slots, with a further block once all are in use.
#[derive(Debug)]
struct Slots {
    slots: [Slot; SLOTS],
    more: OnceLock<Box<Slots>>,
}

/// One call. Has a cache line of its own, because other threads keep writing to the others.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Slot {
    /// The entry, [`FREE`] or [`TAKEN`]. Written after `since`.
    entry: AtomicU64,
    /// When the call began, in nanoseconds.
    since: AtomicU64,
    /// `since` of the call that was reported.
    reported: AtomicU64,
}

/// The kind of a call to the source. Each has threads of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// The scan lists a directory or examines an entry.
    Scan,
    /// An encoder reads an entry.
    Encoder,
}

/// A call in progress, until dropped.
#[derive(Debug)]
pub struct OpenCall<'a> {
    begin: Instant,
    slot: &'a Slot,
}

/// An entry for which the source does not respond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stalled {
    /// The entry: a file, or the directory that is listed.
    pub entry: EntryId,
    /// The duration of the call so far.
    pub since: Duration,
}

impl Default for Activity {
    fn default() -> Self {
        Activity {
            begin: Instant::now(),
            slots: Slots::new(),
        }
    }
}

impl Slots {
    fn new() -> Self {
        Slots {
            slots: std::array::from_fn(|_| Slot::default()),
            more: OnceLock::new(),
        }
    }

    fn take(&self) -> &Slot {
        let first = first_slot();
        let mut slots = self;
        loop {
            // `first_slot` is below SLOTS, the length of the array.
            let (before, from) = slots.slots.split_at(first);
            let free = from.iter().chain(before).find(|slot| slot.take());
            match free {
                Some(slot) => return slot,
                None => slots = slots.more.get_or_init(|| Box::new(Slots::new())),
            }
        }
    }
}

/// Returns the slot that this thread tries first: usually another one than other threads.
fn first_slot() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static FIRST: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed) % SLOTS);
    }
    FIRST.get()
}

impl Slot {
    fn take(&self) -> bool {
        // The load first: a failed exchange takes the cache line from its owner.
        self.entry.load(Ordering::Relaxed) == FREE
            && self
                .entry
                .compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    /// Returns the entry and the duration of the call so far.
    fn open(&self, now: u64) -> Option<(EntryId, Duration)> {
        // Acquire: `since` is that of this call, or of a later one, which has not stalled.
        let entry = self.entry.load(Ordering::Acquire);
        if entry == FREE || entry == TAKEN {
            return None;
        }
        let since = self.since.load(Ordering::Relaxed);
        let open = Duration::from_nanos(now.saturating_sub(since));
        Some((EntryId::new(entry), open))
    }

    /// Returns the call, if it takes longer than `patience` and was not reported yet.
    fn stalled(&self, now: u64, patience: Duration) -> Option<Stalled> {
        let (entry, open) = self.open(now)?;
        let since = self.since.load(Ordering::Relaxed);
        if open < patience || self.reported.swap(since, Ordering::Relaxed) == since {
            return None;
        }
        Some(Stalled { entry, since: open })
    }
}

/// Nanoseconds since `begin`, enough for 584 years. Never 0, which stands for a call that was not reported.
fn nanoseconds(begin: Instant) -> u64 {
    begin.elapsed().as_nanos() as u64 | 1
}

impl Activity {
    pub(super) fn begin_call(&self, entry: EntryId) -> OpenCall<'_> {
        let slot = self.slots.take();
        slot.since.store(nanoseconds(self.begin), Ordering::Relaxed);
        slot.entry.store(entry.get(), Ordering::Release);
        OpenCall {
            begin: self.begin,
            slot,
        }
    }

    /// Returns the number of calls that take longer than that.
    pub(super) fn slow_calls(&self, longer_than: Duration) -> usize {
        let now = nanoseconds(self.begin);
        self.slots()
            .filter(|slot| slot.open(now).is_some_and(|(_, open)| open > longer_than))
            .count()
    }

    /// Returns the calls that take longer than `patience` and were not reported yet.
    pub(super) fn stalled(&self, patience: Duration) -> Vec<Stalled> {
        let now = nanoseconds(self.begin);
        self.slots()
            .filter_map(|slot| slot.stalled(now, patience))
            .collect()
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        std::iter::successors(Some(&self.slots), |slots| slots.more.get().map(Box::as_ref))
            .flat_map(|slots| &slots.slots)
    }
}

impl OpenCall<'_> {
    /// Ends the call and begins the next one for the same entry. Returns the duration.
    pub fn renew(&self) -> Duration {
        let now = nanoseconds(self.begin);
        let since = self.slot.since.load(Ordering::Relaxed);
        self.slot.since.store(now, Ordering::Relaxed);
        Duration::from_nanos(now.saturating_sub(since))
    }

    /// Ends the call. Returns its duration.
    pub fn end(self) -> Duration {
        let since = self.slot.since.load(Ordering::Relaxed);
        Duration::from_nanos(nanoseconds(self.begin).saturating_sub(since))
    }
}

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        self.slot.entry.store(FREE, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(stalled: &[Stalled]) -> Vec<u64> {
        let mut entries: Vec<u64> = stalled.iter().map(|stalled| stalled.entry.get()).collect();
        entries.sort_unstable();
        entries
    }

    #[test]
    fn a_stalled_call_is_reported_once() {
        let activity = Activity::default();
        let call = activity.begin_call(EntryId::new(1000));
        assert_eq!(activity.stalled(Duration::from_secs(3600)), []);
        assert_eq!(entries(&activity.stalled(Duration::ZERO)), [1000]);
        assert_eq!(activity.stalled(Duration::ZERO), []);
        std::thread::sleep(Duration::from_micros(1));
        call.renew();
        assert_eq!(entries(&activity.stalled(Duration::ZERO)), [1000]);
        drop(call);
        let _other = activity.begin_call(EntryId::new(1001));
        assert_eq!(entries(&activity.stalled(Duration::ZERO)), [1001]);
    }

    #[test]
    fn each_call_has_a_slot() {
        let activity = Activity::default();
        let ids = 1000..1000 + 3 * SLOTS as u64;
        let open: Vec<_> = ids
            .clone()
            .map(|id| activity.begin_call(EntryId::new(id)))
            .collect();
        let stalled = activity.stalled(Duration::ZERO);
        assert_eq!(entries(&stalled), ids.collect::<Vec<_>>());
        drop(open);
        let _last = activity.begin_call(EntryId::new(7000));
        assert_eq!(entries(&activity.stalled(Duration::ZERO)), [7000]);
        assert!(
            activity
                .slots
                .slots
                .iter()
                .any(|slot| slot.entry.load(Ordering::Relaxed) == 7000),
            "a free slot is used again"
        );
    }
}
