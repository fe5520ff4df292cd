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

/// Memory that waits for its next use.
#[derive(Debug, Default)]
pub struct SegmentMemory {
    spare: Mutex<Vec<Vec<u8>>>,
    /// How many segments' memory may wait.
    most: usize,
}

impl SegmentMemory {
    /// Memory that keeps at most so many bytes for their next use.
    pub fn keeping(bytes: u64) -> Self {
        let most = bytes / ObjectBuffer::FILE_SEGMENT_MEMORY as u64;
        SegmentMemory {
            spare: Mutex::default(),
            most: usize::try_from(most).unwrap_or(usize::MAX),
        }
    }

    /// Memory for any segment: that of one before, or new.
    pub(super) fn take(&self) -> Vec<u8> {
        let spare = self.spare().pop();
        spare.unwrap_or_else(|| vec![0; ObjectBuffer::FILE_SEGMENT_MEMORY])
    }

    pub(super) fn give_back(&self, memory: Vec<u8>) {
        let mut spare = self.spare();
        if memory.capacity() >= ObjectBuffer::FILE_SEGMENT_MEMORY && spare.len() < self.most {
            spare.push(memory);
        }
    }

    /// `blob` as the container takes it; its memory comes back when it was sent.
    pub(super) fn lend(self: &Arc<Self>, blob: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent {
            blob,
            home: Arc::clone(self),
        })
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
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
        let pool = Arc::new(SegmentMemory::keeping(9 << 20));
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
        assert!(pool.spare().is_empty(), "not enough for any segment");
        pool.give_back(next);
        pool.give_back(other);
        assert_eq!(pool.spare().len(), 1, "more than is to be kept");
    }
}
