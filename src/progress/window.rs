//! Rates over the last seconds and minutes, from monotonic counters.

use std::collections::VecDeque;
use std::time::Duration;

use super::Rates;

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    /// Time since the start of the run.
    pub(super) elapsed: Duration,
    pub(super) entries: u64,
    pub(super) bytes_read: u64,
    pub(super) bytes_put: u64,
    /// Processor time of this process.
    pub(super) cpu: Duration,
}

impl Mark {
    /// Returns the rates since an earlier mark.
    pub(super) fn rates_since(&self, before: &Mark) -> Rates {
        let seconds = self.elapsed.saturating_sub(before.elapsed).as_secs_f64();
        let rate = |now: u64, before: u64| match seconds > 0.0 {
            true => now.saturating_sub(before) as f64 / seconds,
            false => 0.0,
        };
        Rates {
            entries: rate(self.entries, before.entries),
            bytes_read: rate(self.bytes_read, before.bytes_read),
            bytes_put: rate(self.bytes_put, before.bytes_put),
        }
    }

    /// Returns the processors used on average since an earlier mark.
    pub(super) fn processors_since(&self, before: &Mark) -> f64 {
        let seconds = self.elapsed.saturating_sub(before.elapsed).as_secs_f64();
        match seconds > 0.0 {
            true => self.cpu.saturating_sub(before.cpu).as_secs_f64() / seconds,
            false => 0.0,
        }
    }
}

/// The marks of the last `span`, oldest first.
#[derive(Debug)]
pub(super) struct Window {
    span: Duration,
    /// Minimum time between two marks.
    step: Duration,
    marks: VecDeque<Mark>,
}

/// The approximate number of marks in a window.
const MARKS: u32 = 32;

impl Window {
    pub(super) fn new(span: Duration) -> Self {
        Window {
            span,
            step: span / MARKS,
            marks: VecDeque::from([Mark::default()]),
        }
    }

    /// Adds the newest mark and returns the one `span` before it, or the first one if the run is shorter.
    pub(super) fn slide(&mut self, now: Mark) -> Mark {
        // One mark at or before the start of the span is kept.
        while let Some(second) = self.marks.get(1)
            && second.elapsed + self.span <= now.elapsed
        {
            self.marks.pop_front();
        }
        let is_apart = |last: &Mark| last.elapsed + self.step <= now.elapsed;
        if self.marks.back().is_none_or(is_apart) {
            self.marks.push_back(now);
        }
        self.marks.front().copied().unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(millis: u64, entries: u64) -> Mark {
        Mark {
            elapsed: Duration::from_millis(millis),
            entries,
            cpu: Duration::from_millis(millis / 2),
            ..Mark::default()
        }
    }

    #[test]
    fn older_marks_are_dropped() {
        let mut window = Window::new(Duration::from_secs(10));
        let mut rate = 0.0;
        // 100 per second for 20 seconds, then 10 per second.
        for tick in 1..=80 {
            let entries = if tick <= 40 {
                tick * 50
            } else {
                2000 + (tick - 40) * 5
            };
            let now = mark(tick * 500, entries);
            let before = window.slide(now);
            rate = now.rates_since(&before).entries;
            if tick == 40 {
                assert_eq!(rate, 100.0);
            }
        }
        assert_eq!(rate, 10.0);
        assert!(window.marks.len() <= MARKS as usize + 2);
    }

    #[test]
    fn a_short_run_is_measured_from_its_start() {
        let mut window = Window::new(Duration::from_secs(10));
        let now = mark(200, 20);
        let before = window.slide(now);
        assert_eq!(now.rates_since(&before).entries, 100.0);
        assert_eq!(now.processors_since(&before), 0.5);
        // No division by zero if no time has passed.
        assert_eq!(
            Mark::default().rates_since(&Mark::default()),
            Rates::default()
        );
    }
}
