//! A token bucket that enforces a rate.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{AcquireError, Semaphore};
use tokio::time::Instant;

/// More tokens than all waiting requests can need.
const UNLIMITED: usize = Semaphore::MAX_PERMITS / 2;

/// The delay of a refill that loses no tokens: a busy machine runs the refilling task late.
const MAX_DELAY: Duration = Duration::from_millis(100);

/// A bucket of tokens, given out in the order of requests.
#[derive(Debug)]
pub(super) struct TokenBucket {
    tokens: Semaphore,
    is_limited: AtomicBool,
}

/// Refills one bucket at a rate.
#[derive(Debug)]
pub(super) struct Refill {
    per_second: f64,
    /// The capacity of the bucket.
    capacity: f64,
    /// The fraction of a token left over from the last refill.
    carried: f64,
    filled: Instant,
}

impl TokenBucket {
    /// Creates a bucket without a limit.
    pub(super) fn new() -> Self {
        TokenBucket {
            tokens: Semaphore::new(0),
            is_limited: AtomicBool::new(false),
        }
    }

    /// Takes `tokens` without waiting. Returns false if there are too few.
    pub(super) fn try_take(&self, tokens: u32) -> bool {
        if !self.is_limited.load(Relaxed) {
            return true;
        }
        // tokio's semaphore is fair: this fails while other requests wait.
        match self.tokens.try_acquire_many(tokens) {
            Ok(taken) => {
                taken.forget();
                true
            }
            Err(_) => false,
        }
    }

    /// Takes `tokens`, waiting for them as long as needed.
    pub(super) async fn take(&self, tokens: u32) -> Result<(), AcquireError> {
        if self.is_limited.load(Relaxed) {
            self.tokens.acquire_many(tokens).await?.forget();
        }
        Ok(())
    }

    /// Starts to require tokens.
    pub(super) fn impose(&self) {
        if !self.is_limited.swap(true, Relaxed) {
            self.tokens.forget_permits(usize::MAX);
        }
    }

    /// Stops requiring tokens and releases all waiting requests.
    pub(super) fn lift(&self) {
        if self.is_limited.swap(false, Relaxed) {
            self.tokens.add_permits(UNLIMITED);
        }
    }

    /// Fails all waiting requests.
    pub(super) fn close(&self) {
        self.tokens.close();
    }
}

impl Refill {
    /// Creates a refill of `per_second` tokens. `capacity` is raised to the tokens of [`MAX_DELAY`].
    pub(super) fn new(per_second: f64, capacity: f64, now: Instant) -> Self {
        let min = (per_second * MAX_DELAY.as_secs_f64()).max(1.0);
        Refill {
            per_second,
            capacity: capacity.max(min).min(UNLIMITED as f64),
            carried: 0.0,
            filled: now,
        }
    }

    /// Continues from the refill of another rate, so that no time is lost or counted twice.
    pub(super) fn continue_from(&mut self, before: &Refill) {
        self.carried = before.carried;
        self.filled = before.filled;
    }

    /// Adds the tokens since the last refill.
    pub(super) fn fill(&mut self, bucket: &TokenBucket, now: Instant) {
        let elapsed = now.duration_since(self.filled).as_secs_f64();
        self.filled = now;
        // A refill after a long delay is limited to the capacity, also while requests wait.
        let added = (self.carried + elapsed * self.per_second).min(self.capacity);
        let whole = added.floor();
        self.carried = added - whole;
        // While requests wait, no permit is available and the room is the full capacity.
        let room = (self.capacity as usize).saturating_sub(bucket.tokens.available_permits());
        bucket.tokens.add_permits((whole as usize).min(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the tokens per second, refilled every `tick` while requests always wait.
    fn refilled(per_second: f64, capacity: f64, tick: Duration) -> f64 {
        let start = Instant::now();
        let bucket = TokenBucket::new();
        let mut refill = Refill::new(per_second, capacity, start);
        let (mut now, mut taken) = (start, 0);
        while now - start < Duration::from_secs(1) {
            now += tick;
            refill.fill(&bucket, now);
            taken += bucket.tokens.forget_permits(usize::MAX);
        }
        taken as f64 / (now - start).as_secs_f64()
    }

    #[test]
    fn late_refills_keep_the_rate() {
        for rate in [1e3, 1e6, 1e9, 4.0 * f64::from(1 << 30), 1e12] {
            for tick in [1, 10, 50, 100] {
                let tick = Duration::from_millis(tick);
                let refilled = refilled(rate, rate.min(f64::from(8 << 20)), tick);
                let error = (refilled / rate - 1.0).abs();
                assert!(error < 0.01, "{rate} with {tick:?}: {refilled}");
            }
        }
        // The maximum value of the option must not overflow the semaphore.
        refilled(u64::MAX as f64, 0.0, Duration::from_millis(100));
    }
}
