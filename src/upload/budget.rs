//! A bound on the bytes and the number of objects in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

/// The bound, shared by all threads. Who comes first is served first, so that large objects are
/// not kept waiting by small ones.
#[derive(Debug)]
pub struct Budget {
    bytes: u64,
    objects: Arc<AtomicUsize>,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    bytes: u64,
    objects: usize,
    waiting: VecDeque<Waiting>,
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
        }
    }

    /// Waits until there is room for an object of so many bytes. One larger than the whole budget
    /// waits until it is alone.
    pub fn wait(self: &Arc<Self>, bytes: u64) -> Room {
        let bytes = bytes.min(self.bytes);
        let room = Room {
            budget: Arc::clone(self),
            bytes,
        };
        let mut used = self.used();
        if used.waiting.is_empty() && self.fits(&used, bytes) {
            used.take(bytes);
            return room;
        }
        let granted = Arc::new(AtomicBool::new(false));
        used.waiting.push_back(Waiting {
            bytes,
            thread: std::thread::current(),
            granted: Arc::clone(&granted),
        });
        drop(used);
        // park(3) of the standard library may return without reason.
        while !granted.load(Ordering::Acquire) {
            std::thread::park();
        }
        room
    }

    /// Whether somebody waits for room.
    pub fn is_short(&self) -> bool {
        !self.used().waiting.is_empty()
    }

    fn fits(&self, used: &Used, bytes: u64) -> bool {
        used.objects < self.objects() && used.bytes + bytes <= self.bytes
    }

    fn objects(&self) -> usize {
        self.objects.load(Ordering::Relaxed).max(1)
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, bytes: u64, objects: usize) {
        let mut used = self.used();
        used.bytes -= bytes;
        used.objects -= objects;
        // Waking a thread for each object that leaves would cost more than the objects: a quarter
        // of the room must be free.
        let objects = self.objects();
        // The bound on objects may have fallen below what is on its way.
        let free_objects = objects.saturating_sub(used.objects);
        let free_bytes = self.bytes - used.bytes;
        if free_objects < objects.div_ceil(4) || free_bytes < self.bytes / 4 {
            return;
        }
        while let Some(next) = used.waiting.front()
            && self.fits(&used, next.bytes)
            && let Some(next) = used.waiting.pop_front()
        {
            used.take(next.bytes);
            next.granted.store(true, Ordering::Release);
            next.thread.unpark();
        }
    }
}

impl Used {
    fn take(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.objects += 1;
    }
}

/// The room of one object; dropped, it is free again.
#[derive(Debug)]
pub struct Room {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Room {
    /// Gives back what is not needed after all.
    pub fn shrink(&mut self, bytes: u64) {
        if bytes < self.bytes {
            self.budget.give_back(self.bytes - bytes, 0);
            self.bytes = bytes;
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes, 1);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn waits(budget: &Arc<Budget>, bytes: u64) -> std::sync::mpsc::Receiver<Room> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let budget = Arc::clone(budget);
        std::thread::spawn(move || sender.send(budget.wait(bytes)));
        receiver
    }

    #[test]
    fn bytes_and_objects_are_bounded() {
        let short = Duration::from_millis(50);
        let budget = Arc::new(Budget::new(100, Arc::new(AtomicUsize::new(2))));
        let mut first = budget.wait(80);
        let second = waits(&budget, 30);
        assert!(second.recv_timeout(short).is_err(), "110 bytes of 100");
        first.shrink(60);
        let second = second.recv_timeout(Duration::from_secs(10)).unwrap();
        let third = waits(&budget, 1);
        assert!(third.recv_timeout(short).is_err(), "three objects of two");
        drop(second);
        let _third = third.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn an_object_larger_than_the_budget_goes_alone() {
        let budget = Arc::new(Budget::new(100, Arc::new(AtomicUsize::new(10))));
        let small = budget.wait(1);
        let huge = waits(&budget, 1000);
        assert!(huge.recv_timeout(Duration::from_millis(50)).is_err());
        drop(small);
        huge.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
