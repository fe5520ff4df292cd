//! Signals: the first SIGINT, SIGTERM or SIGHUP asks to stop, a further SIGINT or SIGTERM ends the
//! process; SIGXFSZ is no reason to end.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Calls `first` at the first signal and `second` at the next. Neither may wait for anybody: the next
/// signal is heard only when it has returned.
///
/// SIGHUP counts only as the first: a terminal that is closed sends it twice, once by the kernel and
/// once by the shell. Where it was ignored when the process started (nohup(1)), it stays ignored.
pub(super) fn on_signals(
    runtime: &Handle,
    first: impl FnOnce() + Send + 'static,
    second: impl FnOnce() + Send + 'static,
) {
    // Before anything is spawned: from here on a signal stops the work in order.
    let _inside = runtime.enter();
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        // Without handlers, signals end the process; a state is safe from that.
        return;
    };
    let mut hangup = match is_hangup_ignored() {
        Some(false) => signal(SignalKind::hangup()).ok(),
        // A handler would take away what nohup gave.
        Some(true) | None => None,
    };
    runtime.spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = received(&mut hangup) => {}
        }
        first();
        // The handler stays: a further SIGHUP has no effect.
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        second();
    });
}

/// Waits for the signal; for ever without a handler.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether SIGHUP is ignored, by what proc(5) says of this process; none where it says nothing.
fn is_hangup_ignored() -> Option<bool> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    ignores(&status, SignalKind::hangup().as_raw_value())
}

/// `SigIgn` is a mask in hexadecimal: bit 0 is signal 1.
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
pub(super) fn survive_file_size_limit() {
    // Nobody reads the flag: the handler is there to replace the default action, and unlike an ignored
    // signal it is not inherited by other programs. Without it the process ends, as before.
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
