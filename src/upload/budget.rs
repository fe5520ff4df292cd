//! A bound on the bytes and the number of objects in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// An object of more than this part of the bytes is large: a segment, at the default.
const LARGE: u64 = 8;
/// Whoever waits looks for itself after this long: what is on its way may hang, and then nobody
/// gives back enough to be called.
const LOOK: Duration = Duration::from_millis(50);

/// The bound, shared by all threads. Large objects and small ones wait apart, first come, first
/// served: a large file that hangs must not keep small ones waiting, nor many small ones a large.
#[derive(Debug)]
pub struct Budget {
    bytes: u64,
    objects: Arc<AtomicUsize>,
    used: Mutex<Used>,
    /// Threads that wait, for a display.
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Used {
    /// Of small and large objects.
    bytes: [u64; 2],
    objects: usize,
    waiting: [VecDeque<Waiting>; 2],
}

/// Which of two an object is.
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
    /// Set by who gave the room, under the lock.
    granted: Arc<AtomicBool>,
}

impl Budget {
    /// Room for so many bytes, and for as many objects as `objects` says at the moment; at least one
    /// object always has room.
    pub fn new(bytes: u64, objects: Arc<AtomicUsize>) -> Self {
        Budget {
            bytes,
            objects,
            used: Mutex::default(),
            waiting: Arc::default(),
        }
    }

    /// Keeps `gauge` at the number of threads that wait for room.
    pub fn with_gauge(self, gauge: Arc<AtomicUsize>) -> Self {
        Budget {
            waiting: gauge,
            ..self
        }
    }

    /// Waits until there is room for an object of so many bytes. One larger than what large objects
    /// may have together waits until it is the only one of them.
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
            std::thread::park_timeout(LOOK);
            if granted.load(Ordering::Acquire) {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                return room;
            }
            self.grant(&mut self.used());
        }
    }

    /// Whether somebody waits for room for an object of that size, large or small: whoever asks for
    /// as many bytes would wait too.
    pub fn is_short(&self, bytes: u64) -> bool {
        !self.used().waiting(self.size(bytes)).is_empty()
    }

    fn size(&self, bytes: u64) -> Size {
        match bytes > self.share_of_small() {
            true => Size::Large,
            false => Size::Small,
        }
    }

    /// What is left for small objects while large ones wait.
    fn share_of_small(&self) -> u64 {
        self.bytes / LARGE
    }

    fn fits(&self, used: &Used, size: Size, bytes: u64) -> bool {
        let [small, large] = used.bytes;
        let objects = self.objects();
        let allowed = match size {
            Size::Large => large + bytes <= self.bytes - self.share_of_small(),
            // What is given back while large objects wait is for them, an object too.
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
        // Waking a thread for each object that leaves would cost more than the objects: a quarter
        // of the room must be free.
        let objects = self.objects();
        // The bound on objects may have fallen below what is on its way.
        let free_objects = objects.saturating_sub(used.objects);
        let free_bytes = self.bytes - used.bytes.iter().sum::<u64>();
        if free_objects >= objects.div_ceil(4) && free_bytes >= self.bytes / 4 {
            self.grant(&mut used);
        }
    }

    /// Gives room to those who wait, as far as it goes.
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

/// The room of one object; dropped, it is free again.
#[derive(Debug)]
pub struct Room {
    budget: Arc<Budget>,
    bytes: u64,
    size: Size,
}

impl Room {
    /// Gives back what is not needed after all.
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
    fn bytes_and_objects_are_bounded() {
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
    fn what_hangs_leaves_room_for_the_others() {
        let budget = Arc::new(Budget::new(100, Arc::new(AtomicUsize::new(32))));
        // These are never given back.
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
        // There are 34 bytes free, but for the large one.
        let next = waits(&budget, 10);
        assert!(next.recv_timeout(SHORT).is_err(), "20 bytes of 12");
        drop(small);
        let _next = next.recv_timeout(LONG).unwrap();
        drop(hung);
        large.recv_timeout(LONG).unwrap();
    }

    /// Small objects that come and go all the time leave more and more to a large one that waits.
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
            // Its room was taken above, or comes now.
            drop(newcomer.recv_timeout(LONG));
        }
        assert_eq!(budget.used().objects, 0);
    }

    #[test]
    fn the_place_of_a_small_object_is_for_a_large_one_that_waits() {
        for _ in 0..5 {
            let budget = Arc::new(Budget::new(100, Arc::new(AtomicUsize::new(8))));
            let mut small: Vec<_> = (0..8).map(|_| budget.wait(1)).collect();
            let large = waits(&budget, 40);
            while !budget.is_short(40) {
                std::thread::yield_now();
            }
            // One place of eight is not given away at once: a newcomer could take it.
            small.pop();
            let newcomer = waits(&budget, 1);
            let large = large.recv_timeout(LONG).unwrap();
            assert!(
                newcomer.try_recv().is_err(),
                "it took the large one's place"
            );
            drop((large, small));
            newcomer.recv_timeout(LONG).unwrap();
        }
    }

    #[test]
    fn who_waits_with_one_size_says_nothing_of_the_other() {
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
    fn a_bound_that_falls_is_kept_and_one_that_rises_is_used() {
        let objects = Arc::new(AtomicUsize::new(4));
        let budget = Arc::new(Budget::new(100, Arc::clone(&objects)));
        let mut used: Vec<_> = (0..4).map(|_| budget.wait(1)).collect();
        objects.store(2, Ordering::Relaxed);
        let next = waits(&budget, 1);
        used.truncate(2);
        assert!(next.recv_timeout(SHORT).is_err(), "three objects of two");
        objects.store(3, Ordering::Relaxed);
        // Nobody gives back: it looks for itself.
        next.recv_timeout(LONG).unwrap();
    }
}
