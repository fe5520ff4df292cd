//! Signals: the first SIGINT, SIGTERM or SIGHUP requests a stop, a further SIGINT or SIGTERM ends the process, and
//! SIGXFSZ does not end it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Calls `first` at the first signal and `second` at the next. Neither may block, because the next signal is handled
/// only after the call.
///
/// SIGHUP counts only as the first signal: when a terminal is closed, the kernel and the shell each send one. If it
/// was ignored when the process started (nohup(1)), it stays ignored.
pub(crate) fn on_signals(
    runtime: &Handle,
    first: impl FnOnce() + Send + 'static,
    second: impl FnOnce() + Send + 'static,
) {
    // The handlers are installed before the task is spawned, so that no signal is lost.
    let _inside = runtime.enter();
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        // Without handlers, signals end the process, from which a state recovers.
        return;
    };
    let mut hangup = match is_hangup_ignored() {
        Some(false) => signal(SignalKind::hangup()).ok(),
        // A handler would override nohup.
        Some(true) | None => None,
    };
    runtime.spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = received(&mut hangup) => {}
        }
        first();
        // The handler stays installed, so that a further SIGHUP has no effect.
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        second();
    });
}

/// Waits for the signal, or for ever without a handler.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Returns whether SIGHUP is ignored, according to proc(5). `None` if that cannot be read.
fn is_hangup_ignored() -> Option<bool> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    ignores(&status, SignalKind::hangup().as_raw_value())
}

/// Returns whether a signal is ignored. `SigIgn` is a mask in hexadecimal: bit 0 is signal 1.
fn ignores(status: &str, signal: i32) -> Option<bool> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    let bit = u32::try_from(signal).ok()?.checked_sub(1)?;
    Some(mask.checked_shr(bit)? & 1 == 1)
}

/// Lets a write beyond `RLIMIT_FSIZE` fail with `EFBIG` instead of ending the process
/// (setrlimit(2)): the error names the file.
pub(crate) fn survive_file_size_limit() {
    // The flag is never read: the handler only replaces the default action. Unlike an ignored signal, a handler is
    // not inherited by other programs. If the registration fails, the process ends as before.
    drop(signal_hook::flag::register(
        signal_hook::consts::SIGXFSZ,
        Arc::new(AtomicBool::new(false)),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals() {
        // SIGHUP and SIGPIPE; SIGPIPE only.
        assert_eq!(ignores("SigIgn:\t0000000000001001\n", 1), Some(true));
        assert_eq!(ignores("SigIgn:\t0000000000001000\n", 1), Some(false));
        assert_eq!(ignores("SigIgn:\t0000000000001000\n", 13), Some(true));
        for broken in ["", "SigIgn:\tx\n", "SigBlk:\t0000000000001001\n"] {
            assert_eq!(ignores(broken, 1), None, "{broken:?}");
        }
    }
}
