//! Simulated services for the tests of the law, in steps of ten milliseconds that take no time.

use std::time::Duration;

use super::climb::Bounds;
use super::law::{Law, Measured};

/// One step.
const STEP: f64 = 0.01;

/// A service, the way to it and the client, as fluids.
#[derive(Debug, Clone)]
pub(super) struct World {
    /// The answer time of a service at rest.
    pub(super) delay: f64,
    /// Requests a second that client and service can handle, whichever can do less.
    pub(super) capacity: f64,
    /// Requests a second that the source has to offer.
    pub(super) source: f64,
    /// Bytes of a request, and bytes a second that the line carries.
    pub(super) bytes: f64,
    pub(super) line: f64,
    /// Requests a second above which the service turns requests away, and how they are counted.
    pub(super) cap: Option<Cap>,
    /// No request gets through: each fails at once, or gets no answer in time.
    pub(super) down: bool,
    pub(super) mute: bool,
    /// Requests that share the line with more others than this have no answer in time.
    pub(super) patience: f64,
    /// The share of requests that is turned away whatever their number, and one more each so many seconds.
    pub(super) strays: f64,
    pub(super) stray_every: Option<f64>,
    /// How much throughput varies from one tenth of a second to the next, either way.
    pub(super) noise: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Cap {
    /// A bucket that is filled at a rate and holds that of so many seconds.
    Bucket { rate: f64, seconds: f64 },
    /// So many in each second of the clock.
    Window { rate: f64 },
    /// Nothing is taken.
    Nothing,
}

impl Default for World {
    fn default() -> Self {
        World {
            delay: 0.01,
            capacity: 15_000.0,
            source: f64::INFINITY,
            bytes: 3_000.0,
            line: f64::INFINITY,
            cap: None,
            down: false,
            mute: false,
            patience: f64::INFINITY,
            strays: 0.0,
            stray_every: None,
            noise: 0.0,
        }
    }
}

impl World {
    /// What the best fixed limit brings.
    pub(super) fn best(&self) -> f64 {
        let concurrency = MOST as f64 / self.delay.max(1e-4);
        let able = concurrency.min(self.capacity).min(self.line / self.bytes);
        match self.cap {
            Some(Cap::Bucket { rate, .. } | Cap::Window { rate }) => able.min(rate),
            Some(Cap::Nothing) => 0.0,
            None => able,
        }
        .min(self.source)
    }
}

pub(super) const MOST: usize = 1024;

/// A law at work.
pub(super) struct Run {
    pub(super) world: World,
    pub(super) law: Law,
    pub(super) random: fastrand::Rng,
    pub(super) time: f64,
    pub(super) factor: f64,
    pub(super) tokens: f64,
    pub(super) window: (u64, f64),
    /// Requests carried out and turned away in each second.
    pub(super) seconds: Vec<(f64, f64)>,
}

#[derive(Default)]
pub(super) struct Sums {
    pub(super) tried: f64,
    pub(super) waited: f64,
    pub(super) metered: f64,
    pub(super) answered: f64,
    pub(super) throttled: f64,
    pub(super) failed: f64,
    pub(super) timed_out: f64,
    pub(super) time: f64,
}

impl Run {
    pub(super) fn new(world: World, seed: u64) -> Run {
        Run {
            world,
            law: Law::new(Bounds {
                least: 4,
                start: 64,
                most: MOST,
            }),
            random: fastrand::Rng::with_seed(seed),
            time: 0.0,
            factor: 1.0,
            tokens: 0.0,
            window: (0, 0.0),
            seconds: Vec::new(),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.law.settings().concurrency
    }

    /// So many requests come in a step; returns those that are taken.
    pub(super) fn taken(&mut self, offered: f64) -> f64 {
        match self.world.cap {
            None => offered,
            Some(Cap::Nothing) => 0.0,
            Some(Cap::Bucket { rate, seconds }) => {
                self.tokens = (self.tokens + rate * STEP).min(rate * seconds.max(STEP));
                let taken = offered.min(self.tokens);
                self.tokens -= taken;
                taken
            }
            Some(Cap::Window { rate }) => {
                let second = self.time as u64;
                if self.window.0 != second {
                    self.window = (second, 0.0);
                }
                let taken = offered.min(rate - self.window.1);
                self.window.1 += taken;
                taken
            }
        }
    }

    /// So many of the requests of a step are turned away by chance.
    pub(super) fn strays(&mut self, requests: f64) -> f64 {
        let mut strays = 0.0;
        if let Some(every) = self.world.stray_every
            && (self.time / every) as u64 != ((self.time - STEP) / every) as u64
        {
            strays += 1.0;
        }
        // Poisson, by the product of uniform numbers; the mean is far below one.
        let none = (-requests * self.world.strays).exp();
        let mut product = self.random.f64();
        while product > none {
            strays += 1.0;
            product *= self.random.f64();
        }
        strays
    }

    pub(super) fn step(&mut self, sums: &mut Sums) {
        if ((self.time / STEP) as u64).is_multiple_of(10) {
            let wave = self.random.f64() * 2.0 - 1.0;
            self.factor = 1.0 + self.world.noise * wave;
        }
        let settings = self.law.settings();
        let world = &self.world;
        let by_limit = settings.concurrency as f64 / world.delay.max(1e-4);
        let able = by_limit
            .min(world.capacity * self.factor)
            .min(world.line / world.bytes);
        let wanted = world.source.min(settings.pace.unwrap_or(f64::INFINITY));
        let offered = able.min(wanted) * STEP;
        sums.tried += offered;
        if able < wanted {
            sums.waited += offered;
            sums.time += settings.concurrency as f64 * STEP;
        } else {
            // Where the pace holds requests up, they hold places meanwhile.
            if wanted < world.source {
                sums.waited += offered;
                sums.metered += offered;
            }
            sums.time += offered * world.delay;
        }
        let crowd = settings.concurrency as f64;
        let (answered, throttled) = match world.down || world.mute {
            true if world.down => {
                sums.failed += offered;
                (0.0, 0.0)
            }
            // All places are in use until their time is up, some each second.
            true => {
                sums.timed_out += crowd * STEP / 10.0;
                (0.0, 0.0)
            }
            false if crowd > world.patience => {
                // The more share the line, the fewer of them are answered.
                let answered = offered * world.patience / crowd / 2.0;
                sums.timed_out += offered - answered;
                (answered, 0.0)
            }
            false => {
                let taken = self.taken(offered);
                let strays = self.strays(taken).min(taken);
                (taken - strays, offered - taken + strays)
            }
        };
        sums.answered += answered;
        sums.throttled += throttled;
        let second = self.time as usize;
        self.seconds
            .resize(self.seconds.len().max(second + 1), (0.0, 0.0));
        self.seconds[second].0 += answered;
        self.seconds[second].1 += throttled;
        self.time += STEP;
    }

    pub(super) fn run(&mut self, seconds: f64) {
        let end = self.time + seconds;
        while self.time < end {
            let settings = self.law.settings();
            let opened = self.time + settings.settle.as_secs_f64();
            while self.time < opened {
                self.step(&mut Sums::default());
            }
            let (mut sums, began) = (Sums::default(), self.time);
            loop {
                self.step(&mut sums);
                let elapsed = self.time - began;
                let over = elapsed >= settings.epoch.as_secs_f64()
                    && (sums.answered + sums.throttled >= 200.0 || elapsed >= 2.0);
                if over {
                    break;
                }
            }
            let answer_time = sums.time / sums.tried.max(1.0);
            self.law.epoch(&Measured {
                elapsed: Duration::from_secs_f64(self.time - began),
                tried: sums.tried as u64,
                waited: sums.waited as u64,
                metered: sums.metered as u64,
                answered: sums.answered as u64,
                bytes: (sums.answered * self.world.bytes) as u64,
                answer_time: Duration::from_secs_f64(answer_time),
                throttled: sums.throttled.ceil() as u64,
                timed_out: sums.timed_out.ceil() as u64,
                failed: sums.failed as u64,
            });
        }
    }

    /// Carried out in a second, from one second to another.
    pub(super) fn throughput(&self, from: usize, to: usize) -> f64 {
        let sum: f64 = self.seconds[from..to].iter().map(|second| second.0).sum();
        sum / (to - from) as f64
    }

    /// The share of requests that were turned away.
    pub(super) fn turned_away(&self, from: usize, to: usize) -> f64 {
        let seconds = &self.seconds[from..to];
        let (taken, not): (f64, f64) = seconds.iter().fold((0.0, 0.0), |sum, second| {
            (sum.0 + second.0, sum.1 + second.1)
        });
        not / (taken + not)
    }
}
