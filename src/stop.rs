//! The request to stop, shared by all threads of a run.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Set once, by a signal, a fatal error or too many failed entries. The stages check it between two units of
/// work, and it ends waits in calls to the container.
#[derive(Debug, Default)]
pub struct StopFlag {
    /// The time of the first request.
    since: OnceLock<Instant>,
    stop_requested: Notify,
}

impl StopFlag {
    /// Requests the stop.
    pub fn request(&self) {
        self.since.get_or_init(Instant::now);
        self.stop_requested.notify_waiters();
    }

    /// Returns whether the stop was requested.
    pub fn is_requested(&self) -> bool {
        self.since.get().is_some()
    }

    /// Waits until `grace` after the stop was first requested.
    pub async fn requested(&self, grace: Duration) {
        let stop_requested = self.stop_requested.notified();
        tokio::pin!(stop_requested);
        // Registers before the check, so that a request between the two is not missed.
        stop_requested.as_mut().enable();
        let since = match self.since.get() {
            Some(since) => *since,
            None => {
                stop_requested.await;
                self.since.get().copied().unwrap_or_else(Instant::now)
            }
        };
        tokio::time::sleep_until(since + grace).await;
    }
}

/// Requests the stop when its thread panics, so that other threads do not wait for it.
pub struct StopOnPanic<'a>(pub &'a StopFlag);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.request();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_a_grace_after_the_first_request() {
        let stop = Arc::new(StopFlag::default());
        let grace = Duration::from_secs(5);
        let waiting = tokio::spawn({
            let stop = Arc::clone(&stop);
            async move {
                stop.requested(grace).await;
                Instant::now()
            }
        });
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(!waiting.is_finished() && !stop.is_requested());
        stop.request();
        let stop_requested = Instant::now();
        tokio::time::sleep(Duration::from_secs(3)).await;
        // A further request does not extend the grace.
        stop.request();
        let ended = waiting.await.unwrap();
        assert_eq!(ended.duration_since(stop_requested).as_secs(), 5);
        // Long after, nothing is waited for.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let late = Instant::now();
        stop.requested(grace).await;
        assert_eq!(late.elapsed(), Duration::ZERO);
    }
}
