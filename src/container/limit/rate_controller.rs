//! The limit on requests per second, which exists only after the service throttled.
//!
//! The rate that a service completes while it throttles is its capacity, called the ceiling. The rate
//! drops a little below the ceiling and returns to just under it during a plateau of some seconds. Then
//! it probes beyond: slowly if it has met this ceiling before, otherwise fast. The curve is that of CUBIC
//! (RFC 9438 section 4): fast, flat at the ceiling, fast again.

use std::collections::VecDeque;
use std::time::Duration;

use super::controller::{Measurement, THROTTLED_SHARE};

/// The rate during a plateau, as a share of the ceiling.
const PLATEAU_SHARE: f64 = 0.98;
/// The minimum and maximum share of the ceiling by which the rate drops when it meets the ceiling. Between
/// them, the drop is twice the share of throttled requests.
const CUT: (f64, f64) = (0.04, 0.10);
/// The minimum share of the rate that one epoch may leave, because a single epoch may be an outlier.
const MIN_LEFT: f64 = 1.0 / 8.0;
/// The completed share below which the throughput says nothing about the ceiling.
const MIN_COMPLETED_SHARE: f64 = 0.05;
/// The minimum rate, in requests per second. A storage account, and each of its blobs, allows 500
/// ("Scalability and performance targets for Blob storage"); below this the backoff of retries is enough.
const MIN_RATE: f64 = 50.0;
/// The plateau at a ceiling that was met for the first time, which is also the time to return to it.
const MIN_PLATEAU: Duration = Duration::from_secs(5);
/// The plateau doubles each time the rate meets the same ceiling, up to this.
const MAX_PLATEAU: Duration = Duration::from_secs(60);
/// Two ceilings count as the same up to this relative difference.
const SAME_CEILING: f64 = 0.15;
/// The exponent of growth in the first second beyond a ceiling; it doubles with each further second.
const GROWTH: f64 = 0.02;
/// The growth per second beyond a ceiling that was met again, and the seconds for which it applies:
/// services that allow bursts need time to reject.
const SLOW_GROWTH: (f64, f64) = (0.01, 15.0);
/// The maximum growth from one epoch to the next.
const MAX_GROWTH: f64 = 1.25;
/// The share of the rate from which on requests use it.
const USED_SHARE: f64 = 0.8;
/// The limit is lifted when it was unused for this long.
const UNUSED_TIME: Duration = Duration::from_secs(60);

/// The number of recent epochs in which throttled requests are summed.
const RECENT_EPOCHS: usize = 5;
/// Fewer throttled requests than this in the recent epochs are strays, whatever their share.
const MIN_THROTTLED: u64 = 3;
/// The throttled share of the recent epochs from which on the rate stops growing. Strays are rarer.
const NO_GROWTH_SHARE: f64 = 0.002;

/// Adjusts the limit on requests per second after each epoch.
#[derive(Debug, Default)]
pub(super) struct RateController {
    limit: Option<RateLimit>,
    /// For each recent epoch since the last cut: requests with a response, and those throttled.
    recent: VecDeque<(u64, u64)>,
}

#[derive(Debug)]
struct RateLimit {
    rate: f64,
    /// The rate that the service completed when it last throttled.
    ceiling: f64,
    /// The rate right after the last cut.
    start: f64,
    /// The time since the last cut during which requests used the rate.
    used: Duration,
    /// The time since requests last used the rate.
    unused: Duration,
    plateau: Duration,
    /// Whether the rate met this ceiling before.
    is_met_again: bool,
    /// Whether a few throttled requests already lowered the ceiling in this plateau.
    is_lowered: bool,
}

impl RateController {
    /// Ends an epoch and returns the rate of the next one; `None` is unlimited.
    pub(super) fn end_epoch(&mut self, measured: &Measurement) -> Option<f64> {
        if self.recent.len() == RECENT_EPOCHS {
            self.recent.pop_front();
        }
        self.recent
            .push_back((measured.responses(), measured.throttled));
        let sum = |(responses, throttled): (u64, u64), epoch: &(u64, u64)| {
            (responses + epoch.0, throttled + epoch.1)
        };
        let (responses, throttled) = self.recent.iter().fold((0, 0), sum);
        let share = throttled as f64 / responses.max(1) as f64;
        let is_evidence = measured.throttled > 0 && throttled >= MIN_THROTTLED;
        // Repeated attempts of one call are not evidence of load in general.
        let is_many = measured.throttled >= MIN_THROTTLED;
        if is_many && (measured.is_throttled() || share >= THROTTLED_SHARE) {
            self.limit = Some(self.cut(measured));
            self.recent.clear();
        } else if let Some(limit) = &mut self.limit {
            if is_evidence && share >= NO_GROWTH_SHARE && limit.stop_growth(measured, share) {
                self.recent.clear();
            } else if !limit.advance(measured) {
                self.limit = None;
            }
        }
        self.limit.as_ref().map(|limit| limit.rate)
    }

    fn cut(&self, measured: &Measurement) -> RateLimit {
        let share = measured.throttled as f64 / measured.responses() as f64;
        let completed = measured.per_second(measured.completed);
        let before = self.limit.as_ref();
        let reference = before.map_or(measured.per_second(measured.responses()), |limit| {
            limit.rate
        });
        let floor = (reference * MIN_LEFT).max(MIN_RATE);
        if share > 1.0 - MIN_COMPLETED_SHARE {
            return RateLimit {
                rate: floor,
                ceiling: before.map_or(reference, |limit| limit.ceiling),
                start: floor,
                used: Duration::ZERO,
                unused: Duration::ZERO,
                plateau: MIN_PLATEAU,
                is_met_again: false,
                is_lowered: false,
            };
        }
        let capacity = before.map_or(completed, |before| {
            before.capacity(share, measured, completed)
        });
        let ceiling = capacity.max(floor);
        let is_met_again = before.is_some_and(|before| {
            let met = before.ceiling.min(before.rate).max(1e-3);
            (ceiling / met - 1.0).abs() <= SAME_CEILING
        });
        let plateau = match before {
            Some(before) if is_met_again => (before.plateau * 2).min(MAX_PLATEAU),
            _ => MIN_PLATEAU,
        };
        let rate = (ceiling * (1.0 - (2.0 * share).clamp(CUT.0, CUT.1))).max(MIN_RATE);
        RateLimit {
            rate,
            ceiling,
            start: rate,
            used: Duration::ZERO,
            unused: Duration::ZERO,
            plateau,
            is_met_again,
            is_lowered: false,
        }
    }
}

impl RateLimit {
    fn is_used(&self, measured: &Measurement) -> bool {
        measured.per_second(measured.attempts) >= self.rate * USED_SHARE
    }

    /// Estimates the capacity of a service that throttled `share` of the requests. The completed rate
    /// is below it when the client offered too few requests, or the rate was just below the ceiling.
    fn capacity(&self, share: f64, measured: &Measurement, completed: f64) -> f64 {
        if self.is_used(measured) {
            let lowered = self.ceiling * (1.0 - share);
            lowered.clamp(completed, completed / (1.0 - CUT.0))
        } else {
            self.ceiling.min(self.rate) * (1.0 - share)
        }
    }

    /// Stops the growth after a few throttled requests, too few for a cut. Within a plateau the ceiling
    /// may be set too high, so it is lowered once. Returns false if nothing changed.
    fn stop_growth(&mut self, measured: &Measurement, share: f64) -> bool {
        if self.rate > self.ceiling {
            self.ceiling = self.ceiling.max(measured.per_second(measured.completed));
            self.plateau = (self.plateau * 2).min(MAX_PLATEAU);
            self.used = Duration::ZERO;
            self.is_met_again = true;
            self.is_lowered = false;
        } else if !self.is_lowered {
            self.ceiling *= 1.0 - share;
            self.is_lowered = true;
        } else {
            return false;
        }
        self.rate = self.rate.min(self.ceiling * PLATEAU_SHARE).max(MIN_RATE);
        self.start = self.start.min(self.rate);
        true
    }

    /// Moves the rate along its curve after an epoch without throttling. Returns false if the rate was
    /// unused for [`UNUSED_TIME`].
    fn advance(&mut self, measured: &Measurement) -> bool {
        if !self.is_used(measured) {
            self.unused += measured.elapsed;
            return self.unused < UNUSED_TIME;
        }
        self.unused = Duration::ZERO;
        self.used += measured.elapsed;
        let target = (self.ceiling * PLATEAU_SHARE).max(self.start);
        self.rate = match self.plateau.checked_sub(self.used) {
            Some(left) => {
                let left = left.as_secs_f64() / self.plateau.as_secs_f64();
                target - (target - self.start) * left.powi(3)
            }
            None => {
                let seconds = (self.used - self.plateau).as_secs_f64();
                let growth = growth(seconds, self.is_met_again);
                (target * growth).min(self.rate * MAX_GROWTH)
            }
        };
        true
    }
}

/// Returns the factor by which the rate exceeds the plateau, `seconds` after the end of the plateau.
fn growth(seconds: f64, is_met_again: bool) -> f64 {
    let (slow_growth, slow_seconds) = if is_met_again {
        SLOW_GROWTH
    } else {
        (0.0, 0.0)
    };
    // The exponent is bounded to keep the factor finite; `MAX_GROWTH` bounds the rate.
    let doublings = (seconds - slow_seconds).clamp(0.0, 12.0);
    (1.0 + slow_growth * seconds.min(slow_seconds)) * (GROWTH * (doublings.exp2() - 1.0)).exp()
}
