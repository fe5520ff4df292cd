//! The unit and the job in docs/examples work, as far as can be tested without systemd and Slurm.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::command::{CommandOutput, Scratch, clfsload};

fn example(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples");
    folder.join(name)
}

/// Returns the command that the unit passes to `sh -c`.
fn unit_line() -> String {
    let unit = std::fs::read_to_string(example("clfsload.service")).unwrap();
    let (_, rest) = unit.split_once("ExecStart=/bin/sh -c '").unwrap();
    let (line, arguments) = rest.split_once('\'').unwrap();
    assert!(
        arguments.starts_with(" sh ${STATE_DIRECTORY} ${CREDENTIALS_DIRECTORY}\n"),
        "{arguments}"
    );
    // As in systemd.service(5), a line continues after a backslash, and two dollars stand for one.
    line.replace("\\\n", " ").replace("$$", "$").replace(
        "/usr/local/bin/clfsload",
        concat!("'", env!("CARGO_BIN_EXE_clfsload"), "'"),
    )
}

#[test]
fn the_unit_starts_a_load_and_resumes_it() {
    let scratch = Scratch::new();
    std::fs::write(scratch.source().join("file"), "content").unwrap();
    std::fs::hard_link(scratch.source().join("file"), scratch.source().join("link")).unwrap();
    let state = scratch.path("lib");
    std::fs::create_dir(&state).unwrap();
    std::fs::create_dir(scratch.path("containers")).unwrap();
    let containers = format!("file://{}", scratch.path("containers").display());
    let start = |account: &str| {
        let mut command = Command::new("sh");
        command
            .args(["-c", &unit_line(), "sh"])
            .args([&state, &scratch.path("credentials")])
            .env("SOURCE", scratch.source())
            .env("ACCOUNT", account)
            .env("CONTAINER", "container")
            .env("OPTIONS", "--preserve-hardlinks 1");
        CommandOutput::from(command.output().unwrap())
    };
    let unit = std::fs::read_to_string(example("clfsload.service")).unwrap();
    assert!(unit.contains("\nRestartPreventExitStatus=2 3\n"), "{unit}");
    start("No Account").expect(2);
    // The token is read from the credentials.
    start("account").refused(2, "credentials/token");
    let first = start(&containers).expect(0);
    assert!(first.stdout.contains("\nphase: scan"), "{first:?}");
    let again = start(&containers).expect(0);
    assert!(!again.stdout.contains("\nphase: scan"), "{again:?}");
    assert!(state.join("state/state.db").exists());
}

#[test]
fn the_job_is_requeued_until_it_is_complete() {
    const FILES: usize = 40;
    let scratch = Scratch::new();
    for number in 0..FILES {
        let file = scratch.source().join(number.to_string());
        std::fs::write(file, vec![number as u8; 64 << 10]).unwrap();
    }
    std::fs::create_dir(scratch.path("containers")).unwrap();
    let tools = scratch.path("bin");
    std::fs::create_dir(&tools).unwrap();
    let tool = |name: &str, text: String| {
        let path = tools.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    };
    let queued = scratch.path("queued");
    tool("scontrol", format!("echo \"$@\" >> '{}'", queued.display()));
    let load = |options: &str| {
        tool(
            "clfsload",
            format!(
                "exec '{}' \"$@\" {options} --compression DISABLED",
                env!("CARGO_BIN_EXE_clfsload")
            ),
        );
        let path = std::env::var("PATH").unwrap();
        let mut job = Command::new("bash");
        job.arg(example("clfsload.slurm"))
            .env("PATH", format!("{}:{path}", tools.display()))
            .env("SLURM_JOB_ID", "42")
            .env("CLFSLOAD_STATE", scratch.path("state"))
            .env("CLFSLOAD_SOURCE", scratch.source())
            .env(
                "CLFSLOAD_ACCOUNT",
                format!("file://{}", scratch.path("containers").display()),
            )
            .env("CLFSLOAD_CONTAINER", "c")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        job.spawn().unwrap()
    };
    let blobs = || std::fs::read_dir(scratch.container("c")).map_or(0, Iterator::count);
    // At 64 KiB per second, an uninterrupted load takes 40 seconds.
    let mut job = load("--bandwidth-limit 64K --concurrency 1");
    while blobs() < 4 {
        assert!(job.try_wait().unwrap().is_none(), "{} blobs", blobs());
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_child(&job), Signal::TERM).unwrap();
    CommandOutput::from(job.wait_with_output().unwrap()).expect(1);
    assert!(blobs() < FILES, "{} blobs", blobs());
    assert_eq!(std::fs::read_to_string(&queued).unwrap(), "requeue 42\n");
    CommandOutput::from(load("").wait_with_output().unwrap()).expect(0);
    assert!(blobs() > FILES);
    assert_eq!(std::fs::read_to_string(&queued).unwrap(), "requeue 42\n");
    let state = scratch.path("state");
    let status = clfsload().arg("status").arg(state).output().unwrap();
    CommandOutput::from(status).expect(0);
}
