//! Notices about the start and the end of throttling, each start at most once a minute.

use std::time::Duration;

use tokio::time::Instant;

use super::super::notice::{Notice, NoticeObserver};

/// The minimum time from one notice to the next reported start of throttling.
const MIN_INTERVAL: Duration = Duration::from_secs(60);

/// Decides which changes of the rate limit are reported.
#[derive(Default)]
pub(super) struct ThrottleNotifier {
    observer: Option<NoticeObserver>,
    /// The start of the current throttling.
    since: Option<Instant>,
    /// Whether that start was reported. Otherwise its end is not reported either.
    is_reported: bool,
    last_notice: Option<Instant>,
}

/// A notice that has not yet been passed to its observer.
pub(super) struct PendingNotice {
    observer: NoticeObserver,
    notice: Notice<'static>,
}

impl PendingNotice {
    /// Calls the observer, which may block.
    pub(super) fn deliver(self) {
        (self.observer)(&self.notice);
    }
}

impl ThrottleNotifier {
    pub(super) fn set_observer(&mut self, observer: NoticeObserver) {
        self.observer = Some(observer);
    }

    /// Returns the notice that is due after an epoch. `rate` is the rate limit of the next epoch.
    pub(super) fn end_epoch(&mut self, rate: Option<f64>, now: Instant) -> Option<PendingNotice> {
        let is_recent = self
            .last_notice
            .is_some_and(|last| now.duration_since(last) < MIN_INTERVAL);
        let notice = match (rate, self.since) {
            (Some(rate), since) => {
                self.since = since.or(Some(now));
                if self.is_reported || is_recent {
                    return None;
                }
                self.is_reported = true;
                Notice::ThrottleBegins {
                    pace: rate.ceil() as u64,
                }
            }
            (None, Some(since)) => {
                self.since = None;
                if !std::mem::take(&mut self.is_reported) {
                    return None;
                }
                Notice::ThrottleEnds {
                    lasted: now.duration_since(since),
                }
            }
            (None, None) => return None,
        };
        self.last_notice = Some(now);
        let observer = self.observer.clone()?;
        Some(PendingNotice { observer, notice })
    }
}
