//! SIGINT and SIGTERM pause a transfer; two processes cannot use the same state.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::transfer::{Transfer, Undisturbed};
use crate::support::command::{CommandOutput, Scratch, clfsload};
use crate::support::sink::{Pace, Sink};

/// Far more time than needed, far less than a user waits.
const PAUSE_LIMIT: Duration = Duration::from_secs(10);

/// Starts a load into the sink and waits until its uploads wait for responses.
fn waiting(transfer: &Transfer<'_>, sink: &Sink, responses: u64) -> Child {
    let mut arguments = transfer.arguments();
    arguments.splice(2.., sink.arguments());
    let child = clfsload()
        .args(arguments)
        .arg("--new")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while sink.puts() <= responses {
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn ended(child: Child) -> CommandOutput {
    CommandOutput::from(child.wait_with_output().unwrap())
}

/// Returns how many phases have begun in all runs of the transfer.
fn phases(transfer: &Transfer<'_>) -> usize {
    let log = std::fs::read_to_string(transfer.state().join("output.txt"));
    log.unwrap_or_default().matches("phase: ").count()
}

/// Repeated interruptions at moments spread over the run: each pauses the load within seconds, and the container is
/// that of an undisturbed load.
#[test]
fn the_first_signal_pauses_the_transfer() {
    let undisturbed = Undisturbed::shared();
    let mut stopped = 0;
    for (number, share) in [0.05, 0.2, 0.4, 0.6, 0.8].into_iter().enumerate() {
        let transfer = undisturbed.transfer(format!("signal-{number}"));
        for signal in [Signal::INT, Signal::TERM, Signal::INT] {
            let before = phases(&transfer);
            let mut child = transfer
                .command()
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            while phases(&transfer) == before && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            // The signal handlers are installed while the first phase runs.
            std::thread::sleep(Duration::from_millis(20) + undisturbed.took.mul_f64(share / 3.0));
            send(&child, signal);
            let signalled = Instant::now();
            let ran = ended(child);
            assert!(
                signalled.elapsed() < PAUSE_LIMIT,
                "{:?}",
                signalled.elapsed()
            );
            if ran.status == 0 {
                break;
            }
            let ran = ran.expect(1);
            assert!(ran.stdout.contains("stopping after"), "{ran:#?}");
            let advice = "stopped: resume with the same command without --new";
            assert!(ran.stdout.contains(advice), "{ran:#?}");
            stopped += 1;
        }
        transfer.finish();
    }
    println!("{stopped} stops");
    assert!(stopped >= 5, "{stopped}: the moments come too late");
}

/// If the container does not respond, the first signal still ends the run within seconds.
#[test]
fn the_first_signal_pauses_the_transfer_without_responses() {
    let undisturbed = Undisturbed::shared();
    let transfer = undisturbed.transfer("no-response");
    let sink = Sink::start(Pace::Never { after: 50 });
    let child = waiting(&transfer, &sink, 60);
    send(&child, Signal::INT);
    let signalled = Instant::now();
    let ran = ended(child).expect(1);
    println!("paused after {:.1} s", signalled.elapsed().as_secs_f64());
    assert!(
        signalled.elapsed() < 2 * PAUSE_LIMIT,
        "{:?}",
        signalled.elapsed()
    );
    assert!(ran.stdout.contains("stopping after"), "{ran:#?}");
    assert!(
        format!("{}{}", ran.stdout, ran.stderr).contains("without --new"),
        "{ran:#?}"
    );
}

#[test]
fn the_second_signal_ends_the_transfer_immediately() {
    let undisturbed = Undisturbed::shared();
    let transfer = undisturbed.transfer("twice");
    let sink = Sink::start(Pace::Never { after: 50 });
    let mut child = waiting(&transfer, &sink, 60);
    send(&child, Signal::INT);
    std::thread::sleep(Duration::from_millis(300));
    assert!(
        child.try_wait().unwrap().is_none(),
        "there was nothing to wait for"
    );
    send(&child, Signal::TERM);
    let signalled = Instant::now();
    ended(child).expect(1);
    assert!(
        signalled.elapsed() < Duration::from_secs(2),
        "{:?}",
        signalled.elapsed()
    );
}

/// When a terminal is closed, both the kernel and the shell send SIGHUP. That counts as one stop request, not two.
#[test]
fn several_hangups_count_as_one_stop_request() {
    let undisturbed = Undisturbed::shared();
    let transfer = undisturbed.transfer("hangup");
    let mut child = transfer
        .command()
        .args(["--bandwidth-limit", "256K"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while phases(&transfer) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    for _ in 0..3 {
        send(&child, Signal::HUP);
        std::thread::sleep(Duration::from_millis(5));
    }
    let signalled = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(signalled.elapsed() < PAUSE_LIMIT, "it does not stop");
        std::thread::sleep(Duration::from_millis(10));
    }
    let ran = ended(child).expect(1);
    assert!(ran.stdout.contains("stopping after"), "{ran:#?}");
    assert!(
        ran.stdout.contains("stopped: resume with the same command"),
        "{ran:#?}"
    );
    transfer.finish();
}

/// Under nohup(1), the transfer continues.
#[test]
fn an_ignored_hangup_stays_ignored() {
    let undisturbed = Undisturbed::shared();
    let transfer = undisturbed.transfer("nohup");
    let command = transfer.command();
    let mut ignoring = std::process::Command::new("sh");
    ignoring.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    ignoring.arg(command.get_program()).args(command.get_args());
    let child = ignoring
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while phases(&transfer) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    send(&child, Signal::HUP);
    let ran = ended(child).expect(0);
    assert!(!ran.stdout.contains("stopping after"), "{ran:#?}");
    transfer.assert_undisturbed();
}

/// A reading command also stops in an orderly way, and removes incomplete files.
#[test]
fn a_hangup_stops_an_extraction() {
    const FILES: usize = 3000;
    let scratch = Scratch::in_memory();
    for number in 0..FILES {
        std::fs::write(scratch.source().join(number.to_string()), [1; 10_000]).unwrap();
    }
    scratch.load("t", &[]).expect(0);
    let destination = scratch.path("out");
    let names = || {
        let names = std::fs::read_dir(&destination).map(|names| {
            let names = names.map(|name| name.unwrap().file_name());
            names.collect::<Vec<_>>()
        });
        names.unwrap_or_default()
    };
    let child = clfsload()
        .arg("extract")
        .arg(scratch.container("t"))
        .arg(&destination)
        .arg("--record")
        .arg(scratch.path("record"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while names().len() < 50 && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    // The command must not finish before the signal arrives.
    send(&child, Signal::STOP);
    let before = names().len();
    assert!((50..FILES / 2).contains(&before), "{before}");
    send(&child, Signal::HUP);
    send(&child, Signal::CONT);
    let ran = ended(child).expect(1);
    assert!(ran.stderr.contains("stopping: "), "{ran:#?}");
    let left = names();
    assert!(left.len() < FILES, "{}", left.len());
    let is_temporary = |name: &std::ffi::OsString| name.to_string_lossy().contains("clfsload");
    assert!(!left.iter().any(is_temporary), "{left:?}");
}

/// SIGSTOP stops the first process while it holds the lock of the state.
#[test]
fn a_second_process_on_the_state_is_refused() {
    let undisturbed = Undisturbed::shared();
    let transfer = undisturbed.transfer("shared");
    let child = transfer
        .command()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while phases(&transfer) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    send(&child, Signal::STOP);
    let log = || std::fs::read(transfer.state().join("output.txt")).unwrap();
    let before = log();
    transfer
        .run()
        .refused(1, "another clfsload process is using");
    assert_eq!(
        before.len(),
        log().len(),
        "the second wrote into the first one's log"
    );
    send(&child, Signal::CONT);
    ended(child).expect(0);
    transfer.assert_undisturbed();
}
