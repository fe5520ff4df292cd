//! How many requests may be on their way: as many as bring throughput, and no more.
//!
//! The limit doubles while throughput follows. Then it rests, and now and then tries another one:
//! the throughput under the other limit is compared with that before *and* after, so that a source
//! which gets faster or slower meanwhile does not decide. Only epochs in which requests had to wait for
//! the limit count: else it is the client, the source or the pace that holds things up.

use std::time::Duration;

use super::law::Measured;

/// The growth of throughput for which a doubled limit is kept. All of it would be 2.
const DOUBLED: f64 = 1.3;
/// Later trials are smaller.
const STEP: f64 = 1.5;
/// The growth for which a higher limit is kept. All of it would be 1.5.
const WORTH: f64 = 1.1;
/// Lower limits may cost this share of the throughput, all of them together until a higher one is kept.
const GIVEN_UP: f64 = 0.03;
/// Epochs that are compared.
const EPOCHS: u32 = 2;
/// A trial under which nothing waits for the limit for so long is kept: it is not what holds things up.
const ENOUGH_ROOM: Duration = Duration::from_secs(5);
/// The rest between trials after one that succeeded; it doubles with each that did not.
const SHORTEST_REST: Duration = Duration::from_secs(1);
/// New connections cost handshakes: no trial more often than once a minute in the long run.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// Putting an object costs about as much as so many bytes of it: measured in CPU time, 50 µs of the
/// one and 0.2 s for each GB of the other.
const BYTES_OF_A_PUT: f64 = 256.0 * 1024.0;

/// Between what the limit moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Below this it does not go, however many requests time out.
    pub(super) least: usize,
    /// Where it begins. Trials go no lower: fewer would save nothing.
    pub(super) start: usize,
    /// Above this it does not go.
    pub(super) most: usize,
}

/// The limit, and how it moves.
#[derive(Debug)]
pub(super) struct Climb {
    bounds: Bounds,
    /// The best limit so far.
    base: usize,
    /// What is in force: the same, or a trial.
    limit: usize,
    rest: Duration,
    /// The share of throughput that lower limits have cost since a higher one was kept.
    given_up: f64,
    up_next: bool,
    /// For how long nothing has waited for the limit.
    roomy: Duration,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Doubling; the throughput before the last time.
    Opening { before: Option<f64> },
    /// At rest.
    Holding { left: Duration, usual: Mean },
    /// Another limit is in force.
    Trying { before: f64, during: Mean },
    /// The old one is in force again.
    Checking {
        tried: usize,
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
        // Of a long rest its end counts.
        if self.epochs >= 2 * EPOCHS {
            self.sum /= 2.0;
            self.epochs /= 2;
        }
        self.sum += value;
        self.epochs += 1;
    }

    /// None until enough came in.
    fn get(&self) -> Option<f64> {
        (self.epochs >= EPOCHS).then(|| self.sum / f64::from(self.epochs))
    }
}

impl Climb {
    pub(super) fn new(bounds: Bounds) -> Self {
        Climb {
            bounds,
            base: bounds.start,
            limit: bounds.start,
            rest: SHORTEST_REST,
            given_up: 0.0,
            up_next: true,
            roomy: Duration::ZERO,
            phase: Phase::Opening { before: None },
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// An epoch is over; returns the limit of the next one.
    pub(super) fn epoch(&mut self, measured: &Measured) -> usize {
        if measured.is_disturbed() {
            self.disturbed(measured);
        } else if measured.is_limited() {
            let work = measured.answered as f64 + measured.bytes as f64 / BYTES_OF_A_PUT;
            let throughput = work / measured.elapsed.as_secs_f64().max(1e-3);
            self.roomy = Duration::ZERO;
            self.limited(throughput, measured.elapsed);
        } else {
            self.roomy += measured.elapsed;
            if self.limit != self.base && self.roomy >= ENOUGH_ROOM {
                self.base = self.limit;
                self.up_next = !self.up_next;
                self.hold();
            }
        }
        self.limit
    }

    fn disturbed(&mut self, measured: &Measured) {
        // A thin line on which all requests share what there is gives none of them enough. A line that
        // carries nothing for a while looks the same, so the limit doubles again as soon as that helps.
        let overdone = measured.timed_out > measured.answered;
        if overdone {
            self.base = (self.base / 2).max(self.bounds.least);
            self.rest = SHORTEST_REST;
        }
        if overdone || matches!(self.phase, Phase::Opening { .. }) {
            self.given_up = 0.0;
            self.phase = Phase::Opening { before: None };
        } else {
            self.hold();
        }
        self.limit = self.base;
    }

    fn limited(&mut self, throughput: f64, elapsed: Duration) {
        match &mut self.phase {
            Phase::Opening { before } => {
                let follows = before.is_none_or(|before| throughput >= before * DOUBLED);
                match follows {
                    true => self.base = self.limit,
                    false => self.limit = self.base,
                }
                if follows && self.base < self.bounds.most {
                    *before = Some(throughput);
                    self.limit = (self.base * 2).min(self.bounds.most);
                } else {
                    self.hold();
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
                        tried: self.limit,
                        before: *before,
                        during,
                        after: Mean::default(),
                    };
                    self.limit = self.base;
                }
            }
            Phase::Checking {
                tried,
                before,
                during,
                after,
            } => {
                after.add(throughput);
                if let Some(after) = after.get() {
                    let usual = before.max(after);
                    let wanted = match *tried > self.base {
                        true => usual * WORTH,
                        false => usual * (1.0 - GIVEN_UP + self.given_up),
                    };
                    match *during >= wanted {
                        true => {
                            // More of the same may help too.
                            self.up_next = *tried > self.base;
                            self.given_up = match self.up_next {
                                true => 0.0,
                                false => self.given_up + (1.0 - *during / usual).max(0.0),
                            };
                            self.base = *tried;
                            self.rest = SHORTEST_REST;
                        }
                        false => {
                            self.up_next = !self.up_next;
                            self.rest = (self.rest * 2).min(LONGEST_REST);
                        }
                    }
                    self.limit = self.base;
                    self.hold();
                }
            }
        }
    }

    fn hold(&mut self) {
        self.phase = Phase::Holding {
            left: self.rest,
            usual: Mean::default(),
        };
    }

    /// Another limit in the direction whose turn it is, or in the other.
    fn next_trial(&mut self) -> Option<usize> {
        let up = (self.base as f64 * STEP).ceil() as usize;
        let up = Some(up.min(self.bounds.most)).filter(|up| *up > self.base);
        let down = (self.base as f64 / STEP).floor() as usize;
        let down = Some(down.max(self.bounds.start)).filter(|down| *down < self.base);
        let (first, second) = match self.up_next {
            true => (up, down),
            false => (down, up),
        };
        if first.is_none() {
            self.up_next = !self.up_next;
        }
        first.or(second)
    }
}

#[cfg(test)]
#[path = "climb_tests.rs"]
mod tests;
