//! A pool of buffers for segments.
//!
//! New memory costs a page fault for every 4 KiB, which takes longer than reading and sending a segment.
//! The memory that an allocator keeps of freed segments is not limited.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use clfs_format::{FILE_SEGMENT_BYTES, ObjectBuffer};

/// Segments below this length get memory of their own, because a buffer for a full segment would waste
/// memory while they are in flight.
pub(super) const POOLED_BYTES: u64 = FILE_SEGMENT_BYTES / 2;

/// Unused buffers: at most as many as were in use at one time, which the sink's room limits.
/// [`trim`](Self::trim) frees those that are no longer needed.
#[derive(Debug, Default)]
pub struct SegmentMemory(Mutex<Spare>);

#[derive(Debug, Default)]
struct Spare {
    memory: Vec<Vec<u8>>,
    /// The minimum number of unused buffers since the last trim: these were not needed.
    min: usize,
}

impl SegmentMemory {
    /// Frees the buffers that were not needed since the last call.
    pub fn trim(&self) {
        let mut spare = self.spare();
        let needed = spare.memory.len() - spare.min;
        let unneeded = spare.memory.split_off(needed);
        spare.min = needed;
        drop(spare);
        drop(unneeded);
    }

    /// Returns a buffer for any segment: an unused one, or a new one.
    pub(super) fn take(&self) -> Vec<u8> {
        let mut spare = self.spare();
        let memory = spare.memory.pop();
        spare.min = spare.min.min(spare.memory.len());
        drop(spare);
        memory.unwrap_or_else(|| vec![0; ObjectBuffer::FILE_SEGMENT_MEMORY])
    }

    pub(super) fn give_back(&self, memory: Vec<u8>) {
        if memory.capacity() >= ObjectBuffer::FILE_SEGMENT_MEMORY {
            self.spare().memory.push(memory);
        }
    }

    /// Wraps `blob` for the container. Its memory returns to the pool when the last copy is dropped.
    pub(super) fn lend(self: &Arc<Self>, blob: Vec<u8>) -> Bytes {
        Bytes::from_owner(PooledBlob {
            blob,
            pool: Arc::clone(self),
        })
    }

    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct PooledBlob {
    blob: Vec<u8>,
    pool: Arc<SegmentMemory>,
}

impl AsRef<[u8]> for PooledBlob {
    fn as_ref(&self) -> &[u8] {
        &self.blob
    }
}

impl Drop for PooledBlob {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.blob));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_returns_to_the_pool_when_its_last_copy_is_dropped() {
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
        assert!(
            pool.spare().memory.is_empty(),
            "too small for a full segment"
        );
        drop(other);
    }

    #[test]
    fn trim_frees_buffers_that_were_not_needed() {
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
