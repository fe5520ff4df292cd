//! Bounds the bytes of files that are on their way from the container to the disk.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::problem::ExtractError;

/// What one permit stands for, in bytes.
const UNIT: u64 = 64 << 10;
/// Bytes of segments that are fetched, waiting or being written: what 20 segments need.
const BYTES: u64 = 160 << 20;
/// The most that one file asks for: four segments of 8 MiB fetched ahead and one being written.
const BYTES_OF_A_FILE: u64 = 40 << 20;

/// What is left of the bytes that may be on their way. Files wait in turn.
#[derive(Debug)]
pub(super) struct Budget(Semaphore);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Semaphore::new((BYTES / UNIT) as usize))
    }

    /// Waits until a file of so many bytes may be fetched.
    pub(super) async fn take(&self, bytes: u64) -> Result<SemaphorePermit<'_>, ExtractError> {
        // At most 640.
        let units = bytes.min(BYTES_OF_A_FILE).div_ceil(UNIT) as u32;
        let permit = self.0.acquire_many(units).await;
        permit.map_err(|_| ExtractError::Stopped)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_files_wait_for_each_other() {
        let budget = Budget::new();
        let mut held = Vec::new();
        for size in [u64::MAX, 1 << 40, 40 << 20, (40 << 20) - UNIT, 0, 1] {
            held.push(budget.take(size).await.unwrap());
        }
        let small = budget.take(1);
        tokio::pin!(small);
        assert!(futures::poll!(&mut small).is_pending());
        held.clear();
        drop(small.await.unwrap());
    }
}
