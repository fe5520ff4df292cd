//! Rates over the last seconds and minutes, from figures that only grow.

use std::collections::VecDeque;
use std::time::Duration;

use super::Rates;

/// Figures at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    /// Since the run began.
    pub(super) elapsed: Duration,
    pub(super) entries: u64,
    pub(super) bytes_read: u64,
    pub(super) bytes_put: u64,
    /// Time that all processors spent on this process.
    pub(super) cpu: Duration,
}

impl Mark {
    /// Rates between an earlier moment and this.
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

    /// Processors kept busy between an earlier moment and this.
    pub(super) fn processors_since(&self, before: &Mark) -> f64 {
        let seconds = self.elapsed.saturating_sub(before.elapsed).as_secs_f64();
        match seconds > 0.0 {
            true => self.cpu.saturating_sub(before.cpu).as_secs_f64() / seconds,
            false => 0.0,
        }
    }
}

/// Marks of the last while, oldest first.
#[derive(Debug)]
pub(super) struct Window {
    span: Duration,
    /// Marks closer to one another than this are not kept.
    step: Duration,
    marks: VecDeque<Mark>,
}

/// Marks that a window keeps.
const MARKS: u32 = 32;

impl Window {
    pub(super) fn new(span: Duration) -> Self {
        Window {
            span,
            step: span / MARKS,
            marks: VecDeque::from([Mark::default()]),
        }
    }

    /// Adds the newest mark, and returns the one that lies `span` before it; the first one, while the
    /// run is young.
    pub(super) fn slide(&mut self, now: Mark) -> Mark {
        // One mark at or before the beginning of the span stays.
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
    fn a_window_forgets_what_is_older() {
        let mut window = Window::new(Duration::from_secs(10));
        let mut rate = 0.0;
        // 100 a second for 20 seconds, then 10 a second.
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
    fn a_young_run_is_measured_from_its_beginning() {
        let mut window = Window::new(Duration::from_secs(10));
        let now = mark(200, 20);
        let before = window.slide(now);
        assert_eq!(now.rates_since(&before).entries, 100.0);
        assert_eq!(now.processors_since(&before), 0.5);
        // No time at all is no rate, and no division by it.
        assert_eq!(
            Mark::default().rates_since(&Mark::default()),
            Rates::default()
        );
    }
}
