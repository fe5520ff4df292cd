//! Which calls to the source are open, and since when.
//!
//! A network file system that does not answer holds a thread in the kernel for as long as it
//! likes (nfs(5), `hard`): the call cannot be ended, but it can be told.
//!
//! This happens for each entry and more than once, so it takes no lock: a call has a slot of its
//! own, which the same thread finds free again the next time.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::entry::EntryId;

/// Slots that are made at once: more than the threads of a load.
const SLOTS: usize = 128;

/// No entry has these ids; the root's is the lowest.
const FREE: u64 = 0;
const TAKEN: u64 = 1;

/// The open calls.
#[derive(Debug)]
pub(super) struct Activity {
    /// Times are counted from here.
    begin: Instant,
    slots: Slots,
}

/// Slots, and more of them once all are taken.
#[derive(Debug)]
struct Slots {
    slots: [Slot; SLOTS],
    more: OnceLock<Box<Slots>>,
}

/// One open call. A cache line of its own: others are written by other threads all the time.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Slot {
    /// What is asked for, [`FREE`] or [`TAKEN`]. Written after `since`.
    entry: AtomicU64,
    /// Nanoseconds.
    since: AtomicU64,
    /// `since` of the call that was told of.
    told: AtomicU64,
}

/// Whose call to the source it is: each has threads of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A scan that lists or looks.
    Scan,
    /// An encoder that reads.
    Encoder,
}

/// An entry that the source is being asked for, until dropped.
#[derive(Debug)]
pub struct Asking<'a> {
    begin: Instant,
    slot: &'a Slot,
}

/// An entry for which the source does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stalled {
    /// The entry: a file, or the directory that is listed.
    pub entry: EntryId,
    /// How long it was asked for.
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

/// Where this thread looks for a slot first: elsewhere than the others, mostly.
fn first_slot() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static FIRST: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed) % SLOTS);
    }
    FIRST.get()
}

impl Slot {
    fn take(&self) -> bool {
        // The look first: a failed exchange takes the cache line from its owner.
        self.entry.load(Ordering::Relaxed) == FREE
            && self
                .entry
                .compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    /// The entry that is asked for, and how long it has been.
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

    /// The call, if it is open for longer than `patience` and was not told of yet.
    fn stalled(&self, now: u64, patience: Duration) -> Option<Stalled> {
        let (entry, open) = self.open(now)?;
        let since = self.since.load(Ordering::Relaxed);
        if open < patience || self.told.swap(since, Ordering::Relaxed) == since {
            return None;
        }
        Some(Stalled { entry, since: open })
    }
}

/// Nanoseconds since then; never 0, which no call was told of, and good for 584 years.
fn nanoseconds(begin: Instant) -> u64 {
    begin.elapsed().as_nanos() as u64 | 1
}

impl Activity {
    pub(super) fn ask(&self, entry: EntryId) -> Asking<'_> {
        let slot = self.slots.take();
        slot.since.store(nanoseconds(self.begin), Ordering::Relaxed);
        slot.entry.store(entry.get(), Ordering::Release);
        Asking {
            begin: self.begin,
            slot,
        }
    }

    /// How many calls are open for longer than that.
    pub(super) fn held(&self, longer_than: Duration) -> usize {
        let now = nanoseconds(self.begin);
        self.slots()
            .filter(|slot| slot.open(now).is_some_and(|(_, open)| open > longer_than))
            .count()
    }

    /// Calls that are open for longer than `patience` and were not told of yet.
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

impl Asking<'_> {
    /// The source answered, and is asked again. Returns how long it took.
    pub fn renew(&self) -> Duration {
        let now = nanoseconds(self.begin);
        let since = self.slot.since.load(Ordering::Relaxed);
        self.slot.since.store(now, Ordering::Relaxed);
        Duration::from_nanos(now.saturating_sub(since))
    }

    /// The source answered. Returns how long it took.
    pub fn end(self) -> Duration {
        let since = self.slot.since.load(Ordering::Relaxed);
        Duration::from_nanos(nanoseconds(self.begin).saturating_sub(since))
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.slot.entry.store(FREE, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(told: &[Stalled]) -> Vec<u64> {
        let mut entries: Vec<u64> = told.iter().map(|stalled| stalled.entry.get()).collect();
        entries.sort_unstable();
        entries
    }

    #[test]
    fn a_call_is_told_of_once_while_it_is_open() {
        let activity = Activity::default();
        let asking = activity.ask(EntryId::new(1000));
        assert_eq!(activity.stalled(Duration::from_secs(3600)), []);
        assert_eq!(entries(&activity.stalled(Duration::ZERO)), [1000]);
        assert_eq!(activity.stalled(Duration::ZERO), []);
        std::thread::sleep(Duration::from_micros(1));
        asking.renew();
        assert_eq!(entries(&activity.stalled(Duration::ZERO)), [1000]);
        drop(asking);
        let _other = activity.ask(EntryId::new(1001));
        assert_eq!(entries(&activity.stalled(Duration::ZERO)), [1001]);
    }

    #[test]
    fn there_is_a_slot_for_every_call() {
        let activity = Activity::default();
        let ids = 1000..1000 + 3 * SLOTS as u64;
        let open: Vec<_> = ids
            .clone()
            .map(|id| activity.ask(EntryId::new(id)))
            .collect();
        let told = activity.stalled(Duration::ZERO);
        assert_eq!(entries(&told), ids.collect::<Vec<_>>());
        drop(open);
        let _last = activity.ask(EntryId::new(7000));
        assert_eq!(entries(&activity.stalled(Duration::ZERO)), [7000]);
        assert!(
            activity
                .slots
                .slots
                .iter()
                .any(|slot| slot.entry.load(Ordering::Relaxed) == 7000),
            "a slot that is free is taken again"
        );
    }
}
