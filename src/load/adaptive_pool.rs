//! A thread pool whose size adapts to the latency of the source.
//!
//! The useful number of threads depends on the latency of a call. A local disk with cached directories
//! responds in two microseconds, and more threads than cores only add context switches. An NFS server
//! responds in a millisecond, and serves many calls in parallel. Each worker therefore measures its own
//! calls: if at least half of them were slow and work is queued, the pool adds a worker; if nearly all were
//! fast, the worker leaves.
//!
//! The pool counts slow calls rather than adding up their durations. A worker that is preempted on a busy
//! machine has one slow call and then hundreds of fast ones, and another worker would add to the load.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A call that takes longer waited for a disk, a server or a daemon, so another thread could have run.
/// A local file system responds from its cache in one to five microseconds; the fastest flash takes about
/// this long.
const SLOW: Duration = Duration::from_micros(50);

/// A call that takes longer is treated as stalled: its thread may never return.
pub const STALL_THRESHOLD: Duration = Duration::from_millis(100);

/// Calls between two evaluations. At 1 ms each, a pool doubles in 32 ms.
const CALLS: u32 = 32;

/// Slow calls of [`CALLS`] from which on the pool grows.
const GROW_AT: u32 = 16;

/// Slow calls of [`CALLS`] below which it shrinks. Well below [`GROW_AT`], so that the size does not
/// oscillate.
const SHRINK_BELOW: u32 = 4;

/// The current and the maximum number of workers.
#[derive(Debug)]
pub struct AdaptivePool {
    workers: AtomicUsize,
    min: usize,
    /// Reduced if the system has no more threads.
    max: AtomicUsize,
}

/// Threads that the pool releases for requests if the system has no more.
const THREADS_FOR_REQUESTS: usize = 8;

/// A worker of a pool. It leaves the pool when it is dropped.
#[derive(Debug)]
pub struct Worker<'a> {
    pool: &'a AdaptivePool,
    slow: u32,
    calls: u32,
}

/// The change of the pool's size that results from the latency of a worker's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// It keeps its size.
    Stay,
    /// Another worker should start, if work is queued and no worker is idle.
    Grow,
    /// This worker should leave.
    Leave,
}

impl AdaptivePool {
    /// Creates an empty pool for at most `max` workers. At least one is allowed.
    pub fn new(max: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        AdaptivePool::between(cores.clamp(2, 8), max)
    }

    fn between(min: usize, max: usize) -> Self {
        let max = max.max(1);
        AdaptivePool {
            workers: AtomicUsize::new(0),
            min: min.min(max),
            max: AtomicUsize::new(max),
        }
    }

    /// Records that the system has no more threads: reduces the maximum below the current size.
    pub fn set_exhausted(&self) {
        let max = self
            .workers()
            .saturating_sub(THREADS_FOR_REQUESTS)
            .max(self.min);
        self.max.fetch_min(max, Ordering::Relaxed);
    }

    /// Returns the number of workers to start with, which is also the minimum: one for each core, from two to eight.
    pub fn min(&self) -> usize {
        self.min
    }

    /// Returns the maximum number of workers.
    pub fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// Returns the current number of workers.
    pub fn workers(&self) -> usize {
        self.workers.load(Ordering::Relaxed)
    }

    /// Adds a worker. Returns None if the pool is at its maximum.
    pub fn add_worker(&self) -> Option<Worker<'_>> {
        let max = self.max();
        let step = |workers| (workers < max).then_some(workers + 1);
        self.workers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .ok()?;
        Some(Worker {
            pool: self,
            slow: 0,
            calls: 0,
        })
    }
}

impl Worker<'_> {
    /// Records the duration of a call.
    pub fn count(&mut self, took: Duration) {
        self.calls += 1;
        self.slow += u32::from(took >= SLOW);
    }

    /// Evaluates the recorded calls once there are [`CALLS`] of them, and starts over.
    pub fn resize(&mut self) -> Resize {
        if self.calls < CALLS {
            return Resize::Stay;
        }
        // Scaled, because there may be more than CALLS calls between two evaluations.
        let of_calls = u64::from(CALLS) * u64::from(self.slow) / u64::from(self.calls);
        (self.calls, self.slow) = (0, 0);
        match of_calls {
            _ if self.pool.workers() > self.pool.max() => Resize::Leave,
            slow if slow >= u64::from(GROW_AT) => Resize::Grow,
            slow if slow < u64::from(SHRINK_BELOW) && self.pool.workers() > self.pool.min => {
                Resize::Leave
            }
            _ => Resize::Stay,
        }
    }

    /// Leaves the pool, unless that would leave fewer than the minimum. The `stalled` workers do not count,
    /// because their calls may never return.
    ///
    /// # Errors
    /// The worker, if it must stay.
    pub fn leave(self, stalled: usize) -> Result<(), Self> {
        let min = self.pool.min + stalled;
        let step = |workers: usize| (workers > min).then(|| workers - 1);
        let workers = &self.pool.workers;
        match workers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step) {
            Ok(_) => {
                std::mem::forget(self);
                Ok(())
            }
            Err(_) => Err(self),
        }
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.pool.workers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FAST_CALL: Duration = Duration::from_micros(3);
    const SLOW_CALL: Duration = Duration::from_millis(1);

    fn resize(worker: &mut Worker<'_>, calls: &[(u32, Duration)]) -> Resize {
        for (count, took) in calls {
            (0..*count).for_each(|_| worker.count(*took));
        }
        worker.resize()
    }

    #[test]
    fn a_pool_with_slow_calls_grows_to_its_maximum() {
        let pool = AdaptivePool::between(2, 5);
        let mut workers: Vec<_> = (0..pool.min())
            .map(|_| pool.add_worker().unwrap())
            .collect();
        for _ in 0..3 {
            let grow = resize(workers.last_mut().unwrap(), &[(CALLS, SLOW_CALL)]);
            assert_eq!(grow, Resize::Grow);
            workers.push(pool.add_worker().unwrap());
        }
        assert_eq!(pool.workers(), 5);
        assert!(pool.add_worker().is_none());
        drop(workers);
        assert_eq!(pool.workers(), 0);
    }

    #[test]
    fn preemption_does_not_grow_the_pool() {
        let pool = AdaptivePool::between(2, 64);
        let mut worker = pool.add_worker().unwrap();
        // Preempted for 60 ms of 63.
        let calls = [(999, FAST_CALL), (1, Duration::from_millis(60))];
        assert_eq!(resize(&mut worker, &calls), Resize::Stay);
    }

    #[test]
    fn idle_workers_leave_down_to_the_minimum() {
        let pool = AdaptivePool::between(2, 64);
        let mut workers: Vec<_> = (0..4).map(|_| pool.add_worker().unwrap()).collect();
        let mut stayed = Vec::new();
        while let Some(mut worker) = workers.pop() {
            match resize(&mut worker, &[(CALLS, FAST_CALL)]) {
                Resize::Leave => assert!(worker.leave(0).is_ok()),
                other => {
                    assert_eq!(other, Resize::Stay);
                    stayed.push(worker);
                }
            }
        }
        assert_eq!((pool.workers(), stayed.len()), (2, 2));
        assert!(stayed.pop().unwrap().leave(0).is_err());
    }

    #[test]
    fn stalled_workers_do_not_count_towards_the_minimum() {
        let pool = AdaptivePool::between(2, 64);
        let mut workers: Vec<_> = (0..5).map(|_| pool.add_worker().unwrap()).collect();
        let stalled = 2;
        assert!(workers.pop().unwrap().leave(stalled).is_ok());
        assert!(workers.pop().unwrap().leave(stalled).is_err());
    }

    #[test]
    fn an_exhausted_system_gets_threads_back() {
        let pool = AdaptivePool::between(2, 64);
        let mut workers: Vec<_> = (0..20).map(|_| pool.add_worker().unwrap()).collect();
        pool.set_exhausted();
        assert_eq!((pool.max(), pool.add_worker().is_none()), (12, true));
        assert_eq!(
            resize(&mut workers[0], &[(CALLS, SLOW_CALL)]),
            Resize::Leave
        );
    }

    #[test]
    fn too_few_calls_give_no_advice() {
        let pool = AdaptivePool::between(1, 64);
        let mut worker = pool.add_worker().unwrap();
        assert_eq!(resize(&mut worker, &[(CALLS - 1, SLOW_CALL)]), Resize::Stay);
        assert_eq!(resize(&mut worker, &[(1, SLOW_CALL)]), Resize::Grow);
        // A third is between the thresholds.
        let calls = [(CALLS / 3, SLOW_CALL), (CALLS - CALLS / 3, FAST_CALL)];
        assert_eq!(resize(&mut worker, &calls), Resize::Stay);
    }

    #[test]
    fn the_minimum_is_at_most_the_maximum() {
        assert_eq!(AdaptivePool::new(0).max(), 1);
        assert_eq!(AdaptivePool::new(1).min(), 1);
    }
}
