//! How many requests a second, once a service asks for fewer.
//!
//! What a service carries out while it turns others away is what it can do: its ceiling. The pace
//! goes a little below it, comes back to just under it within some seconds and stays there. After a
//! while it looks beyond: carefully where a ceiling was met several times, fast where it has gone.
//! The shape is that of CUBIC (RFC 9438 section 4): fast, flat at the ceiling, then fast again.

use std::collections::VecDeque;
use std::time::Duration;

use super::law::{Measured, THROTTLED};

/// The pace right below a ceiling, as a share of it.
const UNDER: f64 = 0.98;
/// The least and the most of a ceiling that is cut off when it is met; in between twice the share of
/// requests that were turned away.
const CUT: (f64, f64) = (0.04, 0.10);
/// The most by which one epoch may lower the pace: it may have been a bad one.
const LOWEST: f64 = 1.0 / 8.0;
/// When hardly anything is carried out, this is no rate to go by.
const BLIND: f64 = 0.05;
/// The slowest pace, in requests a second. A storage account, and each blob of it, takes 500 ("Scalability
/// and performance targets for Blob storage"); what is refused below this comes again by its own waits.
const SLOWEST: f64 = 50.0;
/// How long a pace stays at or below a ceiling that was met for the first time.
const FIRST_PLATEAU: Duration = Duration::from_secs(5);
/// A ceiling met again is left alone twice as long, up to this.
const LONGEST_PLATEAU: Duration = Duration::from_secs(60);
/// Two ceilings this close are the same.
const SAME: f64 = 0.15;
/// The growth in the first second beyond a ceiling; it doubles with each further one.
const GROWTH: f64 = 0.02;
/// Beyond a ceiling that was met again the growth is this in each second at first, and for so many:
/// services that let bursts through must have time to say no.
const CAREFUL: (f64, f64) = (0.01, 15.0);
/// The most growth beyond a ceiling from one epoch to the next.
const FASTEST: f64 = 1.25;
/// Requests use the pace if they are this share of it.
const IN_USE: f64 = 0.8;
/// A pace that was not used for so long is lifted.
const UNUSED: Duration = Duration::from_secs(60);

/// Epochs that are looked at together for refusals.
const RECENT: usize = 5;
/// Fewer refusals in these epochs are strays, however few requests there were.
const STRAYS: u64 = 3;
/// From this share of them on there is no growth beyond the ceiling. Strays are rarer, also by chance.
const GROWTH_ENDS: f64 = 0.002;

/// The pace, if there is one.
#[derive(Debug, Default)]
pub(super) struct Pace {
    paced: Option<Paced>,
    /// Of the last epochs since the last cut: requests that were answered in any way, and turned away.
    recent: VecDeque<(u64, u64)>,
}

#[derive(Debug)]
struct Paced {
    pace: f64,
    /// What the service carried out when it last turned requests away.
    ceiling: f64,
    /// The pace right after that.
    from: f64,
    /// For how long the pace was used since then.
    used: Duration,
    /// For how long it has not been used.
    unused: Duration,
    plateau: Duration,
    /// Whether the ceiling was met before.
    again: bool,
    /// Whether it was lowered in this plateau since few were turned away.
    is_lowered: bool,
}

impl Pace {
    /// An epoch is over; returns the pace of the next one.
    pub(super) fn epoch(&mut self, measured: &Measured) -> Option<f64> {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent
            .push_back((measured.ended(), measured.throttled));
        let sum = |(ended, away): (u64, u64), epoch: &(u64, u64)| (ended + epoch.0, away + epoch.1);
        let (ended, away) = self.recent.iter().fold((0, 0), sum);
        let share = away as f64 / ended.max(1) as f64;
        let counts = measured.throttled > 0 && away >= STRAYS;
        // One call that is repeated alone says nothing of all others.
        let is_many = measured.throttled >= STRAYS;
        if is_many && (measured.is_throttled() || share >= THROTTLED) {
            self.paced = Some(self.cut(measured));
            self.recent.clear();
        } else if let Some(paced) = &mut self.paced {
            if counts && share >= GROWTH_ENDS && paced.meet(measured, share) {
                self.recent.clear();
            } else if !paced.go_on(measured) {
                self.paced = None;
            }
        }
        self.paced.as_ref().map(|paced| paced.pace)
    }

    fn cut(&self, measured: &Measured) -> Paced {
        let share = measured.throttled as f64 / measured.ended() as f64;
        let carried_out = measured.per_second(measured.answered);
        let before = self.paced.as_ref();
        let reference = before.map_or(measured.per_second(measured.ended()), |paced| paced.pace);
        let floor = (reference * LOWEST).max(SLOWEST);
        if share > 1.0 - BLIND {
            return Paced {
                pace: floor,
                ceiling: before.map_or(reference, |paced| paced.ceiling),
                from: floor,
                used: Duration::ZERO,
                unused: Duration::ZERO,
                plateau: FIRST_PLATEAU,
                again: false,
                is_lowered: false,
            };
        }
        let found = before.map_or(carried_out, |before| {
            before.carries(share, measured, carried_out)
        });
        let ceiling = found.max(floor);
        let again = before.is_some_and(|before| {
            let met = before.ceiling.min(before.pace).max(1e-3);
            (ceiling / met - 1.0).abs() <= SAME
        });
        let plateau = match before {
            Some(before) if again => (before.plateau * 2).min(LONGEST_PLATEAU),
            _ => FIRST_PLATEAU,
        };
        let pace = (ceiling * (1.0 - (2.0 * share).clamp(CUT.0, CUT.1))).max(SLOWEST);
        Paced {
            pace,
            ceiling,
            from: pace,
            used: Duration::ZERO,
            unused: Duration::ZERO,
            plateau,
            again,
            is_lowered: false,
        }
    }
}

impl Paced {
    fn is_used(&self, measured: &Measured) -> bool {
        measured.per_second(measured.tried) >= self.pace * IN_USE
    }

    /// What the service can do, if it turned this share away. What it carried out is less where the client
    /// had no more, and where the pace was just below the ceiling.
    fn carries(&self, share: f64, measured: &Measured, carried_out: f64) -> f64 {
        if self.is_used(measured) {
            let left = self.ceiling * (1.0 - share);
            left.clamp(carried_out, carried_out / (1.0 - CUT.0))
        } else {
            self.ceiling.min(self.pace) * (1.0 - share)
        }
    }

    /// The service turned some away, but too few to show that it can do much less: growth ends. Once in a plateau the
    /// ceiling itself may have been taken for too high. False when neither changes anything.
    fn meet(&mut self, measured: &Measured, share: f64) -> bool {
        if self.pace > self.ceiling {
            self.ceiling = self.ceiling.max(measured.per_second(measured.answered));
            self.plateau = (self.plateau * 2).min(LONGEST_PLATEAU);
            self.used = Duration::ZERO;
            self.again = true;
            self.is_lowered = false;
        } else if !self.is_lowered {
            self.ceiling *= 1.0 - share;
            self.is_lowered = true;
        } else {
            return false;
        }
        self.pace = self.pace.min(self.ceiling * UNDER).max(SLOWEST);
        self.from = self.from.min(self.pace);
        true
    }

    /// An epoch without complaints. False when the pace has been of no use for long.
    fn go_on(&mut self, measured: &Measured) -> bool {
        if !self.is_used(measured) {
            self.unused += measured.elapsed;
            return self.unused < UNUSED;
        }
        self.unused = Duration::ZERO;
        self.used += measured.elapsed;
        let under = (self.ceiling * UNDER).max(self.from);
        self.pace = match self.plateau.checked_sub(self.used) {
            Some(left) => {
                let left = left.as_secs_f64() / self.plateau.as_secs_f64();
                under - (under - self.from) * left.powi(3)
            }
            None => {
                let beyond = beyond((self.used - self.plateau).as_secs_f64(), self.again);
                (under * beyond).min(self.pace * FASTEST)
            }
        };
        true
    }
}

/// How far beyond a ceiling the pace is, so many seconds after it left it.
fn beyond(seconds: f64, again: bool) -> f64 {
    let (growth, careful) = if again { CAREFUL } else { (0.0, 0.0) };
    // The exponent is bounded, as the pace is by `FASTEST`.
    let doubling = (seconds - careful).clamp(0.0, 12.0);
    (1.0 + growth * seconds.min(careful)) * (GROWTH * (doubling.exp2() - 1.0)).exp()
}
