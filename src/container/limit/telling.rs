//! What is told of throttling: when it begins and when it is over, each rarely.

use std::time::Duration;

use tokio::time::Instant;

use super::super::notice::{Notice, NoticeObserver};

/// Throttling is told of no more often than this.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Who is told, and what was told so far.
#[derive(Default)]
pub(super) struct Telling {
    observer: Option<NoticeObserver>,
    /// Since when the service throttles.
    since: Option<Instant>,
    /// Whether that was told of; its end is told of only then.
    told: bool,
    last_told: Option<Instant>,
}

/// A notice on its way to whom it is for.
pub(super) struct Word {
    observer: NoticeObserver,
    notice: Notice<'static>,
}

impl Word {
    /// May block for as long as the observer does.
    pub(super) fn tell(self) {
        (self.observer)(&self.notice);
    }
}

impl Telling {
    pub(super) fn set_observer(&mut self, observer: NoticeObserver) {
        self.observer = Some(observer);
    }

    /// An epoch is over, and this is the pace of the next.
    pub(super) fn epoch(&mut self, pace: Option<f64>, now: Instant) -> Option<Word> {
        let recently = self
            .last_told
            .is_some_and(|told| now.duration_since(told) < TOLD_EVERY);
        let notice = match (pace, self.since) {
            (Some(pace), since) => {
                self.since = since.or(Some(now));
                if self.told || recently {
                    return None;
                }
                self.told = true;
                Notice::ThrottleBegins {
                    pace: pace.ceil() as u64,
                }
            }
            (None, Some(since)) => {
                self.since = None;
                if !std::mem::take(&mut self.told) {
                    return None;
                }
                Notice::ThrottleEnds {
                    lasted: now.duration_since(since),
                }
            }
            (None, None) => return None,
        };
        self.last_told = Some(now);
        let observer = self.observer.clone()?;
        Some(Word { observer, notice })
    }
}
