//! Memory of segments, used again and again.
//!
//! Fresh memory costs a page fault for every 4 KiB, which is more than reading and sending a segment
//! costs, and what an allocator keeps of freed segments nobody bounds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use clfs_format::{FILE_SEGMENT_BYTES, ObjectBuffer};

/// Segments below this length get memory of their own: the memory of a full one would be wasted
/// on them while they are on their way.
pub(super) const POOLED_BYTES: u64 = FILE_SEGMENT_BYTES / 2;

/// Memory that waits for its next use: no more than was in use at one time, which the sink's room
/// bounds, and what is not needed any more goes with [`trim`](Self::trim).
#[derive(Debug, Default)]
pub struct SegmentMemory(Mutex<Spare>);

#[derive(Debug, Default)]
struct Spare {
    memory: Vec<Vec<u8>>,
    /// The fewest that there were since the last trim: so many nobody needed.
    fewest: usize,
}

impl SegmentMemory {
    /// Frees what was not needed since the last call of this.
    pub fn trim(&self) {
        let mut spare = self.spare();
        let needed = spare.memory.len() - spare.fewest;
        let unneeded = spare.memory.split_off(needed);
        spare.fewest = needed;
        drop(spare);
        drop(unneeded);
    }

    /// Memory for any segment: that of one before, or new.
    pub(super) fn take(&self) -> Vec<u8> {
        let mut spare = self.spare();
        let memory = spare.memory.pop();
        spare.fewest = spare.fewest.min(spare.memory.len());
        drop(spare);
        memory.unwrap_or_else(|| vec![0; ObjectBuffer::FILE_SEGMENT_MEMORY])
    }

    pub(super) fn give_back(&self, memory: Vec<u8>) {
        if memory.capacity() >= ObjectBuffer::FILE_SEGMENT_MEMORY {
            self.spare().memory.push(memory);
        }
    }

    /// `blob` as the container takes it; its memory comes back when it was sent.
    pub(super) fn lend(self: &Arc<Self>, blob: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent {
            blob,
            home: Arc::clone(self),
        })
    }

    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Lent {
    blob: Vec<u8>,
    home: Arc<SegmentMemory>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.blob
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.blob));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_when_the_last_reader_is_gone() {
        let pool = Arc::new(SegmentMemory::default());
        let blob = pool.take();
        let address = blob.as_ptr();
        let sent = pool.lend(blob);
        let again = sent.clone();
        drop(sent);
        let other = pool.take();
        assert_ne!(other.as_ptr(), address, "it is still read");
        drop(again);
        let next = pool.take();
        assert_eq!(next.as_ptr(), address);
        pool.give_back(vec![0; 1000]);
        assert!(pool.spare().memory.is_empty(), "not enough for any segment");
        drop(other);
    }

    #[test]
    fn what_nobody_needed_for_a_while_goes() {
        let pool = SegmentMemory::default();
        let taken: Vec<_> = (0..4).map(|_| pool.take()).collect();
        taken.into_iter().for_each(|memory| pool.give_back(memory));
        pool.trim();
        assert_eq!(pool.spare().memory.len(), 4, "all were in use");
        // Two at a time from now on.
        let two = [pool.take(), pool.take()];
        two.into_iter().for_each(|memory| pool.give_back(memory));
        pool.trim();
        assert_eq!(pool.spare().memory.len(), 2);
        pool.trim();
        assert!(pool.spare().memory.is_empty(), "none was needed");
    }
}
