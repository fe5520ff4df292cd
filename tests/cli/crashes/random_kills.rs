//! SIGKILL at random moments: 20 times, or as often as CLFSLOAD_RANDOM_KILLS specifies.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::transfer::Undisturbed;

/// Kills of one transfer before it runs to completion.
const KILLS_PER_TRANSFER: usize = 4;

#[test]
fn a_randomly_killed_load_resumes_and_produces_the_same_container() {
    let wanted = match std::env::var("CLFSLOAD_RANDOM_KILLS") {
        Ok(number) => number.parse().unwrap(),
        Err(_) => 20,
    };
    // The seed of a failed run can be specified again. The moments repeat as closely as clocks permit.
    let first_seed: u64 = match std::env::var("CLFSLOAD_RANDOM_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => 20_251_121,
    };
    let undisturbed = Undisturbed::shared();
    let kills = AtomicUsize::new(0);
    let phases: Mutex<BTreeMap<String, usize>> = Mutex::default();
    let transfers = AtomicUsize::new(0);
    let transfer = |seed: u64| {
        let mut random = fastrand::Rng::with_seed(seed);
        let transfer = undisturbed.transfer(format!("random-{seed}"));
        for _ in 0..KILLS_PER_TRANSFER {
            let moment = Moment::pick(&mut random, undisturbed.took);
            if !killed_at(&mut transfer.command(), &transfer.state(), &moment) {
                break;
            }
            kills.fetch_add(1, Ordering::Relaxed);
            *phases
                .lock()
                .unwrap()
                .entry(last_phase(&transfer.state()))
                .or_default() += 1;
        }
        transfer.finish();
        transfers.fetch_add(1, Ordering::Relaxed);
    };
    let next = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while kills.load(Ordering::Relaxed) < wanted {
                    transfer(first_seed + next.fetch_add(1, Ordering::Relaxed) as u64);
                }
            });
        }
    });
    println!(
        "{} kills of {} transfers (seeds from {first_seed}) of {} entries, all containers identical; by last phase started: {:?}",
        kills.into_inner(),
        transfers.into_inner(),
        undisturbed.entries,
        phases.into_inner().unwrap()
    );
}

/// The moment of a kill. Phases have very different lengths, and other tests slow them down, so the phase is chosen
/// first and then the time within it.
struct Moment {
    /// The log line of the start of the phase; `None` before the first phase.
    phase: Option<&'static str>,
    after: Duration,
}

impl Moment {
    fn pick(random: &mut fastrand::Rng, duration: Duration) -> Moment {
        let (phase, span) = match random.u32(0..20) {
            0..2 => (None, 0.05),
            2..9 => (Some("phase: scan and files"), 0.9),
            9..12 => (Some("phase: hard links"), 0.1),
            12..18 => (Some("phase: directories"), 0.15),
            _ => (Some("phase: finish"), 0.02),
        };
        Moment {
            phase,
            after: duration.mul_f64(span * random.f64()),
        }
    }
}

/// Returns true if the process was still running when it was killed.
fn killed_at(command: &mut Command, state: &Path, moment: &Moment) -> bool {
    use std::os::unix::process::ExitStatusExt;
    let log = || std::fs::read_to_string(state.join("output.txt")).unwrap_or_default();
    let before = log().len();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while let Some(phase) = moment.phase
        && !log().get(before..).unwrap_or_default().contains(phase)
        && child.try_wait().unwrap().is_none()
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(moment.after);
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    match output.status.signal() {
        Some(9) => true,
        None if output.status.success() => false,
        _ => panic!("{output:#?}"),
    }
}

/// Returns the last phase in the log of the state folder.
fn last_phase(state: &Path) -> String {
    let log = std::fs::read_to_string(state.join("output.txt")).unwrap_or_default();
    let phase = log
        .lines()
        .rev()
        .find_map(|line| line.split_once("phase: "));
    phase.map_or("none".to_owned(), |(_, phase)| phase.to_owned())
}
