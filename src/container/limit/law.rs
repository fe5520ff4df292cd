//! The control law: what was measured in, what is allowed out. No clock and no I/O, so that tests
//! can run it against simulated services.

use std::time::Duration;

use super::climb::{Bounds, Climb};
use super::pace::Pace;

/// The shortest epoch: a commit of the state or a pause of the scan is shorter than most of it.
const SHORTEST: Duration = Duration::from_millis(200);
/// Once the service throttles: services count requests in seconds, so anything shorter would see
/// either all of a second's allowance or nothing.
const PACED: Duration = Duration::from_secs(1);
/// Answers may take long on a thin line; an epoch waits for them no longer than this.
const LONGEST: Duration = Duration::from_secs(5);
/// Answer times in an epoch.
const ANSWER_TIMES: u32 = 4;
/// Services turn a request away now and then for reasons of their own. This share of them is no such stray.
pub(super) const THROTTLED: f64 = 0.01;
/// Answer times after a change until what is measured comes of it: a new connection takes one or
/// two round trips more than the request itself.
const SETTLE_TIMES: u32 = 3;

/// What happened in an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Measured {
    /// How long it was.
    pub(super) elapsed: Duration,
    /// Requests that were to begin.
    pub(super) tried: u64,
    /// Those of them that found as many on their way as are allowed.
    pub(super) waited: u64,
    /// Requests that had a place and waited for the pace or the bandwidth limit.
    pub(super) metered: u64,
    /// Requests that the service carried out, or refused for good.
    pub(super) answered: u64,
    /// Bytes of content that it took.
    pub(super) bytes: u64,
    /// The mean time of these answers.
    pub(super) answer_time: Duration,
    /// Requests that the service would not take now.
    pub(super) throttled: u64,
    /// Requests without an answer in time.
    pub(super) timed_out: u64,
    /// Requests that failed for another passing reason.
    pub(super) failed: u64,
}

impl Measured {
    /// So much an element of the epoch comes to in a second.
    pub(super) fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.elapsed.as_secs_f64().max(1e-3)
    }

    /// Whether the limit held requests up. A client that has no more to send says nothing about
    /// the limit, nor does one that keeps to a rate: places are in use then while it waits.
    pub(super) fn is_limited(&self) -> bool {
        self.waited * 2 > self.tried && self.metered * 10 <= self.tried
    }

    /// Requests that got an answer of the service, whatever it was.
    pub(super) fn ended(&self) -> u64 {
        self.answered + self.throttled
    }

    /// Whether enough requests were turned away to say something of how many there are.
    pub(super) fn is_throttled(&self) -> bool {
        self.throttled > 0 && self.throttled as f64 >= THROTTLED * self.ended() as f64
    }

    /// Whether so much failed that the answers say nothing.
    pub(super) fn is_disturbed(&self) -> bool {
        self.is_throttled() || self.failed + self.timed_out > self.answered
    }
}

/// What is allowed from now on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Settings {
    /// Requests at the same time.
    pub(super) concurrency: usize,
    /// Requests in a second; any number without.
    pub(super) pace: Option<f64>,
    /// How long to wait before the next epoch begins.
    pub(super) settle: Duration,
    /// How long it lasts at least.
    pub(super) epoch: Duration,
}

/// The law: a limit of concurrency that looks for throughput, and a pace for services that throttle.
#[derive(Debug)]
pub(super) struct Law {
    climb: Climb,
    pace: Pace,
    answer_time: Duration,
    settings: Settings,
}

impl Law {
    pub(super) fn new(bounds: Bounds) -> Self {
        let climb = Climb::new(bounds);
        Law {
            settings: Settings {
                concurrency: climb.limit(),
                pace: None,
                settle: Duration::ZERO,
                epoch: SHORTEST,
            },
            climb,
            pace: Pace::default(),
            answer_time: Duration::ZERO,
        }
    }

    pub(super) fn settings(&self) -> Settings {
        self.settings
    }

    /// An epoch is over.
    pub(super) fn epoch(&mut self, measured: &Measured) -> Settings {
        if measured.answered > 0 {
            self.answer_time = measured.answer_time;
        }
        let concurrency = self.climb.epoch(measured);
        let before = self.settings.pace;
        let pace = self.pace.epoch(measured);
        let slower = match (before, pace) {
            (None, Some(_)) => true,
            (Some(before), Some(now)) => now < before,
            (_, None) => false,
        };
        let settle = match concurrency != self.settings.concurrency || slower {
            true => (self.answer_time * SETTLE_TIMES).min(LONGEST),
            false => Duration::ZERO,
        };
        let shortest = match pace {
            Some(_) => PACED,
            None => SHORTEST,
        };
        self.settings = Settings {
            concurrency,
            pace,
            settle,
            epoch: (self.answer_time * ANSWER_TIMES).clamp(shortest, LONGEST),
        };
        self.settings
    }
}

#[cfg(test)]
#[path = "law_tests.rs"]
mod tests;
