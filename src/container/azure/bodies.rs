//! A budget for the bytes of all responses in flight, whatever lengths they announce.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// The bytes that one permit covers.
const UNIT: u64 = 4 << 10;
/// The budget: eight segments with their buffers, or a page of 5,000 usual names for each of 16 listings.
const BYTES: u64 = 80 << 20;

/// The budget for responses in flight, shared by all requests to a container.
///
/// A response without a length acquires more as it grows. If all responses held a part and waited for more, they would
/// deadlock, so one response at a time may exceed the budget, up to its own size limit.
#[derive(Debug, Clone)]
pub(super) struct BodyBudget {
    units: Arc<Semaphore>,
    over_budget: Arc<Mutex<()>>,
}

impl BodyBudget {
    pub(super) fn new() -> Self {
        Self::with_bytes(BYTES)
    }

    fn with_bytes(bytes: u64) -> Self {
        Self {
            // Fewer than 2^16.
            units: Arc::new(Semaphore::new((bytes / UNIT) as usize)),
            over_budget: Arc::default(),
        }
    }

    /// Returns an empty share for one response.
    pub(super) fn share(&self) -> BodyShare {
        BodyShare {
            budget: self.clone(),
            units: 0,
            permits: Vec::new(),
            over_budget: None,
        }
    }
}

/// The bytes of the budget that one response has acquired. They are released on drop.
#[derive(Debug)]
pub(super) struct BodyShare {
    budget: BodyBudget,
    units: u32,
    permits: Vec<OwnedSemaphorePermit>,
    /// Held by the response that may exceed the budget.
    over_budget: Option<OwnedMutexGuard<()>>,
}

impl BodyShare {
    /// Waits until the response may have a total of `bytes`.
    pub(super) async fn grow_to(&mut self, bytes: u64) {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let more = units.saturating_sub(self.units);
        if more == 0 || self.over_budget.is_some() {
            return;
        }
        tokio::select! {
            biased;
            permits = Arc::clone(&self.budget.units).acquire_many_owned(more) => {
                // The semaphore is never closed.
                self.permits.extend(permits);
                self.units = units;
            }
            guard = Arc::clone(&self.budget.over_budget).lock_owned() => {
                self.over_budget = Some(guard);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_response_at_a_time_exceeds_the_budget() {
        let budget = BodyBudget::with_bytes(8 * UNIT);
        let [mut first, mut second, mut third] = std::array::from_fn(|_| budget.share());
        first.grow_to(1).await;
        second.grow_to(4 * UNIT).await;
        // Three units are left.
        first.grow_to(2 * UNIT).await;
        third.grow_to(2 * UNIT).await;
        assert_eq!(budget.units.available_permits(), 0);
        // All three request more: one gets it, and the others wait for that one.
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
