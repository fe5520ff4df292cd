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
pub const HELD: Duration = Duration::from_millis(100);

/// Calls between two advices. At 1 ms each, a pool doubles in 32 ms.
const CALLS: u32 = 32;

/// Slow calls of [`CALLS`] from which on the pool grows.
const GROW_AT: u32 = 16;

/// Slow calls of [`CALLS`] below which it shrinks. Well below [`GROW_AT`], so that the size does not
/// oscillate.
const SHRINK_BELOW: u32 = 4;

/// The current and the maximum number of workers.
#[derive(Debug)]
pub struct Crew {
    members: AtomicUsize,
    min: usize,
    /// Reduced if the system has no more threads.
    max: AtomicUsize,
}

/// Threads that the pool returns if the system has no more: requests need some, too.
const LEFT_TO_OTHERS: usize = 8;

/// A worker of a pool. Dropping it removes it from the pool.
#[derive(Debug)]
pub struct Member<'a> {
    crew: &'a Crew,
    slow: u32,
    calls: u32,
}

/// How the pool should change, by the latency of a worker's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// It keeps its size.
    Stay,
    /// Another worker should start, if work is queued and no worker is idle.
    Grow,
    /// This worker should leave.
    Leave,
}

impl Crew {
    /// An empty pool for at most `max` workers. At least one is allowed.
    pub fn new(max: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Crew::between(cores.clamp(2, 8), max)
    }

    fn between(min: usize, max: usize) -> Self {
        let max = max.max(1);
        Crew {
            members: AtomicUsize::new(0),
            min: min.min(max),
            max: AtomicUsize::new(max),
        }
    }

    /// Records that the system has no more threads: reduces the maximum below the current size.
    pub fn set_exhausted(&self) {
        let max = self.members().saturating_sub(LEFT_TO_OTHERS).max(self.min);
        self.max.fetch_min(max, Ordering::Relaxed);
    }

    /// The number of workers to start with, which is also the minimum: one for each core, from two to eight.
    pub fn min(&self) -> usize {
        self.min
    }

    /// The maximum number of workers.
    pub fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// The current number of workers.
    pub fn members(&self) -> usize {
        self.members.load(Ordering::Relaxed)
    }

    /// Adds a worker. Returns None if the pool is at its maximum.
    pub fn join(&self) -> Option<Member<'_>> {
        let max = self.max();
        let step = |members| (members < max).then_some(members + 1);
        self.members
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .ok()?;
        Some(Member {
            crew: self,
            slow: 0,
            calls: 0,
        })
    }
}

impl Member<'_> {
    /// Records the duration of a call.
    pub fn count(&mut self, took: Duration) {
        self.calls += 1;
        self.slow += u32::from(took >= SLOW);
    }

    /// Evaluates the recorded calls once there are [`CALLS`] of them, and starts over.
    pub fn advice(&mut self) -> Advice {
        if self.calls < CALLS {
            return Advice::Stay;
        }
        // Scaled, because there may be more than CALLS calls between two advices.
        let of_calls = u64::from(CALLS) * u64::from(self.slow) / u64::from(self.calls);
        (self.calls, self.slow) = (0, 0);
        match of_calls {
            _ if self.crew.members() > self.crew.max() => Advice::Leave,
            slow if slow >= u64::from(GROW_AT) => Advice::Grow,
            slow if slow < u64::from(SHRINK_BELOW) && self.crew.members() > self.crew.min => {
                Advice::Leave
            }
            _ => Advice::Stay,
        }
    }

    /// Leaves the pool, unless that would leave fewer than the minimum. The `stalled` workers do not count,
    /// because their calls may never return.
    ///
    /// # Errors
    /// The worker, if it must stay.
    pub fn leave(self, stalled: usize) -> Result<(), Self> {
        let min = self.crew.min + stalled;
        let step = |members: usize| (members > min).then(|| members - 1);
        let members = &self.crew.members;
        match members.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step) {
            Ok(_) => {
                std::mem::forget(self);
                Ok(())
            }
            Err(_) => Err(self),
        }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.crew.members.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FAST_CALL: Duration = Duration::from_micros(3);
    const SLOW_CALL: Duration = Duration::from_millis(1);

    fn advice(member: &mut Member<'_>, calls: &[(u32, Duration)]) -> Advice {
        for (count, took) in calls {
            (0..*count).for_each(|_| member.count(*took));
        }
        member.advice()
    }

    #[test]
    fn a_pool_with_slow_calls_grows_to_its_maximum() {
        let crew = Crew::between(2, 5);
        let mut members: Vec<_> = (0..crew.min()).map(|_| crew.join().unwrap()).collect();
        for _ in 0..3 {
            let grow = advice(members.last_mut().unwrap(), &[(CALLS, SLOW_CALL)]);
            assert_eq!(grow, Advice::Grow);
            members.push(crew.join().unwrap());
        }
        assert_eq!(crew.members(), 5);
        assert!(crew.join().is_none());
        drop(members);
        assert_eq!(crew.members(), 0);
    }

    #[test]
    fn preemption_does_not_grow_the_pool() {
        let crew = Crew::between(2, 64);
        let mut member = crew.join().unwrap();
        // Preempted for 60 ms of 63.
        let calls = [(999, FAST_CALL), (1, Duration::from_millis(60))];
        assert_eq!(advice(&mut member, &calls), Advice::Stay);
    }

    #[test]
    fn idle_workers_leave_down_to_the_minimum() {
        let crew = Crew::between(2, 64);
        let mut members: Vec<_> = (0..4).map(|_| crew.join().unwrap()).collect();
        let mut stayed = Vec::new();
        while let Some(mut member) = members.pop() {
            match advice(&mut member, &[(CALLS, FAST_CALL)]) {
                Advice::Leave => assert!(member.leave(0).is_ok()),
                other => {
                    assert_eq!(other, Advice::Stay);
                    stayed.push(member);
                }
            }
        }
        assert_eq!((crew.members(), stayed.len()), (2, 2));
        assert!(stayed.pop().unwrap().leave(0).is_err());
    }

    #[test]
    fn stalled_workers_do_not_count_towards_the_minimum() {
        let crew = Crew::between(2, 64);
        let mut members: Vec<_> = (0..5).map(|_| crew.join().unwrap()).collect();
        let stalled = 2;
        assert!(members.pop().unwrap().leave(stalled).is_ok());
        assert!(members.pop().unwrap().leave(stalled).is_err());
    }

    #[test]
    fn an_exhausted_system_gets_threads_back() {
        let crew = Crew::between(2, 64);
        let mut members: Vec<_> = (0..20).map(|_| crew.join().unwrap()).collect();
        crew.set_exhausted();
        assert_eq!((crew.max(), crew.join().is_none()), (12, true));
        assert_eq!(advice(&mut members[0], &[(CALLS, SLOW_CALL)]), Advice::Leave);
    }

    #[test]
    fn too_few_calls_give_no_advice() {
        let crew = Crew::between(1, 64);
        let mut member = crew.join().unwrap();
        assert_eq!(advice(&mut member, &[(CALLS - 1, SLOW_CALL)]), Advice::Stay);
        assert_eq!(advice(&mut member, &[(1, SLOW_CALL)]), Advice::Grow);
        // A third is between the thresholds.
        let calls = [(CALLS / 3, SLOW_CALL), (CALLS - CALLS / 3, FAST_CALL)];
        assert_eq!(advice(&mut member, &calls), Advice::Stay);
    }

    #[test]
    fn the_minimum_is_at_most_the_maximum() {
        assert_eq!(Crew::new(0).max(), 1);
        assert_eq!(Crew::new(1).min(), 1);
    }
}
