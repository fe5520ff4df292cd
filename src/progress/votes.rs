//! What a run waits for: judged by looking often, as no single look tells.

use super::Limiting;

/// What one look sees.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Look {
    /// Calls that wait for their next try.
    pub(super) retrying: usize,
    /// The container did something that it was asked for a moment ago.
    pub(super) answered: bool,
    /// The service throttled, and requests may begin at a pace.
    pub(super) paced: bool,
    /// As many bytes are uploaded as may be.
    pub(super) at_bandwidth_limit: bool,
    /// All requests that may be on their way are, or wait for the pace.
    pub(super) requests_are_full: bool,
    /// Threads that wait for objects to leave.
    pub(super) waiting_for_room: usize,
    /// Calls of the source that are open for a while.
    pub(super) waiting_for_source: usize,
    /// The part of all processors that was busy since the last look, 0 to 1.
    pub(super) busy: f64,
    /// The part of the time since the last look in which a transaction was open, 0 to 1.
    pub(super) in_transaction: f64,
}

/// From here on, processors count as all busy: the rest is what starting and waking takes.
const BUSY: f64 = 0.85;

/// Transactions are for thousands of entries; when they take this part of the time, all wait for them.
const MOSTLY: f64 = 0.8;

impl Look {
    fn requests_wait(&self) -> bool {
        self.requests_are_full || self.waiting_for_room > 0
    }

    fn limiting(&self) -> Option<Limiting> {
        Some(match self {
            look if look.at_bandwidth_limit => Limiting::Bandwidth,
            look if look.paced && look.requests_wait() => Limiting::Throttling,
            look if look.retrying > 0 && !look.answered && look.busy < BUSY => Limiting::Container,
            look if look.busy >= BUSY => Limiting::Cpu,
            look if look.requests_wait() => Limiting::Network,
            look if look.in_transaction >= MOSTLY => Limiting::State,
            look if look.waiting_for_source > 0 => Limiting::Source,
            _ => return None,
        })
    }
}

/// The last looks.
#[derive(Debug, Default)]
pub(super) struct Votes {
    looks: std::collections::VecDeque<Option<Limiting>>,
}

/// Looks that count: at four a second, the last ten seconds.
const LOOKS: usize = 40;

impl Votes {
    pub(super) fn add(&mut self, look: &Look) {
        if self.looks.len() == LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back(look.limiting());
    }

    /// What at least half of the looks saw.
    pub(super) fn limiting(&self) -> Option<Limiting> {
        Limiting::ALL.into_iter().find(|limiting| {
            let seen = self.looks.iter().filter(|look| **look == Some(*limiting));
            2 * seen.count() >= self.looks.len().max(1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(looks: &[(usize, Look)]) -> Option<Limiting> {
        let mut votes = Votes::default();
        for (times, look) in looks {
            (0..*times).for_each(|_| votes.add(look));
        }
        votes.limiting()
    }

    #[test]
    fn what_most_looks_see_is_told() {
        let idle = Look::default();
        let room = Look {
            waiting_for_room: 3,
            ..idle
        };
        let source = Look {
            waiting_for_source: 9,
            ..idle
        };
        let busy = Look {
            busy: 0.95,
            ..source
        };
        let full = Look {
            requests_are_full: true,
            ..idle
        };
        // The pace of a while ago, which nobody waits for any more.
        let unpaced = Look {
            paced: true,
            ..busy
        };
        let paced = Look {
            waiting_for_room: 1,
            ..unpaced
        };
        let paced_full = Look {
            paced: true,
            ..full
        };
        let away = Look {
            retrying: 4,
            ..room
        };
        // One call is repeated, all others go through.
        let one_again = Look {
            retrying: 1,
            answered: true,
            ..source
        };
        let limited = Look {
            at_bandwidth_limit: true,
            ..room
        };
        let disk = Look {
            in_transaction: 0.9,
            ..source
        };
        for (looks, expected) in [
            (vec![], None),
            (vec![(40, idle)], None),
            (vec![(40, room)], Some(Limiting::Network)),
            (vec![(40, source)], Some(Limiting::Source)),
            (vec![(40, busy)], Some(Limiting::Cpu)),
            (vec![(40, full)], Some(Limiting::Network)),
            (vec![(40, unpaced)], Some(Limiting::Cpu)),
            (vec![(40, paced)], Some(Limiting::Throttling)),
            (vec![(40, paced_full)], Some(Limiting::Throttling)),
            (vec![(40, one_again)], Some(Limiting::Source)),
            (vec![(40, limited)], Some(Limiting::Bandwidth)),
            (vec![(40, away)], Some(Limiting::Container)),
            (vec![(40, disk)], Some(Limiting::State)),
            (vec![(10, source), (15, room), (15, busy)], None),
            // What was before the last ten seconds does not count.
            (vec![(100, source), (40, room)], Some(Limiting::Network)),
        ] {
            assert_eq!(judged(&looks), expected, "{looks:?}");
        }
    }
}
