//! Bounds the bytes of all answers that are being received, whatever lengths they announce.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// What one permit stands for, in bytes.
const UNIT: u64 = 4 << 10;
/// Bytes of answers in flight: eight segments and their room, or a page of 5,000 usual names for each of 16 listings.
const BYTES: u64 = 80 << 20;

/// The bytes that are left for answers in flight. Shared by all requests to a container.
///
/// An answer without a length takes more as it grows. If all of them held a part and waited for more, none would ever
/// finish: so one answer at a time may exceed the budget, up to the limit that each answer has by itself.
#[derive(Debug, Clone)]
pub(super) struct BodyBudget {
    units: Arc<Semaphore>,
    beyond: Arc<Mutex<()>>,
}

impl BodyBudget {
    pub(super) fn new() -> Self {
        Self::with_bytes(BYTES)
    }

    fn with_bytes(bytes: u64) -> Self {
        Self {
            // Fewer than 2^16.
            units: Arc::new(Semaphore::new((bytes / UNIT) as usize)),
            beyond: Arc::default(),
        }
    }

    /// The share of one answer; it is empty at first.
    pub(super) fn share(&self) -> BodyShare {
        BodyShare {
            budget: self.clone(),
            units: 0,
            permits: Vec::new(),
            beyond: None,
        }
    }
}

/// The bytes that one answer takes from the budget; they are free again when this is dropped.
#[derive(Debug)]
pub(super) struct BodyShare {
    budget: BodyBudget,
    units: u32,
    permits: Vec<OwnedSemaphorePermit>,
    /// Held by the one answer that needs no permits.
    beyond: Option<OwnedMutexGuard<()>>,
}

impl BodyShare {
    /// Waits until the answer may hold `bytes` in all.
    pub(super) async fn grow_to(&mut self, bytes: u64) {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let more = units.saturating_sub(self.units);
        if more == 0 || self.beyond.is_some() {
            return;
        }
        tokio::select! {
            biased;
            permits = Arc::clone(&self.budget.units).acquire_many_owned(more) => {
                // Nobody closes it.
                self.permits.extend(permits);
                self.units = units;
            }
            alone = Arc::clone(&self.budget.beyond).lock_owned() => self.beyond = Some(alone),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_answer_at_a_time_exceeds_the_budget() {
        let budget = BodyBudget::with_bytes(8 * UNIT);
        let [mut first, mut second, mut third] = std::array::from_fn(|_| budget.share());
        first.grow_to(1).await;
        second.grow_to(4 * UNIT).await;
        // Three units are left.
        first.grow_to(2 * UNIT).await;
        third.grow_to(2 * UNIT).await;
        assert_eq!(budget.units.available_permits(), 0);
        // All three want more: one gets as much as it wants, the others wait for it.
        second.grow_to(1 << 40).await;
        assert!(first.grow_to(3 * UNIT).now_or_never().is_none());
        assert!(third.grow_to(3 * UNIT).now_or_never().is_none());
        drop(second);
        first.grow_to(4 * UNIT).await;
        third.grow_to(4 * UNIT).await;
        drop((first, third));
        assert_eq!(budget.units.available_permits(), 8);
    }
}
