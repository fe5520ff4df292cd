//! A service that is away for a while, or for good, or that cannot be trusted.
//! docs/reliability.md, "Faults on the wire", names these tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clfsload::container::Operation;
use rustix::process::{Pid, Signal, kill_process};
use support::azurite::{ACCOUNT, Azurite, container_sas};
use support::command::{Ran, clfsload};
use support::fault_proxy::Fault;
use support::wire::Wire;

fn finished(child: Child) -> Ran {
    child.wait_with_output().unwrap().into()
}

fn interrupt(child: &Child) {
    let id = Pid::from_raw(child.id().cast_signed()).unwrap();
    kill_process(id, Signal::INT).unwrap();
}

/// Reads standard error up to a line with `what`.
fn wait_for_line(child: &mut Child, what: &str) -> (String, impl Read + use<>) {
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains(what) {
        assert!(
            lines.read_line(&mut said).unwrap() > 0,
            "no {what:?}: {said}"
        );
    }
    (said, lines)
}

#[test]
fn a_service_that_is_away_for_a_while() {
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|_| None));
    let child = wire.spawn(&proxy, &[]);
    proxy.wait_for_puts(60);
    proxy.down();
    std::thread::sleep(Duration::from_secs(8));
    proxy.up();
    let ran = finished(child).expect(0);
    wire.assert_identical();
    // Many requests failed, again and again; one line says so, and one that it is over.
    let warnings = ran.stderr.lines().filter(|line| line.contains("could not"));
    assert_eq!(warnings.count(), 1, "{ran:#?}");
    assert!(
        ran.stderr
            .contains("waiting and trying again, for 10 min 0 s at most"),
        "{ran:#?}"
    );
    let over = ran
        .stdout
        .lines()
        .find(|line| line.contains("answers again after"));
    println!("{}", over.unwrap());
    // Nothing reaches a service that is away; at either end of the outage a try may break off.
    assert!(proxy.tries().values().all(|tries| *tries <= 3));
}

#[test]
fn a_service_that_stays_away() {
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|_| None));
    let child = wire.spawn(&proxy, &["--retry-patience", "3"]);
    proxy.wait_for_puts(60);
    let away = Instant::now();
    proxy.down();
    let ran = finished(child).refused(1, "times in ");
    assert!(
        away.elapsed() < Duration::from_secs(20),
        "{:?}",
        away.elapsed()
    );
    assert!(
        ran.stderr.contains("run the same command without --new"),
        "{ran:#?}"
    );
    println!("{}", ran.stderr);
    // Still away: nothing answers at all, which is told sooner than a failure in the middle.
    wire.resume(&proxy, &["--retry-patience", "2"])
        .refused(1, "the connection failed");
    proxy.up();
    wire.resume(&proxy, &[]).expect(0);
    wire.assert_identical();
}

#[test]
fn a_stop_ends_the_wait_for_a_service() {
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|_| None));
    let mut child = wire.spawn(&proxy, &[]);
    proxy.wait_for_puts(60);
    proxy.down();
    let (_, mut rest) = wait_for_line(&mut child, "waiting and trying again");
    // By now waits last seconds.
    std::thread::sleep(Duration::from_secs(4));
    let asked = Instant::now();
    interrupt(&child);
    let ran = finished(child).expect(1);
    let took = asked.elapsed();
    let mut said = String::new();
    rest.read_to_string(&mut said).unwrap();
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(
        ran.stdout
            .contains("stopped: run the same command without --new"),
        "{ran:#?}"
    );
    assert!(!said.contains("could not"), "a failure is told: {said}");
    proxy.up();
    wire.resume(&proxy, &[]).expect(0);
    wire.assert_identical();
    println!("stopped within {took:?}");
}

#[test]
fn a_stop_does_not_wait_for_answers_that_never_come() {
    let wire = Wire::new();
    let silent = Arc::new(AtomicBool::new(true));
    let now = Arc::clone(&silent);
    let proxy = wire.proxy(Box::new(move |call| {
        let put = call.operation == Operation::Put && call.number > 60;
        (put && now.load(Ordering::SeqCst)).then_some(Fault::Silence)
    }));
    let child = wire.spawn(&proxy, &[]);
    proxy.wait_for_puts(80);
    let asked = Instant::now();
    interrupt(&child);
    let ran = finished(child).expect(1);
    let took = asked.elapsed();
    // What is in flight has five seconds.
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert!(
        ran.stdout
            .contains("stopped: run the same command without --new"),
        "{ran:#?}"
    );
    assert!(!ran.stderr.contains("could not"), "{ran:#?}");
    silent.store(false, Ordering::SeqCst);
    wire.resume(&proxy, &[]).expect(0);
    wire.assert_identical();
    println!("stopped within {took:?}");
}

/// The same command where no name server can be asked, if the system lets us; else it says that the name is unknown.
fn without_network(command: &Command) -> Command {
    let alone = ["--map-root-user", "--net"];
    let possible = Command::new("unshare").args(alone).arg("true").status();
    if !possible.is_ok_and(|status| status.success()) {
        return clfsload();
    }
    let mut inside = Command::new("unshare");
    inside.args(alone).arg("--").arg(command.get_program());
    inside
}

/// A load over TLS.
fn over_tls(endpoint: &str, trusted: Option<&Path>, options: &[&str]) -> (Ran, Duration) {
    let scratch = support::command::Scratch::new();
    std::fs::write(scratch.source().join("file"), "content").unwrap();
    let mut words = scratch.words("state", "tls-container");
    words[2] = ACCOUNT.to_owned();
    let mut command = clfsload();
    if endpoint.contains(".invalid") {
        command = without_network(&command);
    }
    command
        .args(words)
        .args(["--new", "--blob-endpoint", endpoint])
        .args(options)
        .env(
            "AZURE_STORAGE_SAS_TOKEN",
            container_sas("tls-container", "rwdl"),
        )
        .stdin(Stdio::null());
    if let Some(trusted) = trusted {
        command.env("SSL_CERT_FILE", trusted);
    }
    let started = Instant::now();
    let ran = command.output().unwrap().into();
    (ran, started.elapsed())
}

#[test]
fn a_certificate_that_is_not_trusted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tls");
    let certificate = folder.join("certificate.pem");
    let server = Azurite::start_with_tls(&certificate, &folder.join("key.pem"));
    let (ran, _) = over_tls(&server.endpoint(), None, &["--retry-patience", "5"]);
    let ran = ran.refused(
        1,
        "the TLS connection cannot be trusted: check this host's certificates",
    );
    assert!(
        !ran.stderr.contains("trying") && !ran.stderr.contains("tried"),
        "{ran:#?}"
    );
    assert!(ran.stderr.contains("UnknownIssuer"), "{ran:#?}");
    println!("{}", ran.stderr);
    // The same certificate, trusted: now only the container is missing.
    let (ran, _) = over_tls(&server.endpoint(), Some(&certificate), &[]);
    ran.refused(1, "the container does not exist");
}

#[test]
fn a_server_that_speaks_no_tls() {
    let server = Azurite::shared();
    let endpoint = server.endpoint().replace("http:", "https:");
    let (ran, _) = over_tls(&endpoint, None, &["--retry-patience", "5"]);
    let ran = ran.refused(1, "the TLS connection cannot be trusted");
    assert!(
        !ran.stderr.contains("trying") && !ran.stderr.contains("tried"),
        "{ran:#?}"
    );
    // What came was read, and is no record of TLS.
    assert!(ran.stderr.contains("corrupt message"), "{ran:#?}");
}

#[test]
fn a_name_that_does_not_resolve() {
    let endpoint = format!("https://account.invalid/{ACCOUNT}");
    let (ran, took) = over_tls(&endpoint, None, &["--retry-patience", "3"]);
    let ran = ran.refused(
        1,
        "the host name could not be resolved: check the account's name",
    );
    assert!(
        ran.stderr
            .contains("waiting and trying again, for 3.0 s at most"),
        "{ran:#?}"
    );
    assert!(ran.stderr.contains("; tried "), "{ran:#?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    println!("{}", ran.stderr);
}
