//! The limiter of one container: permits, token buckets, and the task that adjusts them.

use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::super::notice::NoticeObserver;
use super::super::{ContainerError, Operation};
use super::concurrency_controller::Bounds;
use super::controller::{Controller, Measurement};
use super::counters::{Counters, Totals};
use super::figures::LimiterFigures;
use super::throttle_notifier::{PendingNotice, ThrottleNotifier};
use super::token_bucket::{Refill, TokenBucket};

/// The maximum number of concurrent requests that the limiter tries. At the 50 ms of a distant region,
/// 1,024 make 20,000 requests per second, the limit of a storage account. Each request has a connection
/// with about 30 KiB of buffers, in addition to the memory for objects.
pub const MAX_REQUESTS: usize = 1024;
/// The initial number of concurrent requests: enough for 6,400 requests per second at 10 ms each.
const START_REQUESTS: usize = 64;
/// The minimum number of concurrent requests, on a line so slow that requests time out.
const MIN_REQUESTS: usize = 4;
/// Objects in memory per permit: one in flight, and one that is read, compressed, or queued.
const OBJECTS_PER_REQUEST: usize = 2;
/// The minimum number of objects in memory, so that threads read ahead also with few permits.
const MIN_OBJECTS: usize = 32;
/// The interval between refills of the token buckets.
const TICK: Duration = Duration::from_millis(10);
/// An epoch lasts until it has this many responses, but no longer than [`SLOW_EPOCH`].
const EPOCH_RESPONSES: u64 = 200;
/// See [`EPOCH_RESPONSES`].
const SLOW_EPOCH: Duration = Duration::from_secs(2);
/// The maximum burst on an idle line, in bytes, unless the bandwidth limit allows more than that within
/// the time that a refill may be late.
const BURST_BYTES: f64 = (8 << 20) as f64;

/// The limit on concurrent requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Concurrency {
    /// Follows the measured throughput.
    Adaptive {
        /// The maximum limit: [`MAX_REQUESTS`], or less where connections or descriptors are scarce.
        max: usize,
    },
    /// A fixed number.
    Fixed(NonZeroUsize),
}

impl Concurrency {
    fn bounds(self) -> Bounds {
        match self {
            Concurrency::Adaptive { max } => {
                let max = max.max(1);
                Bounds {
                    min: MIN_REQUESTS.min(max),
                    start: START_REQUESTS.min(max),
                    max,
                }
            }
            Concurrency::Fixed(number) => Bounds {
                min: number.get(),
                start: number.get(),
                max: number.get(),
            },
        }
    }
}

/// Limits the requests to one container.
pub struct Limiter {
    permits: Semaphore,
    /// Permits in use above the limit, which are dropped when they are released.
    surplus: AtomicUsize,
    rate: TokenBucket,
    bandwidth: TokenBucket,
    bandwidth_limit: Option<NonZeroU64>,
    counters: Counters,
    figures: Arc<LimiterFigures>,
    object_limit: Arc<AtomicUsize>,
    is_started: AtomicBool,
    driver: Mutex<Driver>,
}

/// The state of the task that adjusts the limits.
struct Driver {
    controller: Controller,
    window: Window,
    rate: Option<Refill>,
    bandwidth: Option<Refill>,
    notifier: ThrottleNotifier,
}

#[derive(Debug, Clone, Copy)]
enum Window {
    /// Responses still belong to the settings before.
    Settling { until: Instant },
    /// An epoch is measured.
    Measuring { since: Instant, before: Totals },
}

impl Limiter {
    /// Creates a limiter with the initial limits. `bandwidth` limits the uploaded content bytes per
    /// second.
    pub fn new(
        concurrency: Concurrency,
        bandwidth: Option<NonZeroU64>,
        figures: Arc<LimiterFigures>,
    ) -> Self {
        let controller = Controller::new(concurrency.bounds());
        let start = controller.settings().concurrency;
        let now = Instant::now();
        let limiter = Limiter {
            permits: Semaphore::new(start),
            surplus: AtomicUsize::new(0),
            rate: TokenBucket::new(),
            bandwidth: TokenBucket::new(),
            bandwidth_limit: bandwidth,
            counters: Counters::default(),
            figures,
            object_limit: Arc::default(),
            is_started: AtomicBool::new(false),
            driver: Mutex::new(Driver {
                controller,
                window: Window::Measuring {
                    since: now,
                    before: Totals::default(),
                },
                rate: None,
                bandwidth: bandwidth.map(|bytes| {
                    let per_second = bytes.get() as f64;
                    Refill::new(per_second, per_second.min(BURST_BYTES), now)
                }),
                notifier: ThrottleNotifier::default(),
            }),
        };
        if bandwidth.is_some() {
            limiter.bandwidth.impose();
        }
        limiter.publish(start, None);
        limiter
    }

    /// Reports the start and the end of throttling to `observer`.
    pub fn set_notices(&self, observer: NoticeObserver) {
        self.driver().notifier.set_observer(observer);
    }

    /// Returns the maximum number of objects in memory, in flight or waiting. It changes with the limit on
    /// concurrent requests.
    pub fn object_limit(&self) -> &Arc<AtomicUsize> {
        &self.object_limit
    }

    /// Stops all further requests. Calls that wait for a permit or tokens fail.
    pub fn close(&self) {
        self.permits.close();
        self.rate.close();
        self.bandwidth.close();
    }

    /// Starts the task that adjusts the limits, once. The task ends when the limiter is dropped.
    pub(super) fn start(self: &Arc<Self>) {
        if !self.is_started.swap(true, Relaxed) {
            tokio::spawn(drive(Arc::downgrade(self)));
        }
    }

    /// Waits until a request that uploads `bytes` may start. It acquires the permit before the tokens,
    /// so that tokens are used as soon as they are taken.
    pub(super) async fn acquire(&self, bytes: u64) -> Result<Permit<'_>, AcquireError> {
        self.counters.attempts.fetch_add(1, Relaxed);
        let permit = match self.permits.try_acquire() {
            Ok(permit) => permit,
            Err(_) => {
                self.counters.waited_for_permit.fetch_add(1, Relaxed);
                self.permits.acquire().await?
            }
        };
        let mut permit = Permit {
            limiter: self,
            permit: Some(permit),
            started: Instant::now(),
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut has_waited = false;
        for (bucket, tokens) in [(&self.rate, 1), (&self.bandwidth, bytes)] {
            if tokens > 0 && !bucket.try_take(tokens) {
                if !std::mem::replace(&mut has_waited, true) {
                    self.counters.waited_for_tokens.fetch_add(1, Relaxed);
                }
                bucket.take(tokens).await?;
            }
        }
        permit.started = Instant::now();
        Ok(permit)
    }

    /// Returns the number of requests in flight, including those with a permit that wait for tokens.
    pub fn in_flight(&self) -> u64 {
        let permits = self.figures.concurrency.load(Relaxed) + self.surplus.load(Relaxed) as u64;
        permits.saturating_sub(self.permits.available_permits() as u64)
    }

    /// Returns the limit on uploaded content bytes per second; `None` is unlimited.
    pub fn bandwidth_limit(&self) -> Option<NonZeroU64> {
        self.bandwidth_limit
    }

    fn driver(&self) -> MutexGuard<'_, Driver> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, concurrency: usize, rate: Option<f64>) {
        let objects = (concurrency * OBJECTS_PER_REQUEST).max(MIN_OBJECTS);
        self.object_limit.store(objects, Relaxed);
        let figures = &self.figures;
        figures.concurrency.store(concurrency as u64, Relaxed);
        let pace = rate.map_or(0, |rate| rate.ceil() as u64);
        figures.pace.store(pace, Relaxed);
    }

    /// Refills the buckets and ends the epoch if it is due. Returns the time until the next step, and
    /// the notice to deliver.
    fn step(&self, now: Instant) -> (Duration, Option<PendingNotice>) {
        let mut driver = self.driver();
        let mut notice = None;
        if let Some(refill) = &mut driver.rate {
            refill.fill(&self.rate, now);
        }
        if let Some(refill) = &mut driver.bandwidth {
            refill.fill(&self.bandwidth, now);
        }
        let wait = match driver.window {
            Window::Settling { until } if now < until => until - now,
            Window::Settling { .. } => self.begin_epoch(&mut driver, now),
            Window::Measuring { since, before } => {
                let (elapsed, epoch) = (now - since, driver.controller.settings().epoch);
                if elapsed < epoch {
                    epoch - elapsed
                } else {
                    let measured = self.counters.totals().since(&before, elapsed);
                    match measured.responses() >= EPOCH_RESPONSES || elapsed >= SLOW_EPOCH {
                        true => {
                            let wait = self.end_epoch(&mut driver, &measured, now);
                            let rate = driver.controller.settings().rate;
                            notice = driver.notifier.end_epoch(rate, now);
                            wait
                        }
                        false => epoch / 2,
                    }
                }
            }
        };
        let wait = match driver.rate.is_some() || driver.bandwidth.is_some() {
            true => TICK,
            // tokio's timers have a resolution of 1 ms.
            false => wait.max(TICK),
        };
        (wait, notice)
    }

    fn begin_epoch(&self, driver: &mut Driver, now: Instant) -> Duration {
        driver.window = Window::Measuring {
            since: now,
            before: self.counters.totals(),
        };
        driver.controller.settings().epoch
    }

    fn end_epoch(&self, driver: &mut Driver, measured: &Measurement, now: Instant) -> Duration {
        let before = driver.controller.settings();
        let settings = driver.controller.end_epoch(measured);
        self.resize(before.concurrency, settings.concurrency);
        match settings.rate {
            Some(rate) if before.rate != Some(rate) => {
                let mut refill = Refill::new(rate, 0.0, now);
                if let Some(before) = driver.rate.take() {
                    refill.continue_from(&before);
                }
                driver.rate = Some(refill);
                self.rate.impose();
            }
            Some(_) => {}
            None => {
                driver.rate = None;
                self.rate.lift();
            }
        }
        self.publish(settings.concurrency, settings.rate);
        if settings.settle.is_zero() {
            return self.begin_epoch(driver, now);
        }
        driver.window = Window::Settling {
            until: now + settings.settle,
        };
        settings.settle
    }

    pub(super) fn resize(&self, before: usize, now: usize) {
        if now > before {
            let added = now - before;
            let kept = self.surplus.load(Relaxed).min(added);
            // Concurrent releases can only lower the surplus, so each decrement is checked.
            let kept = (0..kept).filter(|_| self.take_surplus()).count();
            self.permits.add_permits(added - kept);
        } else {
            let removed = before - now;
            let forgotten = self.permits.forget_permits(removed);
            self.surplus.fetch_add(removed - forgotten, Relaxed);
        }
    }

    /// Decrements the surplus. Returns false if it is 0.
    fn take_surplus(&self) -> bool {
        self.surplus
            .fetch_update(Relaxed, Relaxed, |surplus| surplus.checked_sub(1))
            .is_ok()
    }
}

/// Adjusts a limiter until it is dropped.
async fn drive(limiter: Weak<Limiter>) {
    loop {
        let (wait, notice) = match limiter.upgrade() {
            Some(limiter) => limiter.step(Instant::now()),
            None => return,
        };
        if let Some(notice) = notice {
            // The observer may block on a terminal, which must not delay the refills.
            tokio::task::spawn_blocking(move || notice.deliver());
        }
        tokio::time::sleep(wait).await;
    }
}

/// The right to send one request, released when dropped.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    limiter: &'a Limiter,
    permit: Option<SemaphorePermit<'a>>,
    started: Instant,
}

impl Permit<'_> {
    /// Records the outcome of the request and releases the permit.
    pub(super) fn complete<T>(
        self,
        operation: Operation,
        outcome: &Result<T, ContainerError>,
        bytes: u64,
    ) {
        let elapsed = self.started.elapsed();
        let signal = self.limiter.counters.record(outcome, elapsed, bytes);
        self.limiter
            .figures
            .record(operation, outcome.is_ok(), signal);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.limiter.surplus.load(Relaxed) > 0
            && self.limiter.take_surplus()
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
