//! The controller, which computes the limits of the next epoch from the measurement of the last one. It uses
//! no clock and no I/O, so that tests can run it against simulated services.
//!
//! An epoch is one measurement interval under constant limits.

use std::time::Duration;

use super::concurrency_controller::{Bounds, ConcurrencyController};
use super::rate_controller::RateController;

/// The minimum epoch without a rate limit: longer than most commits of the state and pauses of the scan.
const MIN_EPOCH: Duration = Duration::from_millis(200);
/// The minimum epoch with a rate limit. Services count requests per second, so a shorter epoch would see
/// either a second's complete allowance or none of it.
const MIN_RATE_LIMITED_EPOCH: Duration = Duration::from_secs(1);
/// The maximum epoch, however long responses take on a slow line.
const MAX_EPOCH: Duration = Duration::from_secs(5);
/// The length of an epoch, in response times.
const EPOCH_RESPONSE_TIMES: u32 = 4;
/// The share of throttled requests from which on they count as load. Services also reject a few
/// requests for reasons unrelated to load.
pub(super) const THROTTLED_SHARE: f64 = 0.01;
/// The time from a change of the limits to its effect, in response times: a new connection takes one
/// or two round trips more than the request itself.
const SETTLE_RESPONSE_TIMES: u32 = 3;

/// The events of one epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Measurement {
    /// The length of the epoch.
    pub(super) elapsed: Duration,
    /// Request attempts that were started.
    pub(super) attempts: u64,
    /// Attempts that found no free permit.
    pub(super) waited_for_permit: u64,
    /// Attempts that held a permit and waited for tokens of the rate or bandwidth limit.
    pub(super) waited_for_tokens: u64,
    /// Requests that succeeded or failed permanently.
    pub(super) completed: u64,
    /// Content bytes of successful requests.
    pub(super) bytes: u64,
    /// The mean response time of the completed requests.
    pub(super) response_time: Duration,
    /// Requests that the service throttled.
    pub(super) throttled: u64,
    /// Requests without a response before the timeout.
    pub(super) timed_out: u64,
    /// Requests that failed for another transient reason.
    pub(super) failed: u64,
}

impl Measurement {
    /// Returns `count` events of the epoch as a rate per second.
    pub(super) fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.elapsed.as_secs_f64().max(1e-3)
    }

    /// Returns whether the concurrency limit delayed requests. An idle client provides no evidence about
    /// the limit. Neither does a rate-limited one, whose requests hold permits while they wait for tokens.
    pub(super) fn is_limited(&self) -> bool {
        self.waited_for_permit * 2 > self.attempts && self.waited_for_tokens * 10 <= self.attempts
    }

    /// Returns the number of requests with a response, throttled ones included.
    pub(super) fn responses(&self) -> u64 {
        self.completed + self.throttled
    }

    /// Returns whether enough requests were throttled to count as load.
    pub(super) fn is_throttled(&self) -> bool {
        self.throttled > 0 && self.throttled as f64 >= THROTTLED_SHARE * self.responses() as f64
    }

    /// Returns whether too many requests failed for the throughput to be meaningful.
    pub(super) fn is_disturbed(&self) -> bool {
        self.is_throttled() || self.failed + self.timed_out > self.completed
    }
}

/// The limits of the next epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Settings {
    /// Maximum concurrent requests.
    pub(super) concurrency: usize,
    /// Maximum requests per second; `None` is unlimited.
    pub(super) rate: Option<f64>,
    /// The wait before the next epoch begins.
    pub(super) settle: Duration,
    /// The minimum length of the next epoch.
    pub(super) epoch: Duration,
}

/// Combines the concurrency limit, which follows throughput, with the rate limit for services that
/// throttle.
#[derive(Debug)]
pub(super) struct Controller {
    concurrency: ConcurrencyController,
    rate: RateController,
    response_time: Duration,
    settings: Settings,
}

impl Controller {
    pub(super) fn new(bounds: Bounds) -> Self {
        let concurrency = ConcurrencyController::new(bounds);
        Controller {
            settings: Settings {
                concurrency: concurrency.limit(),
                rate: None,
                settle: Duration::ZERO,
                epoch: MIN_EPOCH,
            },
            concurrency,
            rate: RateController::default(),
            response_time: Duration::ZERO,
        }
    }

    pub(super) fn settings(&self) -> Settings {
        self.settings
    }

    /// Ends an epoch and returns the limits of the next one.
    pub(super) fn end_epoch(&mut self, measured: &Measurement) -> Settings {
        if measured.completed > 0 {
            self.response_time = measured.response_time;
        }
        let concurrency = self.concurrency.end_epoch(measured);
        let rate = self.rate.end_epoch(measured);
        let is_slower = match (self.settings.rate, rate) {
            (None, Some(_)) => true,
            (Some(before), Some(now)) => now < before,
            (_, None) => false,
        };
        let settle = match concurrency != self.settings.concurrency || is_slower {
            true => (self.response_time * SETTLE_RESPONSE_TIMES).min(MAX_EPOCH),
            false => Duration::ZERO,
        };
        let min_epoch = match rate {
            Some(_) => MIN_RATE_LIMITED_EPOCH,
            None => MIN_EPOCH,
        };
        self.settings = Settings {
            concurrency,
            rate,
            settle,
            epoch: (self.response_time * EPOCH_RESPONSE_TIMES).clamp(min_epoch, MAX_EPOCH),
        };
        self.settings
    }
}

#[cfg(test)]
#[path = "controller_tests.rs"]
mod tests;
