//! A limit on the bytes and the number of objects in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// An object is large if it needs more than this fraction (one eighth) of the budget: with the default budget,
/// only segments do.
const LARGE: u64 = 8;
/// How often a waiting thread checks for room itself. If uploads hang, too little is released to wake it.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The budget, shared by all threads. Large and small objects wait in separate queues, first come, first
/// served: a large file that hangs must not block small objects, nor many small objects a large one.
#[derive(Debug)]
pub struct Budget {
    bytes: u64,
    objects: Arc<AtomicUsize>,
    used: Mutex<Used>,
    /// The number of threads that wait, for displays.
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Used {
    /// Bytes of small and of large objects.
    bytes: [u64; 2],
    objects: usize,
    waiting: [VecDeque<Waiting>; 2],
}

/// The size class of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Small,
    Large,
}

/// A thread that waits for room.
#[derive(Debug)]
struct Waiting {
    bytes: u64,
    thread: Thread,
    /// Set under the lock when the room is granted.
    granted: Arc<AtomicBool>,
}

impl Budget {
    /// Creates a budget of `bytes` and of the current value of `objects`. One object is always allowed.
    pub fn new(bytes: u64, objects: Arc<AtomicUsize>) -> Self {
        Budget {
            bytes,
            objects,
            used: Mutex::default(),
            waiting: Arc::default(),
        }
    }

    /// Maintains the number of threads that wait for room in `gauge`.
    pub fn with_gauge(self, gauge: Arc<AtomicUsize>) -> Self {
        Budget {
            waiting: gauge,
            ..self
        }
    }

    /// Waits until there is room for an object of `bytes`. An object larger than the share of all large objects
    /// waits until no other large one is left.
    pub fn wait(self: &Arc<Self>, bytes: u64) -> Room {
        let size = self.size(bytes);
        let bytes = match size {
            Size::Large => bytes.min(self.bytes - self.share_of_small()),
            Size::Small => bytes,
        };
        let room = Room {
            budget: Arc::clone(self),
            bytes,
            size,
        };
        let mut used = self.used();
        if used.waiting(size).is_empty() && self.fits(&used, size, bytes) {
            used.take(size, bytes);
            return room;
        }
        let granted = Arc::new(AtomicBool::new(false));
        used.waiting(size).push_back(Waiting {
            bytes,
            thread: std::thread::current(),
            granted: Arc::clone(&granted),
        });
        drop(used);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        loop {
            std::thread::park_timeout(CHECK_INTERVAL);
            if granted.load(Ordering::Acquire) {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                return room;
            }
            self.grant(&mut self.used());
        }
    }

    /// Returns whether a thread waits for room for an object of the same size class. Another one would wait, too.
    pub fn is_short(&self, bytes: u64) -> bool {
        !self.used().waiting(self.size(bytes)).is_empty()
    }

    fn size(&self, bytes: u64) -> Size {
        match bytes > self.share_of_small() {
            true => Size::Large,
            false => Size::Small,
        }
    }

    /// Bytes that small objects may use while large ones wait.
    fn share_of_small(&self) -> u64 {
        self.bytes / LARGE
    }

    fn fits(&self, used: &Used, size: Size, bytes: u64) -> bool {
        let [small, large] = used.bytes;
        let objects = self.objects();
        let allowed = match size {
            Size::Large => large + bytes <= self.bytes - self.share_of_small(),
            // Room that is released while large objects wait is reserved for them, and one object, too.
            Size::Small if used.large_waits() => {
                small + bytes <= self.share_of_small() && used.objects + 1 < objects.max(2)
            }
            Size::Small => true,
        };
        allowed && used.objects < objects && small + large + bytes <= self.bytes
    }

    fn objects(&self) -> usize {
        self.objects.load(Ordering::Relaxed).max(1)
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, size: Size, bytes: u64, objects: usize) {
        let mut used = self.used();
        used.bytes[size as usize] -= bytes;
        used.objects -= objects;
        // Waking a thread for each released object would cost more than the objects, so a quarter of the
        // budget must be free.
        let objects = self.objects();
        // The limit may have fallen below the number of objects in flight.
        let free_objects = objects.saturating_sub(used.objects);
        let free_bytes = self.bytes - used.bytes.iter().sum::<u64>();
        if free_objects >= objects.div_ceil(4) && free_bytes >= self.bytes / 4 {
            self.grant(&mut used);
        }
    }

    /// Grants room to waiting threads while it suffices.
    fn grant(&self, used: &mut Used) {
        for size in [Size::Large, Size::Small] {
            while let Some(next) = used.waiting(size).front()
                && let bytes = next.bytes
                && self.fits(used, size, bytes)
                && let Some(next) = used.waiting(size).pop_front()
            {
                used.take(size, bytes);
                next.granted.store(true, Ordering::Release);
                next.thread.unpark();
            }
        }
    }
}

impl Used {
    fn large_waits(&self) -> bool {
        let [_, large] = &self.waiting;
        !large.is_empty()
    }

    fn waiting(&mut self, size: Size) -> &mut VecDeque<Waiting> {
        &mut self.waiting[size as usize]
    }

    fn take(&mut self, size: Size, bytes: u64) {
        self.bytes[size as usize] += bytes;
        self.objects += 1;
    }
}

/// Room for one object. Released when dropped.
#[derive(Debug)]
pub struct Room {
    budget: Arc<Budget>,
    bytes: u64,
    size: Size,
}

impl Room {
    /// Releases all but `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        if bytes < self.bytes {
            self.budget.give_back(self.size, self.bytes - bytes, 0);
            self.bytes = bytes;
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.give_back(self.size, self.bytes, 1);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(120);
    const LONG: Duration = Duration::from_secs(10);

    fn waits(budget: &Arc<Budget>, bytes: u64) -> std::sync::mpsc::Receiver<Room> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let budget = Arc::clone(budget);
        std::thread::spawn(move || sender.send(budget.wait(bytes)));
        receiver
    }

    #[test]
    fn bytes_and_objects_are_limited() {
        let budget = Arc::new(Budget::new(100, Arc::new(AtomicUsize::new(2))));
        let mut first = budget.wait(80);
        let second = waits(&budget, 30);
        assert!(second.recv_timeout(SHORT).is_err(), "110 bytes of 100");
        first.shrink(50);
        let second = second.recv_timeout(LONG).unwrap();
        let third = waits(&budget, 1);
        assert!(third.recv_timeout(SHORT).is_err(), "three objects of two");
        drop(second);
        let _third = third.recv_timeout(LONG).unwrap();
    }

    #[test]
    fn an_object_larger_than_the_budget_is_the_only_large_one() {
        let budget = Arc::new(Budget::new(100, Arc::new(AtomicUsize::new(10))));
        let first = budget.wait(1000);
        let second = waits(&budget, 1000);
        assert!(second.recv_timeout(SHORT).is_err());
        drop(first);
        second.recv_timeout(LONG).unwrap();
    }

    #[test]
    fn hung_large_objects_leave_room_for_small_ones() {
        let budget = Arc::new(Budget::new(100, Arc::new(AtomicUsize::new(32))));
        // Never released.
        let _hung = [budget.wait(28), budget.wait(28), budget.wait(28)];
        let fourth = waits(&budget, 28);
        assert!(fourth.recv_timeout(SHORT).is_err(), "112 bytes of 100");
        let small = waits(&budget, 10);
        small.recv_timeout(LONG).unwrap();
    }

    #[test]
    fn small_objects_have_a_share_while_a_large_one_waits() {
        let budget = Arc::new(Budget::new(100, Arc::new(AtomicUsize::new(32))));
        let hung = [budget.wait(28), budget.wait(28)];
        let large = waits(&budget, 40);
        assert!(large.recv_timeout(SHORT).is_err(), "96 bytes of 88");
        let small = waits(&budget, 10).recv_timeout(LONG).unwrap();
        // 34 bytes are free, but reserved for the large one.
        let next = waits(&budget, 10);
        assert!(next.recv_timeout(SHORT).is_err(), "20 bytes of 12");
        drop(small);
        let _next = next.recv_timeout(LONG).unwrap();
        drop(hung);
        large.recv_timeout(LONG).unwrap();
    }

    /// Small objects that are added and released all the time gradually leave room for a large one.
    #[test]
    fn small_objects_do_not_keep_a_large_one_waiting() {
        let budget = Arc::new(Budget::new(100, Arc::new(AtomicUsize::new(1000))));
        let mut rooms: VecDeque<_> = (0..20).map(|_| budget.wait(5)).collect();
        let large = waits(&budget, 80);
        assert!(large.recv_timeout(SHORT).is_err());
        let mut newcomers = Vec::new();
        for _ in 0..40 {
            drop(rooms.pop_front());
            newcomers.push(waits(&budget, 5));
            std::thread::sleep(Duration::from_millis(2));
            rooms.extend(
                newcomers
                    .iter()
                    .filter_map(|newcomer| newcomer.try_recv().ok()),
            );
        }
        drop(large.recv_timeout(LONG).unwrap());
        drop(rooms);
        for newcomer in newcomers {
            // Its room was received above, or is granted now.
            drop(newcomer.recv_timeout(LONG));
        }
        assert_eq!(budget.used().objects, 0);
    }

    #[test]
    fn the_released_slot_of_a_small_object_is_for_a_waiting_large_one() {
        for _ in 0..5 {
            let budget = Arc::new(Budget::new(100, Arc::new(AtomicUsize::new(8))));
            let mut small: Vec<_> = (0..8).map(|_| budget.wait(1)).collect();
            let large = waits(&budget, 40);
            while !budget.is_short(40) {
                std::thread::yield_now();
            }
            // One slot of eight is not granted at once, so a newcomer could take it.
            small.pop();
            let newcomer = waits(&budget, 1);
            let large = large.recv_timeout(LONG).unwrap();
            assert!(newcomer.try_recv().is_err(), "it took the large one's slot");
            drop((large, small));
            newcomer.recv_timeout(LONG).unwrap();
        }
    }

    #[test]
    fn size_classes_wait_independently() {
        let budget = Arc::new(Budget::new(100, Arc::new(AtomicUsize::new(32))));
        let is_short = || [budget.is_short(80), budget.is_short(5)];
        let hung = budget.wait(80);
        assert_eq!(is_short(), [false, false]);
        let large = waits(&budget, 80);
        assert!(large.recv_timeout(SHORT).is_err());
        assert_eq!(is_short(), [true, false]);
        let _small = budget.wait(10);
        let next = waits(&budget, 10);
        assert!(next.recv_timeout(SHORT).is_err());
        assert_eq!(is_short(), [true, true]);
        drop(hung);
        let _large = large.recv_timeout(LONG).unwrap();
        let _next = next.recv_timeout(LONG).unwrap();
        assert_eq!(is_short(), [false, false]);
    }

    #[test]
    fn changes_of_the_object_limit_take_effect() {
        let objects = Arc::new(AtomicUsize::new(4));
        let budget = Arc::new(Budget::new(100, Arc::clone(&objects)));
        let mut used: Vec<_> = (0..4).map(|_| budget.wait(1)).collect();
        objects.store(2, Ordering::Relaxed);
        let next = waits(&budget, 1);
        used.truncate(2);
        assert!(next.recv_timeout(SHORT).is_err(), "three objects of two");
        objects.store(3, Ordering::Relaxed);
        // Nothing is released: the waiting thread checks for itself.
        next.recv_timeout(LONG).unwrap();
    }
}
