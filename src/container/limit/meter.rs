//! A rate: tokens come in small portions, and whoever wants to go on takes some.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{AcquireError, Semaphore};
use tokio::time::Instant;

/// More than those who wait can want.
const PLENTY: usize = Semaphore::MAX_PERMITS / 2;

/// A machine that is busy serves its tasks late, the one that brings tokens too: nothing is lost up to this.
const LATE: Duration = Duration::from_millis(100);

/// Where tokens are taken. Who comes first gets them first.
#[derive(Debug)]
pub(super) struct Meter {
    tokens: Semaphore,
    in_force: AtomicBool,
}

/// Where tokens come from; there is one for each meter.
#[derive(Debug)]
pub(super) struct Supply {
    per_second: f64,
    /// The most that lie ready while nobody takes any.
    ready: f64,
    /// Less than one token.
    carried: f64,
    filled: Instant,
}

impl Meter {
    /// A meter that lets everything through.
    pub(super) fn new() -> Self {
        Meter {
            tokens: Semaphore::new(0),
            in_force: AtomicBool::new(false),
        }
    }

    /// Takes so many tokens, if a rate is in force. False if they must be waited for.
    pub(super) fn try_take(&self, tokens: u32) -> bool {
        if !self.in_force.load(Relaxed) {
            return true;
        }
        // None are to be had while others wait.
        match self.tokens.try_acquire_many(tokens) {
            // What is taken is used up.
            Ok(taken) => {
                taken.forget();
                true
            }
            Err(_) => false,
        }
    }

    /// Waits for so many tokens.
    pub(super) async fn take(&self, tokens: u32) -> Result<(), AcquireError> {
        if self.in_force.load(Relaxed) {
            self.tokens.acquire_many(tokens).await?.forget();
        }
        Ok(())
    }

    /// From now on tokens are needed.
    pub(super) fn impose(&self) {
        if !self.in_force.swap(true, Relaxed) {
            self.tokens.forget_permits(usize::MAX);
        }
    }

    /// No tokens are needed any more; those who wait for some get them.
    pub(super) fn lift(&self) {
        if self.in_force.swap(false, Relaxed) {
            self.tokens.add_permits(PLENTY);
        }
    }

    /// Whoever waits is refused.
    pub(super) fn close(&self) {
        self.tokens.close();
    }
}

impl Supply {
    /// So many tokens a second, of which `ready` lie ready at most, or those of [`LATE`] if they are more.
    pub(super) fn new(per_second: f64, ready: f64, now: Instant) -> Self {
        let least = (per_second * LATE.as_secs_f64()).max(1.0);
        Supply {
            per_second,
            ready: ready.max(least).min(PLENTY as f64),
            carried: 0.0,
            filled: now,
        }
    }

    /// Takes over from the supply of another rate, so that no time is lost or counted twice.
    pub(super) fn go_on_from(&mut self, before: &Supply) {
        self.carried = before.carried;
        self.filled = before.filled;
    }

    /// Brings the tokens that have come since the last time.
    pub(super) fn fill(&mut self, meter: &Meter, now: Instant) {
        let passed = now.duration_since(self.filled).as_secs_f64();
        self.filled = now;
        // After a long pause of this thread no more comes than may lie ready.
        let come = (self.carried + passed * self.per_second).min(self.ready);
        let whole = come.floor();
        self.carried = come - whole;
        // While somebody waits, none lie ready.
        let room = (self.ready as usize).saturating_sub(meter.tokens.available_permits());
        meter.tokens.add_permits((whole as usize).min(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a second brings with so much between two ticks, while somebody always waits.
    fn brought(per_second: f64, burst: f64, tick: Duration) -> f64 {
        let began = Instant::now();
        let meter = Meter::new();
        let mut supply = Supply::new(per_second, burst, began);
        let (mut now, mut taken) = (began, 0);
        while now - began < Duration::from_secs(1) {
            now += tick;
            supply.fill(&meter, now);
            taken += meter.tokens.forget_permits(usize::MAX);
        }
        taken as f64 / (now - began).as_secs_f64()
    }

    #[test]
    fn any_rate_is_reached_with_late_ticks_too() {
        for rate in [1e3, 1e6, 1e9, 4.0 * f64::from(1 << 30), 1e12] {
            for tick in [1, 10, 50, 100] {
                let tick = Duration::from_millis(tick);
                let brought = brought(rate, rate.min(f64::from(8 << 20)), tick);
                let off = (brought / rate - 1.0).abs();
                assert!(off < 0.01, "{rate} with {tick:?}: {brought}");
            }
        }
        // Whatever stands in the option, tokens can be counted.
        brought(u64::MAX as f64, 0.0, Duration::from_millis(100));
    }
}
