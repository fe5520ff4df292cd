//! SIGINT and SIGTERM: the first asks to stop, the second ends the process.

use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

/// Calls `first` at the first signal and `second` at the next. Neither may wait for anybody: the next
/// signal is heard only when it has returned.
pub(super) fn on_signals(
    runtime: &Handle,
    first: impl FnOnce() + Send + 'static,
    second: impl FnOnce() + Send + 'static,
) {
    runtime.spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            // Without handlers, signals end the process; a state is safe from that.
            return;
        };
        let calls: [Box<dyn FnOnce() + Send>; 2] = [Box::new(first), Box::new(second)];
        for call in calls {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            call();
        }
    });
}
