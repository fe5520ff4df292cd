//! The limit on concurrent requests: a hill climber that finds the smallest limit with full throughput.
//!
//! The limit doubles while throughput grows with it. Then it holds and occasionally tries another
//! limit. A trial is compared with the throughput before *and* after it, so that a source that becomes
//! faster or slower in the meantime does not decide the trial. Only epochs in which requests waited
//! for a permit count: otherwise the client, the source, or the rate limit is the bottleneck.

use std::time::Duration;

use super::controller::Measurement;

/// The growth of throughput for which a doubled limit is kept; 2 would be proportional.
const DOUBLING_GAIN: f64 = 1.3;
/// The factor between the limit and a later trial.
const TRIAL_FACTOR: f64 = 1.5;
/// The growth of throughput for which a higher limit is kept; 1.5 would be proportional.
const TRIAL_GAIN: f64 = 1.1;
/// The share of throughput that lower limits may cost in total until a higher limit is kept.
const MAX_LOSS: f64 = 0.03;
/// Epochs per compared mean.
const MIN_EPOCHS: u32 = 2;
/// A trial limit is kept when no request has waited for a permit for this long, because then the limit
/// is not the bottleneck.
const UNLIMITED_TIME: Duration = Duration::from_secs(5);
/// The wait after a successful trial; it doubles with each unsuccessful one.
const MIN_HOLD: Duration = Duration::from_secs(1);
/// The maximum wait between trials. New connections cost handshakes, so trials become rare.
const MAX_HOLD: Duration = Duration::from_secs(60);
/// The content bytes that cost as much as one request. Measured in CPU time: 50 µs per Put Blob
/// request and 0.2 s per GB.
const BYTES_PER_REQUEST: f64 = 256.0 * 1024.0;

/// The range of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The minimum limit, reached only when requests time out.
    pub(super) min: usize,
    /// The initial limit and the minimum of trials: a lower limit would save nothing.
    pub(super) start: usize,
    /// The maximum limit.
    pub(super) max: usize,
}

/// Adjusts the limit on concurrent requests after each epoch.
#[derive(Debug)]
pub(super) struct ConcurrencyController {
    bounds: Bounds,
    /// The best limit so far.
    base: usize,
    /// The limit in force: `base` or a trial.
    limit: usize,
    hold: Duration,
    /// The share of throughput that lower limits have cost since a higher one was kept.
    loss: f64,
    is_up_next: bool,
    /// The time since a request last waited for a permit.
    unlimited: Duration,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The limit doubles. `before` is the throughput before the last doubling.
    Doubling { before: Option<f64> },
    /// The limit stays at `base` until the next trial.
    Holding { left: Duration, usual: Mean },
    /// A trial limit is in force.
    Trying { before: f64, during: Mean },
    /// `base` is in force again, to measure the throughput after the trial.
    Checking {
        trial: usize,
        before: f64,
        during: f64,
        after: Mean,
    },
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    epochs: u32,
}

impl Mean {
    fn add(&mut self, value: f64) {
        // Recent epochs weigh more in a long hold.
        if self.epochs >= 2 * MIN_EPOCHS {
            self.sum /= 2.0;
            self.epochs /= 2;
        }
        self.sum += value;
        self.epochs += 1;
    }

    /// Returns `None` for fewer than [`MIN_EPOCHS`] epochs.
    fn get(&self) -> Option<f64> {
        (self.epochs >= MIN_EPOCHS).then(|| self.sum / f64::from(self.epochs))
    }
}

impl ConcurrencyController {
    pub(super) fn new(bounds: Bounds) -> Self {
        ConcurrencyController {
            bounds,
            base: bounds.start,
            limit: bounds.start,
            hold: MIN_HOLD,
            loss: 0.0,
            is_up_next: true,
            unlimited: Duration::ZERO,
            phase: Phase::Doubling { before: None },
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Ends an epoch and returns the limit of the next one.
    pub(super) fn end_epoch(&mut self, measured: &Measurement) -> usize {
        if measured.is_disturbed() {
            self.after_disturbed(measured);
        } else if measured.is_limited() {
            let work = measured.completed as f64 + measured.bytes as f64 / BYTES_PER_REQUEST;
            let throughput = work / measured.elapsed.as_secs_f64().max(1e-3);
            self.unlimited = Duration::ZERO;
            self.after_limited(throughput, measured.elapsed);
        } else {
            self.unlimited += measured.elapsed;
            if self.limit != self.base && self.unlimited >= UNLIMITED_TIME {
                self.base = self.limit;
                self.is_up_next = !self.is_up_next;
                self.begin_hold();
            }
        }
        self.limit
    }

    fn after_disturbed(&mut self, measured: &Measurement) {
        // Requests time out when too many share a slow line. An outage without responses looks the
        // same, so the limit doubles again as soon as that raises throughput.
        let is_overloaded = measured.timed_out > measured.completed;
        if is_overloaded {
            self.base = (self.base / 2).max(self.bounds.min);
            self.hold = MIN_HOLD;
        }
        if is_overloaded || matches!(self.phase, Phase::Doubling { .. }) {
            self.loss = 0.0;
            self.phase = Phase::Doubling { before: None };
        } else {
            self.begin_hold();
        }
        self.limit = self.base;
    }

    fn after_limited(&mut self, throughput: f64, elapsed: Duration) {
        match &mut self.phase {
            Phase::Doubling { before } => {
                let grew = before.is_none_or(|before| throughput >= before * DOUBLING_GAIN);
                match grew {
                    true => self.base = self.limit,
                    false => self.limit = self.base,
                }
                if grew && self.base < self.bounds.max {
                    *before = Some(throughput);
                    self.limit = (self.base * 2).min(self.bounds.max);
                } else {
                    self.begin_hold();
                }
            }
            Phase::Holding { left, usual } => {
                usual.add(throughput);
                *left = left.saturating_sub(elapsed);
                if left.is_zero()
                    && let Some(before) = usual.get()
                    && let Some(trial) = self.next_trial()
                {
                    self.limit = trial;
                    let during = Mean::default();
                    self.phase = Phase::Trying { before, during };
                }
            }
            Phase::Trying { before, during } => {
                during.add(throughput);
                if let Some(during) = during.get() {
                    self.phase = Phase::Checking {
                        trial: self.limit,
                        before: *before,
                        during,
                        after: Mean::default(),
                    };
                    self.limit = self.base;
                }
            }
            Phase::Checking {
                trial,
                before,
                during,
                after,
            } => {
                after.add(throughput);
                if let Some(after) = after.get() {
                    let usual = before.max(after);
                    let required = match *trial > self.base {
                        true => usual * TRIAL_GAIN,
                        false => usual * (1.0 - MAX_LOSS + self.loss),
                    };
                    match *during >= required {
                        true => {
                            // The next trial continues in the same direction.
                            self.is_up_next = *trial > self.base;
                            self.loss = match self.is_up_next {
                                true => 0.0,
                                false => self.loss + (1.0 - *during / usual).max(0.0),
                            };
                            self.base = *trial;
                            self.hold = MIN_HOLD;
                        }
                        false => {
                            self.is_up_next = !self.is_up_next;
                            self.hold = (self.hold * 2).min(MAX_HOLD);
                        }
                    }
                    self.limit = self.base;
                    self.begin_hold();
                }
            }
        }
    }

    fn begin_hold(&mut self) {
        self.phase = Phase::Holding {
            left: self.hold,
            usual: Mean::default(),
        };
    }

    /// Returns the next limit to try, in the preferred direction if the bounds allow it.
    fn next_trial(&mut self) -> Option<usize> {
        let up = (self.base as f64 * TRIAL_FACTOR).ceil() as usize;
        let up = Some(up.min(self.bounds.max)).filter(|up| *up > self.base);
        let down = (self.base as f64 / TRIAL_FACTOR).floor() as usize;
        let down = Some(down.max(self.bounds.start)).filter(|down| *down < self.base);
        let (first, second) = match self.is_up_next {
            true => (up, down),
            false => (down, up),
        };
        if first.is_none() {
            self.is_up_next = !self.is_up_next;
        }
        first.or(second)
    }
}

#[cfg(test)]
#[path = "concurrency_controller_tests.rs"]
mod tests;
