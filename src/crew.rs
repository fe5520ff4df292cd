//! A crew of threads that grows while it waits for the source.
//!
//! How many threads a source can keep busy depends on how long it takes to answer: a local disk
//! whose directories are in memory answers in two microseconds, and more threads than cores only
//! cost switches; an NFS server takes a millisecond, and answers many calls in that time. So each
//! member looks at its own calls: when most of them were slow, and there is work that nobody has
//! time for, one member more begins; when they are quick again, it leaves.
//!
//! What counts is how many calls were slow, not how long all of them took, nor the time on a
//! processor: a member that waits for a processor, because the machine is busy, has one slow call
//! and then hundreds of quick ones, and a further member would make that worse.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A call that takes longer went to a disk, to a server or to a daemon: it sleeps, and another
/// thread could run meanwhile. A local file system answers from memory in one to five
/// microseconds; the fastest flash takes about this long.
const SLOW: Duration = Duration::from_micros(50);

/// A member whose call takes longer may never come back.
pub const HELD: Duration = Duration::from_millis(100);

/// A member draws its conclusions after this many calls: 1 ms each, a crew doubles in 32 ms.
const CALLS: u32 = 32;

/// Of [`CALLS`], as many must be slow for one member more.
const MOSTLY_SLOW: u32 = 16;

/// With fewer slow ones, a member is one too many. Well below [`MOSTLY_SLOW`], so that a crew does
/// not grow and shrink all the time.
const HARDLY_SLOW: u32 = 4;

/// How many threads do the same work, and how many may.
#[derive(Debug)]
pub struct Crew {
    members: AtomicUsize,
    few: usize,
    /// Falls when the system has no more threads.
    most: AtomicUsize,
}

/// Threads that are left to others when the system has no more: requests need some too.
const LEFT_TO_OTHERS: usize = 8;

/// A place in a crew, until dropped.
#[derive(Debug)]
pub struct Member<'a> {
    crew: &'a Crew,
    slow: u32,
    calls: u32,
}

/// What a member's calls say of the crew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Nothing.
    Stay,
    /// If there is work that nobody has time for, one member more would do it.
    Grow,
    /// There are more members than are needed.
    Leave,
}

impl Crew {
    /// One that may have `most` members, but at least one.
    pub fn new(most: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Crew::between(cores.clamp(2, 8), most)
    }

    fn between(few: usize, most: usize) -> Self {
        let most = most.max(1);
        Crew {
            members: AtomicUsize::new(0),
            few: few.min(most),
            most: AtomicUsize::new(most),
        }
    }

    /// The system has no more threads: the crew stays below what it has now.
    pub fn is_as_large_as_can_be(&self) {
        let most = self.members().saturating_sub(LEFT_TO_OTHERS).max(self.few);
        self.most.fetch_min(most, Ordering::Relaxed);
    }

    /// How many it begins with: as many as there are cores, from two to eight.
    pub fn few(&self) -> usize {
        self.few
    }

    /// How many it may have.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// How many it has.
    pub fn members(&self) -> usize {
        self.members.load(Ordering::Relaxed)
    }

    /// One member more, if there may be.
    pub fn join(&self) -> Option<Member<'_>> {
        let most = self.most();
        let step = |members| (members < most).then_some(members + 1);
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
    /// Notes how long a call took.
    pub fn count(&mut self, took: Duration) {
        self.calls += 1;
        self.slow += u32::from(took >= SLOW);
    }

    /// What to do, judged by the calls since the last advice.
    pub fn advice(&mut self) -> Advice {
        if self.calls < CALLS {
            return Advice::Stay;
        }
        // There may be many more calls between two advices.
        let of_calls = u64::from(CALLS) * u64::from(self.slow) / u64::from(self.calls);
        (self.calls, self.slow) = (0, 0);
        match of_calls {
            _ if self.crew.members() > self.crew.most() => Advice::Leave,
            slow if slow >= u64::from(MOSTLY_SLOW) => Advice::Grow,
            slow if slow < u64::from(HARDLY_SLOW) && self.crew.members() > self.crew.few => {
                Advice::Leave
            }
            _ => Advice::Stay,
        }
    }

    /// Leaves the crew, unless it has only the few that always stay. Those that a call holds, which
    /// are `held`, do not count: nobody knows whether they come back.
    ///
    /// # Errors
    /// The member, when it must stay.
    pub fn leave(self, held: usize) -> Result<(), Self> {
        let few = self.crew.few + held;
        let step = |members: usize| (members > few).then(|| members - 1);
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

    const QUICK: Duration = Duration::from_micros(3);
    const SLEPT: Duration = Duration::from_millis(1);

    fn advice(member: &mut Member<'_>, calls: &[(u32, Duration)]) -> Advice {
        for (count, took) in calls {
            (0..*count).for_each(|_| member.count(*took));
        }
        member.advice()
    }

    #[test]
    fn a_crew_that_sleeps_grows_to_its_bound() {
        let crew = Crew::between(2, 5);
        let mut members: Vec<_> = (0..crew.few()).map(|_| crew.join().unwrap()).collect();
        for _ in 0..3 {
            let grow = advice(members.last_mut().unwrap(), &[(CALLS, SLEPT)]);
            assert_eq!(grow, Advice::Grow);
            members.push(crew.join().unwrap());
        }
        assert_eq!(crew.members(), 5);
        assert!(crew.join().is_none());
        drop(members);
        assert_eq!(crew.members(), 0);
    }

    #[test]
    fn waiting_for_a_processor_is_no_reason_to_grow() {
        let crew = Crew::between(2, 64);
        let mut member = crew.join().unwrap();
        // Off the processor for 60 ms of 63.
        let calls = [(999, QUICK), (1, Duration::from_millis(60))];
        assert_eq!(advice(&mut member, &calls), Advice::Stay);
    }

    #[test]
    fn who_is_not_needed_leaves_and_the_few_stay() {
        let crew = Crew::between(2, 64);
        let mut members: Vec<_> = (0..4).map(|_| crew.join().unwrap()).collect();
        let mut stayed = Vec::new();
        while let Some(mut member) = members.pop() {
            match advice(&mut member, &[(CALLS, QUICK)]) {
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
    fn who_is_held_by_a_call_is_not_one_of_the_few() {
        let crew = Crew::between(2, 64);
        let mut members: Vec<_> = (0..5).map(|_| crew.join().unwrap()).collect();
        let held = 2;
        assert!(members.pop().unwrap().leave(held).is_ok());
        assert!(members.pop().unwrap().leave(held).is_err());
    }

    #[test]
    fn a_system_without_more_threads_gets_some_back() {
        let crew = Crew::between(2, 64);
        let mut members: Vec<_> = (0..20).map(|_| crew.join().unwrap()).collect();
        crew.is_as_large_as_can_be();
        assert_eq!((crew.most(), crew.join().is_none()), (12, true));
        assert_eq!(advice(&mut members[0], &[(CALLS, SLEPT)]), Advice::Leave);
    }

    #[test]
    fn too_few_calls_say_nothing() {
        let crew = Crew::between(1, 64);
        let mut member = crew.join().unwrap();
        assert_eq!(advice(&mut member, &[(CALLS - 1, SLEPT)]), Advice::Stay);
        assert_eq!(advice(&mut member, &[(1, SLEPT)]), Advice::Grow);
        // A third: neither.
        let calls = [(CALLS / 3, SLEPT), (CALLS - CALLS / 3, QUICK)];
        assert_eq!(advice(&mut member, &calls), Advice::Stay);
    }

    #[test]
    fn one_thread_may_be_all_there_is() {
        assert_eq!(Crew::new(0).most(), 1);
        assert_eq!(Crew::new(1).few(), 1);
    }
}
