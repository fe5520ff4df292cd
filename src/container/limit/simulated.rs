//! Simulated services for the tests of the controller, in steps of 10 ms of simulated time.

use std::time::Duration;

use super::concurrency_controller::Bounds;
use super::controller::{Controller, Measurement};

/// The length of a step, in seconds.
const STEP: f64 = 0.01;

/// The maximum limit of the simulated controller.
pub(super) const MAX_CONCURRENCY: usize = 1024;

/// A fluid model of a service, the line to it, and the client.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    /// The response time of the idle service, in seconds.
    pub(super) latency: f64,
    /// The requests per second that both client and service can process.
    pub(super) capacity: f64,
    /// The requests per second that the source offers.
    pub(super) source_rate: f64,
    pub(super) request_bytes: f64,
    /// The bytes per second of the line.
    pub(super) line_rate: f64,
    /// How the service throttles.
    pub(super) throttle: Option<Throttle>,
    /// All requests fail immediately.
    pub(super) fails: bool,
    /// All requests time out.
    pub(super) is_silent: bool,
    /// Requests time out when more than this number share the line.
    pub(super) max_sharing: f64,
    /// The share of requests that are throttled independently of the load.
    pub(super) stray_share: f64,
    /// The interval of one additional stray, in seconds.
    pub(super) stray_interval: Option<f64>,
    /// The maximum relative deviation of the capacity, drawn every 0.1 s.
    pub(super) noise: f64,
}

/// A limit beyond which the service throttles.
#[derive(Debug, Clone, Copy)]
pub(super) enum Throttle {
    /// A token bucket that is refilled at `rate` and holds the tokens of `seconds`.
    Bucket { rate: f64, seconds: f64 },
    /// `rate` requests in each second of the clock.
    Window { rate: f64 },
    /// All requests are throttled.
    All,
}

impl Default for Scenario {
    fn default() -> Self {
        Scenario {
            latency: 0.01,
            capacity: 15_000.0,
            source_rate: f64::INFINITY,
            request_bytes: 3_000.0,
            line_rate: f64::INFINITY,
            throttle: None,
            fails: false,
            is_silent: false,
            max_sharing: f64::INFINITY,
            stray_share: 0.0,
            stray_interval: None,
            noise: 0.0,
        }
    }
}

impl Scenario {
    /// Returns the throughput of the best fixed limit.
    pub(super) fn best_throughput(&self) -> f64 {
        let by_concurrency = MAX_CONCURRENCY as f64 / self.latency.max(1e-4);
        let possible = by_concurrency
            .min(self.capacity)
            .min(self.line_rate / self.request_bytes);
        match self.throttle {
            Some(Throttle::Bucket { rate, .. } | Throttle::Window { rate }) => possible.min(rate),
            Some(Throttle::All) => 0.0,
            None => possible,
        }
        .min(self.source_rate)
    }
}

/// Requests in one second of simulated time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Second {
    pub(super) completed: f64,
    pub(super) throttled: f64,
}

/// Runs a controller against a scenario.
pub(super) struct Simulation {
    pub(super) scenario: Scenario,
    pub(super) controller: Controller,
    /// Simulated seconds since the start.
    pub(super) time: f64,
    pub(super) seconds: Vec<Second>,
    random: fastrand::Rng,
    noise_factor: f64,
    tokens: f64,
    /// The current second of [`Throttle::Window`] and the requests accepted in it.
    window: (u64, f64),
}

/// The sums of one epoch; the fields are those of [`Measurement`].
#[derive(Default)]
struct Sums {
    attempts: f64,
    waited_for_permit: f64,
    waited_for_tokens: f64,
    completed: f64,
    throttled: f64,
    failed: f64,
    timed_out: f64,
    response_time: f64,
}

impl Simulation {
    pub(super) fn new(scenario: Scenario, seed: u64) -> Simulation {
        Simulation {
            scenario,
            controller: Controller::new(Bounds {
                min: 4,
                start: 64,
                max: MAX_CONCURRENCY,
            }),
            random: fastrand::Rng::with_seed(seed),
            time: 0.0,
            noise_factor: 1.0,
            tokens: 0.0,
            window: (0, 0.0),
            seconds: Vec::new(),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.controller.settings().concurrency
    }

    /// Returns how many of the requests offered in a step are accepted.
    fn accepted(&mut self, offered: f64) -> f64 {
        match self.scenario.throttle {
            None => offered,
            Some(Throttle::All) => 0.0,
            Some(Throttle::Bucket { rate, seconds }) => {
                self.tokens = (self.tokens + rate * STEP).min(rate * seconds.max(STEP));
                let accepted = offered.min(self.tokens);
                self.tokens -= accepted;
                accepted
            }
            Some(Throttle::Window { rate }) => {
                let second = self.time as u64;
                if self.window.0 != second {
                    self.window = (second, 0.0);
                }
                let accepted = offered.min(rate - self.window.1);
                self.window.1 += accepted;
                accepted
            }
        }
    }

    /// Returns how many requests of a step are throttled independently of the load.
    fn strays(&mut self, requests: f64) -> f64 {
        let mut strays = 0.0;
        if let Some(interval) = self.scenario.stray_interval
            && (self.time / interval) as u64 != ((self.time - STEP) / interval) as u64
        {
            strays += 1.0;
        }
        // Draws from a Poisson distribution by multiplying uniform numbers; the mean is far below 1.
        let none = (-requests * self.scenario.stray_share).exp();
        let mut product = self.random.f64();
        while product > none {
            strays += 1.0;
            product *= self.random.f64();
        }
        strays
    }

    fn step(&mut self, sums: &mut Sums) {
        if ((self.time / STEP) as u64).is_multiple_of(10) {
            let deviation = self.random.f64() * 2.0 - 1.0;
            self.noise_factor = 1.0 + self.scenario.noise * deviation;
        }
        let settings = self.controller.settings();
        let scenario = &self.scenario;
        let concurrency = settings.concurrency as f64;
        let possible = (concurrency / scenario.latency.max(1e-4))
            .min(scenario.capacity * self.noise_factor)
            .min(scenario.line_rate / scenario.request_bytes);
        let wanted = scenario
            .source_rate
            .min(settings.rate.unwrap_or(f64::INFINITY));
        let offered = possible.min(wanted) * STEP;
        sums.attempts += offered;
        if possible < wanted {
            sums.waited_for_permit += offered;
            sums.response_time += concurrency * STEP;
        } else {
            // Requests delayed by the rate limit hold permits in the meantime.
            if wanted < scenario.source_rate {
                sums.waited_for_permit += offered;
                sums.waited_for_tokens += offered;
            }
            sums.response_time += offered * scenario.latency;
        }
        let (completed, throttled) = if scenario.fails {
            sums.failed += offered;
            (0.0, 0.0)
        } else if scenario.is_silent {
            // All permits are in use, and each request times out after 10 s.
            sums.timed_out += concurrency * STEP / 10.0;
            (0.0, 0.0)
        } else if concurrency > scenario.max_sharing {
            // The more requests share the line, the fewer complete in time.
            let completed = offered * scenario.max_sharing / concurrency / 2.0;
            sums.timed_out += offered - completed;
            (completed, 0.0)
        } else {
            let accepted = self.accepted(offered);
            let strays = self.strays(accepted).min(accepted);
            (accepted - strays, offered - accepted + strays)
        };
        sums.completed += completed;
        sums.throttled += throttled;
        let second = self.time as usize;
        self.seconds
            .resize(self.seconds.len().max(second + 1), Second::default());
        self.seconds[second].completed += completed;
        self.seconds[second].throttled += throttled;
        self.time += STEP;
    }

    pub(super) fn run(&mut self, seconds: f64) {
        let end = self.time + seconds;
        while self.time < end {
            let settings = self.controller.settings();
            let settled = self.time + settings.settle.as_secs_f64();
            while self.time < settled {
                self.step(&mut Sums::default());
            }
            let (mut sums, start) = (Sums::default(), self.time);
            loop {
                self.step(&mut sums);
                let elapsed = self.time - start;
                let is_complete = elapsed >= settings.epoch.as_secs_f64()
                    && (sums.completed + sums.throttled >= 200.0 || elapsed >= 2.0);
                if is_complete {
                    break;
                }
            }
            let response_time = sums.response_time / sums.attempts.max(1.0);
            self.controller.end_epoch(&Measurement {
                elapsed: Duration::from_secs_f64(self.time - start),
                attempts: sums.attempts as u64,
                waited_for_permit: sums.waited_for_permit as u64,
                waited_for_tokens: sums.waited_for_tokens as u64,
                completed: sums.completed as u64,
                bytes: (sums.completed * self.scenario.request_bytes) as u64,
                response_time: Duration::from_secs_f64(response_time),
                throttled: sums.throttled.ceil() as u64,
                timed_out: sums.timed_out.ceil() as u64,
                failed: sums.failed as u64,
            });
        }
    }

    /// Returns the mean number of completed requests per second between two seconds.
    pub(super) fn throughput(&self, from: usize, to: usize) -> f64 {
        let completed: f64 = self.seconds[from..to]
            .iter()
            .map(|second| second.completed)
            .sum();
        completed / (to - from) as f64
    }

    /// Returns the share of throttled requests between two seconds.
    pub(super) fn throttled_share(&self, from: usize, to: usize) -> f64 {
        let seconds = &self.seconds[from..to];
        let completed: f64 = seconds.iter().map(|second| second.completed).sum();
        let throttled: f64 = seconds.iter().map(|second| second.throttled).sum();
        throttled / (completed + throttled)
    }
}
