//! The bottleneck of a run, detected from many samples, because a single one is not conclusive.

use super::Bottleneck;

/// The load of a run at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BottleneckSample {
    /// Calls in backoff.
    pub(super) retrying: usize,
    /// Whether the container has carried out a request recently.
    pub(super) responding: bool,
    /// Whether requests are paced because the service throttled.
    pub(super) paced: bool,
    /// Whether the upload rate is at the bandwidth limit.
    pub(super) at_bandwidth_limit: bool,
    /// Whether the maximum number of requests is in flight or waits for the pace.
    pub(super) requests_are_full: bool,
    /// Threads that wait until uploads release memory.
    pub(super) waiting_for_room: usize,
    /// Slow calls to the source in progress.
    pub(super) waiting_for_source: usize,
    /// Utilization of all processors since the last sample, 0 to 1.
    pub(super) busy: f64,
    /// The fraction of the time since the last sample in which a transaction was open, 0 to 1.
    pub(super) in_transaction: f64,
}

/// Utilization from which on the processors are the bottleneck. Scheduling takes the rest.
const BUSY: f64 = 0.85;

/// Fraction of the time in transactions from which on all stages wait for the database.
const MOSTLY_IN_TRANSACTION: f64 = 0.8;

impl BottleneckSample {
    fn requests_wait(&self) -> bool {
        self.requests_are_full || self.waiting_for_room > 0
    }

    fn bottleneck(&self) -> Option<Bottleneck> {
        Some(match self {
            now if now.at_bandwidth_limit => Bottleneck::Bandwidth,
            now if now.paced && now.requests_wait() => Bottleneck::Throttling,
            now if now.retrying > 0 && !now.responding && now.busy < BUSY => Bottleneck::Container,
            now if now.busy >= BUSY => Bottleneck::Cpu,
            now if now.requests_wait() => Bottleneck::Network,
            now if now.in_transaction >= MOSTLY_IN_TRANSACTION => Bottleneck::State,
            now if now.waiting_for_source > 0 => Bottleneck::Source,
            _ => return None,
        })
    }
}

/// Detects the bottleneck from the last samples.
#[derive(Debug, Default)]
pub(super) struct BottleneckDetector {
    samples: std::collections::VecDeque<Option<Bottleneck>>,
}

/// Samples that are kept: those of the last ten seconds, at four per second.
const SAMPLES: usize = 40;

impl BottleneckDetector {
    pub(super) fn add(&mut self, sample: &BottleneckSample) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample.bottleneck());
    }

    /// Returns the bottleneck of at least half of the samples.
    pub(super) fn bottleneck(&self) -> Option<Bottleneck> {
        Bottleneck::ALL.into_iter().find(|bottleneck| {
            let samples = self.samples.iter();
            let same = samples.filter(|sample| **sample == Some(*bottleneck));
            2 * same.count() >= self.samples.len().max(1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bottleneck(samples: &[(usize, BottleneckSample)]) -> Option<Bottleneck> {
        let mut detector = BottleneckDetector::default();
        for (times, sample) in samples {
            (0..*times).for_each(|_| detector.add(sample));
        }
        detector.bottleneck()
    }

    #[test]
    fn the_bottleneck_of_half_of_the_samples_is_detected() {
        let idle = BottleneckSample::default();
        let room = BottleneckSample {
            waiting_for_room: 3,
            ..idle
        };
        let source = BottleneckSample {
            waiting_for_source: 9,
            ..idle
        };
        let busy = BottleneckSample {
            busy: 0.95,
            ..source
        };
        let full = BottleneckSample {
            requests_are_full: true,
            ..idle
        };
        // Still paced, but no request waits for the pace.
        let unpaced = BottleneckSample {
            paced: true,
            ..busy
        };
        let paced = BottleneckSample {
            waiting_for_room: 1,
            ..unpaced
        };
        let paced_full = BottleneckSample {
            paced: true,
            ..full
        };
        let unreachable = BottleneckSample {
            retrying: 4,
            ..room
        };
        // One call is retried, all others succeed.
        let one_retry = BottleneckSample {
            retrying: 1,
            responding: true,
            ..source
        };
        let limited = BottleneckSample {
            at_bandwidth_limit: true,
            ..room
        };
        let disk = BottleneckSample {
            in_transaction: 0.9,
            ..source
        };
        for (samples, expected) in [
            (vec![], None),
            (vec![(40, idle)], None),
            (vec![(40, room)], Some(Bottleneck::Network)),
            (vec![(40, source)], Some(Bottleneck::Source)),
            (vec![(40, busy)], Some(Bottleneck::Cpu)),
            (vec![(40, full)], Some(Bottleneck::Network)),
            (vec![(40, unpaced)], Some(Bottleneck::Cpu)),
            (vec![(40, paced)], Some(Bottleneck::Throttling)),
            (vec![(40, paced_full)], Some(Bottleneck::Throttling)),
            (vec![(40, one_retry)], Some(Bottleneck::Source)),
            (vec![(40, limited)], Some(Bottleneck::Bandwidth)),
            (vec![(40, unreachable)], Some(Bottleneck::Container)),
            (vec![(40, disk)], Some(Bottleneck::State)),
            (vec![(10, source), (15, room), (15, busy)], None),
            // Samples before the last ten seconds are dropped.
            (vec![(100, source), (40, room)], Some(Bottleneck::Network)),
        ] {
            assert_eq!(bottleneck(&samples), expected, "{samples:?}");
        }
    }
}
