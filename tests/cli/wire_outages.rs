//! A service that is temporarily or permanently unavailable, or not trusted.
//! docs/reliability.md, "Faults on the wire", names these tests.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::azurite::{ACCOUNT, Azurite, container_sas};
use crate::support::command::{CommandOutput, clfsload};
use crate::support::fault_proxy::Fault;
use crate::support::wire::Wire;
use clfsload::container::Operation;
use rustix::process::{Pid, Signal, kill_process};

fn finished(child: Child) -> CommandOutput {
    child.wait_with_output().unwrap().into()
}

fn interrupt(child: &Child) {
    let id = Pid::from_raw(child.id().cast_signed()).unwrap();
    kill_process(id, Signal::INT).unwrap();
}

/// Reads standard error up to a line that contains `text`.
fn wait_for_line(child: &mut Child, text: &str) -> (String, impl Read + use<>) {
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut read = String::new();
    while !read.contains(text) {
        assert!(
            lines.read_line(&mut read).unwrap() > 0,
            "no {text:?}: {read}"
        );
    }
    (read, lines)
}

#[test]
fn a_temporarily_unavailable_service_delays_the_load() {
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|_| None));
    let child = wire.spawn(&proxy, &[]);
    proxy.wait_for_puts(60);
    proxy.down();
    std::thread::sleep(Duration::from_secs(8));
    proxy.up();
    let ran = finished(child).expect(0);
    wire.assert_identical();
    // Many requests failed repeatedly. One line reports the start of the outage, and one its end.
    let warnings = ran.stderr.lines().filter(|line| line.contains("could not"));
    assert_eq!(warnings.count(), 1, "{ran:#?}");
    assert!(ran.stderr.contains("retrying for up to 10 min"), "{ran:#?}");
    let end = ran
        .stdout
        .lines()
        .find(|line| line.contains("responds again after"));
    println!("{}", end.unwrap());
    // An unavailable service receives no requests; at the start and the end of the outage, one attempt may be interrupted.
    assert!(proxy.puts_by_blob().values().all(|puts| *puts <= 3));
}

#[test]
fn a_permanently_unavailable_service_pauses_the_load() {
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|_| None));
    let child = wire.spawn(&proxy, &["--retry-patience", "3"]);
    proxy.wait_for_puts(60);
    let down_since = Instant::now();
    proxy.down();
    let ran = finished(child).refused(1, "times in ");
    assert!(
        down_since.elapsed() < Duration::from_secs(20),
        "{:?}",
        down_since.elapsed()
    );
    assert!(
        ran.stderr
            .contains("resume with the same command without --new"),
        "{ran:#?}"
    );
    println!("{}", ran.stderr);
    // Still unavailable: without any response, the load fails sooner than after an interruption.
    wire.resume(&proxy, &["--retry-patience", "2"])
        .refused(1, "the connection failed");
    proxy.up();
    wire.resume(&proxy, &[]).expect(0);
    wire.assert_identical();
}

#[test]
fn a_stop_during_an_outage_does_not_wait_for_the_backoff() {
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|_| None));
    let mut child = wire.spawn(&proxy, &[]);
    proxy.wait_for_puts(60);
    proxy.down();
    let (_, mut rest) = wait_for_line(&mut child, "retrying for up to");
    // After this time, a backoff takes seconds.
    std::thread::sleep(Duration::from_secs(4));
    let requested = Instant::now();
    interrupt(&child);
    let ran = finished(child).expect(1);
    let took = requested.elapsed();
    let mut stderr = String::new();
    rest.read_to_string(&mut stderr).unwrap();
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(
        ran.stdout
            .contains("stopped: resume with the same command without --new"),
        "{ran:#?}"
    );
    assert!(
        !stderr.contains("could not"),
        "a failure is reported: {stderr}"
    );
    proxy.up();
    wire.resume(&proxy, &[]).expect(0);
    wire.assert_identical();
    println!("stopped within {took:?}");
}

#[test]
fn a_stop_does_not_wait_for_responses_that_never_arrive() {
    let wire = Wire::new();
    let is_silent = Arc::new(AtomicBool::new(true));
    let now = Arc::clone(&is_silent);
    let proxy = wire.proxy(Box::new(move |call| {
        let put = call.operation == Operation::Put && call.number > 60;
        (put && now.load(Ordering::SeqCst)).then_some(Fault::NoResponse)
    }));
    let child = wire.spawn(&proxy, &[]);
    proxy.wait_for_puts(80);
    let requested = Instant::now();
    interrupt(&child);
    let ran = finished(child).expect(1);
    let took = requested.elapsed();
    // Requests in flight have five seconds.
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert!(
        ran.stdout
            .contains("stopped: resume with the same command without --new"),
        "{ran:#?}"
    );
    assert!(!ran.stderr.contains("could not"), "{ran:#?}");
    is_silent.store(false, Ordering::SeqCst);
    wire.resume(&proxy, &[]).expect(0);
    wire.assert_identical();
    println!("stopped within {took:?}");
}

/// Returns the same command without access to a name server, if the system permits that. Otherwise the name server
/// responds that the name does not exist.
fn without_network(command: &Command) -> Command {
    let isolation = ["--map-root-user", "--net"];
    let is_permitted = Command::new("unshare").args(isolation).arg("true").status();
    if !is_permitted.is_ok_and(|status| status.success()) {
        return clfsload();
    }
    let mut isolated = Command::new("unshare");
    isolated
        .args(isolation)
        .arg("--")
        .arg(command.get_program());
    isolated
}

/// Runs a load over TLS. Returns its result and duration.
fn over_tls(endpoint: &str, trusted: Option<&Path>, options: &[&str]) -> (CommandOutput, Duration) {
    let scratch = crate::support::command::Scratch::new();
    std::fs::write(scratch.source().join("file"), "content").unwrap();
    let mut arguments = scratch.arguments("state", "tls-container");
    arguments[2] = ACCOUNT.to_owned();
    let mut command = clfsload();
    if endpoint.contains(".invalid") {
        command = without_network(&command);
    }
    command
        .args(arguments)
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
fn an_untrusted_certificate_is_not_retried() {
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
    // If the same certificate is trusted, only the container is missing.
    let (ran, _) = over_tls(&server.endpoint(), Some(&certificate), &[]);
    ran.refused(1, "the container does not exist");
}

#[test]
fn a_server_without_tls_is_not_retried() {
    let server = Azurite::shared();
    let endpoint = server.endpoint().replace("http:", "https:");
    let (ran, _) = over_tls(&endpoint, None, &["--retry-patience", "5"]);
    let ran = ran.refused(1, "the TLS connection cannot be trusted");
    assert!(
        !ran.stderr.contains("trying") && !ran.stderr.contains("tried"),
        "{ran:#?}"
    );
    // The server's response is not a TLS record.
    assert!(ran.stderr.contains("corrupt message"), "{ran:#?}");
}

#[test]
fn a_name_that_does_not_resolve_is_retried() {
    let endpoint = format!("https://account.invalid/{ACCOUNT}");
    let (ran, took) = over_tls(&endpoint, None, &["--retry-patience", "3"]);
    let ran = ran.refused(
        1,
        "the host name could not be resolved: check the account's name",
    );
    assert!(ran.stderr.contains("retrying for up to 3.0 s"), "{ran:#?}");
    assert!(ran.stderr.contains("; tried "), "{ran:#?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    println!("{}", ran.stderr);
}
