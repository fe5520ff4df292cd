//! A sample of entries, drawn while they pass by, of bounded size however many there are.
//!
//! Few entries are all taken. Of more, each of a number of slots holds one, drawn by weight and
//! independently of the others: a reservoir of one in which every unit of weight has the same
//! chance. The mean over the slots of (what was measured / weight) is then an estimate without bias
//! of (all that would be measured / all weight).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::entry::EntryId;

/// Draws entries.
#[derive(Debug)]
pub(super) struct Sampler {
    /// All entries so far, while they are few.
    all: Option<Vec<EntryId>>,
    few: Few,
    total: u64,
    slots: Vec<Pick>,
    /// For each slot the unit of weight, counted from the first entry on, that it takes next.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    random: fastrand::Rng,
}

/// Up to how much everything is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Few {
    /// Entries.
    pub(super) entries: usize,
    /// Their weight together.
    pub(super) weight: u64,
}

/// An entry, and the unit of its weight that was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) id: EntryId,
    pub(super) at: u64,
}

/// What was drawn.
#[derive(Debug)]
pub(super) enum Sample {
    /// Everything there is.
    All(Vec<EntryId>),
    /// Entries by chance, in no order that means anything; the same one may be there several times.
    Drawn(Vec<Pick>),
}

impl Sampler {
    /// One that draws so many, unless there are only few.
    pub(super) fn new(slots: usize, few: Few, seed: u64) -> Self {
        let nothing = Pick {
            id: EntryId::ROOT,
            at: 0,
        };
        Sampler {
            all: Some(Vec::new()),
            few,
            total: 0,
            slots: vec![nothing; slots],
            next: (0..slots).map(|slot| Reverse((0, slot))).collect(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// An entry passes by. One without weight is never drawn.
    pub(super) fn offer(&mut self, id: EntryId, weight: u64) {
        let before = self.total;
        self.total = before.saturating_add(weight);
        if let Some(all) = &mut self.all {
            if all.len() < self.few.entries && self.total <= self.few.weight {
                all.push(id);
            } else {
                self.all = None;
            }
        }
        while let Some(&Reverse((unit, slot))) = self.next.peek()
            && unit < self.total
        {
            self.next.pop();
            if let Some(pick) = self.slots.get_mut(slot) {
                let at = unit - before;
                *pick = Pick { id, at };
            }
            let next = self.after(unit);
            self.next.push(Reverse((next, slot)));
        }
    }

    /// Which unit replaces `unit`: of those after it, number n (from 0) does with the chance
    /// 1 / (n + 1), so that none does up to number m with the chance (unit + 1) / (m + 1).
    fn after(&mut self, unit: u64) -> u64 {
        // From (0, 1].
        let chance = 1.0 - self.random.f64();
        let next = ((unit + 1) as f64 / chance) as u64;
        next.max(unit + 1)
    }

    /// The weight of all entries.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// What was drawn.
    pub(super) fn sample(self) -> Sample {
        match self.all {
            Some(all) => Sample::All(all),
            None => Sample::Drawn(self.slots),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const FEW: Few = Few {
        entries: 10,
        weight: 1000,
    };

    #[test]
    fn few_entries_are_all_taken() {
        let sample = |entries: u64, weight| {
            let mut sampler = Sampler::new(5, FEW, 1);
            (0..entries).for_each(|id| sampler.offer(EntryId::new(id), weight));
            sampler.sample()
        };
        assert!(matches!(sample(10, 100), Sample::All(all) if all.len() == 10));
        assert!(matches!(sample(10, 101), Sample::Drawn(picks) if picks.len() == 5));
        assert!(matches!(sample(11, 1), Sample::Drawn(picks) if picks.len() == 5));
    }

    /// Ten entries of weight 1 to 10, many slots: each is drawn by its weight, at any of its units.
    #[test]
    fn the_others_are_drawn_by_weight() {
        let slots = 55_000;
        let mut sampler = Sampler::new(slots, Few { entries: 0, ..FEW }, 7);
        (1..=10).for_each(|id| sampler.offer(EntryId::new(id), id));
        assert_eq!(sampler.total(), 55);
        let Sample::Drawn(picks) = sampler.sample() else {
            panic!("not all are taken");
        };
        for id in 1..=10u64 {
            for at in 0..id {
                let pick = Pick {
                    id: EntryId::new(id),
                    at,
                };
                let times = picks.iter().filter(|drawn| **drawn == pick).count();
                // 1000 are expected, with a standard deviation of 31.
                assert!((800..1200).contains(&times), "{id} at {at}: {times}");
            }
        }
    }
}
