//! The limiter of one container: places for requests, meters, and the task that drives them.

use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::super::notice::NoticeObserver;
use super::super::{ContainerError, Operation};
use super::climb::Bounds;
use super::counts::{Counts, Totals};
use super::figures::LimiterFigures;
use super::law::{Law, Measured};
use super::meter::{Meter, Supply};
use super::telling::{Telling, Word};

/// The most requests at the same time that the limiter tries. At the 50 ms of a distant region they
/// make 20,000 requests a second, which is what a storage account takes; each is a connection, whose
/// buffers take some 30 KiB here, beside the memory for objects.
pub const MOST_REQUESTS: usize = 1024;
/// Where it begins: enough for 6,400 requests a second at an answer time of 10 ms.
const FIRST_REQUESTS: usize = 64;
/// Requests that a line may be too thin for still go on: so many at least.
const LEAST_REQUESTS: usize = 4;
/// Objects that are read, compressed or wait while as many again are uploaded.
const AHEAD: usize = 2;
/// Where few requests are allowed, threads still read ahead.
const LEAST_OBJECTS: usize = 32;
/// How often tokens come.
const TICK: Duration = Duration::from_millis(10);
/// Answers that make an epoch; with fewer it lasts up to [`SLOW_EPOCH`].
const ENOUGH: u64 = 200;
/// See [`ENOUGH`].
const SLOW_EPOCH: Duration = Duration::from_secs(2);
/// Bytes that a line at rest may take at once, unless a bandwidth limit makes more of them in the time
/// by which ticks may be late.
const BURST_BYTES: f64 = (8 << 20) as f64;

/// How many requests may be on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Concurrency {
    /// As many as bring throughput, up to `most`.
    Adaptive {
        /// No more than this; [`MOST_REQUESTS`] unless connections or descriptors are scarce.
        most: usize,
    },
    /// So many.
    Fixed(NonZeroUsize),
}

impl Concurrency {
    fn bounds(self) -> Bounds {
        match self {
            Concurrency::Adaptive { most } => {
                let most = most.max(1);
                Bounds {
                    least: LEAST_REQUESTS.min(most),
                    start: FIRST_REQUESTS.min(most),
                    most,
                }
            }
            Concurrency::Fixed(number) => Bounds {
                least: number.get(),
                start: number.get(),
                most: number.get(),
            },
        }
    }
}

/// Bounds of what is asked of one container.
pub struct Limiter {
    places: Semaphore,
    /// Places that are in use and go when they are given back.
    surplus: AtomicUsize,
    pace: Meter,
    bandwidth: Meter,
    bandwidth_limit: Option<NonZeroU64>,
    counts: Counts,
    figures: Arc<LimiterFigures>,
    /// Objects that may be in memory.
    objects: Arc<AtomicUsize>,
    started: AtomicBool,
    driving: Mutex<Driving>,
}

struct Driving {
    law: Law,
    window: Window,
    pace: Option<Supply>,
    bandwidth: Option<Supply>,
    telling: Telling,
}

#[derive(Debug, Clone, Copy)]
enum Window {
    /// What comes in belongs to the settings before.
    Settling { until: Instant },
    /// An epoch.
    Open { since: Instant, before: Totals },
}

impl Limiter {
    /// A limiter at the beginning of what it can learn. `bandwidth` bounds the bytes of content put in
    /// a second.
    pub fn new(
        concurrency: Concurrency,
        bandwidth: Option<NonZeroU64>,
        figures: Arc<LimiterFigures>,
    ) -> Self {
        let law = Law::new(concurrency.bounds());
        let first = law.settings().concurrency;
        let now = Instant::now();
        let limiter = Limiter {
            places: Semaphore::new(first),
            surplus: AtomicUsize::new(0),
            pace: Meter::new(),
            bandwidth: Meter::new(),
            bandwidth_limit: bandwidth,
            counts: Counts::default(),
            figures,
            objects: Arc::default(),
            started: AtomicBool::new(false),
            driving: Mutex::new(Driving {
                law,
                window: Window::Open {
                    since: now,
                    before: Totals::default(),
                },
                pace: None,
                bandwidth: bandwidth.map(|bytes| {
                    let second = bytes.get() as f64;
                    Supply::new(second, second.min(BURST_BYTES), now)
                }),
                telling: Telling::default(),
            }),
        };
        if bandwidth.is_some() {
            limiter.bandwidth.impose();
        }
        limiter.publish(first, None);
        limiter
    }

    /// Tells `observer` when the service begins to throttle, and when that is over.
    pub fn set_notices(&self, observer: NoticeObserver) {
        self.driving().telling.set_observer(observer);
    }

    /// How many objects may be in memory: as many as are on their way, and as many again that are read
    /// or wait. Changes with the limit.
    pub fn objects(&self) -> &Arc<AtomicUsize> {
        &self.objects
    }

    /// Nothing is sent any more; calls that wait for a place are refused.
    pub fn close(&self) {
        self.places.close();
        self.pace.close();
        self.bandwidth.close();
    }

    /// Starts the task that drives it, once; the task ends with the limiter.
    pub(super) fn start(self: &Arc<Self>) {
        if !self.started.swap(true, Relaxed) {
            tokio::spawn(drive(Arc::downgrade(self)));
        }
    }

    /// Waits until a request with so many bytes to put may begin: for a place first, so that tokens are taken
    /// when they are used.
    pub(super) async fn place(&self, bytes: u64) -> Result<Place<'_>, AcquireError> {
        self.counts.tried.fetch_add(1, Relaxed);
        let permit = match self.places.try_acquire() {
            Ok(permit) => permit,
            Err(_) => {
                self.counts.waited.fetch_add(1, Relaxed);
                self.places.acquire().await?
            }
        };
        let mut place = Place {
            limiter: self,
            permit: Some(permit),
            began: Instant::now(),
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut held_up = false;
        for (meter, tokens) in [(&self.pace, 1), (&self.bandwidth, bytes)] {
            if tokens > 0 && !meter.try_take(tokens) {
                if !std::mem::replace(&mut held_up, true) {
                    self.counts.metered.fetch_add(1, Relaxed);
                }
                meter.take(tokens).await?;
            }
        }
        place.began = Instant::now();
        Ok(place)
    }

    /// Requests that are on their way, or wait for tokens at a place of theirs.
    pub fn in_flight(&self) -> u64 {
        let places = self.figures.concurrency.load(Relaxed) + self.surplus.load(Relaxed) as u64;
        places.saturating_sub(self.places.available_permits() as u64)
    }

    /// Bytes of content that may be put in a second; none: any number.
    pub fn bandwidth_limit(&self) -> Option<NonZeroU64> {
        self.bandwidth_limit
    }

    fn driving(&self) -> MutexGuard<'_, Driving> {
        self.driving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, concurrency: usize, pace: Option<f64>) {
        let objects = (concurrency * AHEAD).max(LEAST_OBJECTS);
        self.objects.store(objects, Relaxed);
        let figures = &self.figures;
        figures.concurrency.store(concurrency as u64, Relaxed);
        let pace = pace.map_or(0, |pace| pace.ceil() as u64);
        figures.pace.store(pace, Relaxed);
    }

    /// One step of the driver; returns the time to the next, and what is to be told.
    fn step(&self, now: Instant) -> (Duration, Option<Word>) {
        let mut driving = self.driving();
        let mut word = None;
        if let Some(supply) = &mut driving.pace {
            supply.fill(&self.pace, now);
        }
        if let Some(supply) = &mut driving.bandwidth {
            supply.fill(&self.bandwidth, now);
        }
        let wait = match driving.window {
            Window::Settling { until } if now < until => until - now,
            Window::Settling { .. } => self.open(&mut driving, now),
            Window::Open { since, before } => {
                let (elapsed, epoch) = (now - since, driving.law.settings().epoch);
                if elapsed < epoch {
                    epoch - elapsed
                } else {
                    let measured = self.counts.totals().since(&before, elapsed);
                    let ended = measured.answered + measured.throttled;
                    match ended >= ENOUGH || elapsed >= SLOW_EPOCH {
                        true => {
                            let wait = self.end_epoch(&mut driving, &measured, now);
                            let pace = driving.law.settings().pace;
                            word = driving.telling.epoch(pace, now);
                            wait
                        }
                        false => epoch / 2,
                    }
                }
            }
        };
        let wait = match driving.pace.is_some() || driving.bandwidth.is_some() {
            true => TICK,
            // Timers have milliseconds.
            false => wait.max(TICK),
        };
        (wait, word)
    }

    fn open(&self, driving: &mut Driving, now: Instant) -> Duration {
        driving.window = Window::Open {
            since: now,
            before: self.counts.totals(),
        };
        driving.law.settings().epoch
    }

    fn end_epoch(&self, driving: &mut Driving, measured: &Measured, now: Instant) -> Duration {
        let before = driving.law.settings();
        let settings = driving.law.epoch(measured);
        self.resize(before.concurrency, settings.concurrency);
        match settings.pace {
            Some(pace) if before.pace != Some(pace) => {
                let mut supply = Supply::new(pace, 0.0, now);
                if let Some(before) = driving.pace.take() {
                    supply.go_on_from(&before);
                }
                driving.pace = Some(supply);
                self.pace.impose();
            }
            Some(_) => {}
            None => {
                driving.pace = None;
                self.pace.lift();
            }
        }
        self.publish(settings.concurrency, settings.pace);
        if settings.settle.is_zero() {
            return self.open(driving, now);
        }
        driving.window = Window::Settling {
            until: now + settings.settle,
        };
        settings.settle
    }

    pub(super) fn resize(&self, before: usize, now: usize) {
        if now > before {
            let more = now - before;
            let kept = self.surplus.load(Relaxed).min(more);
            // Only places that are given back lower it meanwhile.
            let kept = (0..kept).filter(|_| self.drop_surplus()).count();
            self.places.add_permits(more - kept);
        } else {
            let fewer = before - now;
            let gone = self.places.forget_permits(fewer);
            self.surplus.fetch_add(fewer - gone, Relaxed);
        }
    }

    /// True when one place less is to go.
    fn drop_surplus(&self) -> bool {
        self.surplus
            .fetch_update(Relaxed, Relaxed, |surplus| surplus.checked_sub(1))
            .is_ok()
    }
}

/// Drives a limiter until it is gone.
async fn drive(limiter: Weak<Limiter>) {
    loop {
        let (wait, word) = match limiter.upgrade() {
            Some(limiter) => limiter.step(Instant::now()),
            None => return,
        };
        if let Some(word) = word {
            // Whoever hears it may wait for a terminal, and tokens must come meanwhile.
            tokio::task::spawn_blocking(move || word.tell());
        }
        tokio::time::sleep(wait).await;
    }
}

/// The place of a request that is on its way.
#[derive(Debug)]
pub(super) struct Place<'a> {
    limiter: &'a Limiter,
    permit: Option<SemaphorePermit<'a>>,
    began: Instant,
}

impl Place<'_> {
    /// The request is over.
    pub(super) fn settle<T>(
        self,
        operation: Operation,
        outcome: &Result<T, ContainerError>,
        bytes: u64,
    ) {
        let weight = self
            .limiter
            .counts
            .count(outcome, self.began.elapsed(), bytes);
        self.limiter
            .figures
            .count(operation, outcome.is_ok(), weight);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.limiter.surplus.load(Relaxed) > 0
            && self.limiter.drop_surplus()
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
        }
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("figures", &self.figures)
            .finish_non_exhaustive()
    }
}
