//! Tokens that expire during a transfer.
//! docs/reliability.md, "Tokens", names these tests.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::support::azurite::{container_sas, container_sas_between};
use crate::support::command::{CommandOutput, clfsload};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::wire::Wire;
use clfsload::container::Operation;

const HOUR: Duration = Duration::from_secs(3600);

/// Returns a token for the container that expires at `expiry`, rounded down to a second.
fn expiring_at(wire: &Wire, expiry: SystemTime) -> String {
    container_sas_between(&wire.container, "rwdl", SystemTime::now() - HOUR, expiry)
}

fn token_file(wire: &Wire, token: &str) -> PathBuf {
    let file = wire.scratch.path("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    file
}

fn with_file(wire: &Wire, proxy: &FaultProxy, options: &[&str]) -> CommandOutput {
    let file = wire.scratch.path("token").display().to_string();
    let mut command = wire.without_token(&proxy.endpoint(), options);
    command.args(["--sas-token-file", &file]);
    command.output().unwrap().into()
}

/// Returns the number of requests that the service rejected with 403.
fn rejected(proxy: &FaultProxy) -> usize {
    let calls = proxy.calls();
    calls.iter().filter(|call| call.status == Some(403)).count()
}

/// Starts a proxy that delays all requests from the 60th on until `expiry` has passed, and calls `meanwhile` once.
fn outlast(
    wire: &Wire,
    expiry: SystemTime,
    meanwhile: impl Fn() + Send + Sync + 'static,
) -> FaultProxy {
    wire.proxy(Box::new(move |call| {
        if call.number == 60 {
            meanwhile();
        }
        if call.number >= 60 {
            let after = expiry + Duration::from_millis(1500);
            std::thread::sleep(after.duration_since(SystemTime::now()).unwrap_or_default());
        }
        None
    }))
}

#[test]
fn an_expired_token_is_replaced_by_the_one_in_the_file() {
    let wire = Wire::new();
    let expiry = SystemTime::now() + Duration::from_secs(8);
    let file = token_file(&wire, &expiring_at(&wire, expiry));
    let next = wire.token.clone();
    let proxy = outlast(&wire, expiry, move || std::fs::write(&file, &next).unwrap());
    let ran = with_file(&wire, &proxy, &["--new"]).expect(0);
    wire.assert_identical();
    assert!(rejected(&proxy) > 0, "the token did not expire");
    let warned = ran
        .stderr
        .matches("warning: the SAS token expires at ")
        .count();
    assert_eq!(warned, 1, "{ran:#?}");
    let renewed = ran.stdout.matches("now using the new SAS token in").count();
    assert_eq!(renewed, 1, "{ran:#?}");
    println!("{} rejected, identical: {}", rejected(&proxy), ran.stderr);
}

#[test]
fn an_expired_token_without_another_pauses_the_transfer() {
    let wire = Wire::new();
    let expiry = SystemTime::now() + Duration::from_secs(8);
    let file = token_file(&wire, &expiring_at(&wire, expiry));
    let proxy = outlast(&wire, expiry, || ());
    let ran = with_file(&wire, &proxy, &["--new"]).expect(1);
    assert!(rejected(&proxy) > 0, "the token did not expire");
    let advice = format!(
        "the file {} still holds this token: write a new one to it",
        file.display()
    );
    for text in [
        "the SAS token has expired",
        &*advice,
        "resume with the same command without --new",
    ] {
        assert!(ran.stderr.contains(text), "no {text:?} in {ran:#?}");
    }
    assert!(!ran.stderr.contains("retrying for up to"), "{ran:#?}");
    println!("{}", ran.stderr);
    // With the same token, no request is sent.
    with_file(&wire, &proxy, &[]).refused(2, "expired at");
    std::fs::write(&file, &wire.token).unwrap();
    with_file(&wire, &proxy, &[]).expect(0);
    wire.assert_identical();
}

/// The arguments were right, so that the status is not that of a wrong command: systemd would not restart the unit.
#[test]
fn a_token_file_that_is_unusable_after_the_load_fails_the_verification_with_status_1() {
    let wire = Wire::new();
    let file = token_file(&wire, &wire.token);
    let proxy = wire.proxy(Box::new(move |call| {
        if call.number == 60 {
            std::fs::write(&file, "no token").unwrap();
        }
        None
    }));
    let ran = with_file(&wire, &proxy, &["--new", "--verify"]).refused(1, "the SAS token file ");
    assert!(ran.stdout.contains("the container is complete"), "{ran:#?}");
}

#[test]
fn an_expired_token_from_the_environment_pauses_the_transfer() {
    let wire = Wire::new();
    let expiry = SystemTime::now() + Duration::from_secs(8);
    let proxy = outlast(&wire, expiry, || ());
    let mut command = wire.without_token(&proxy.endpoint(), &["--new"]);
    command.env("AZURE_STORAGE_SAS_TOKEN", expiring_at(&wire, expiry));
    let ran: CommandOutput = command.output().unwrap().into();
    let ran = ran.refused(1, "the SAS token has expired");
    assert!(
        ran.stderr.contains("run the same command with a new token"),
        "{ran:#?}"
    );
    wire.resume(&proxy, &[]).expect(0);
    wire.assert_identical();
}

/// Returns Azure's error for an expired token. Azure's clock may be ahead of ours.
fn azures_expiry_error() -> Fault {
    Fault::Refusal {
        status: 403,
        code: "AuthenticationFailed",
        detail: "<AuthenticationErrorDetail>Signature not valid in the specified time frame: Start [Fri, 01 Jan 2021 \
                 00:00:00 GMT] - Expiry [Fri, 01 Jan 2021 01:00:00 GMT] - Current [Fri, 01 Jan 2021 01:00:01 \
                 GMT]</AuthenticationErrorDetail>",
        retry_after: None,
    }
}

#[test]
fn a_rejected_token_is_replaced_before_its_expiry() {
    let wire = Wire::new();
    // Its expiry is in two days, so there is no warning.
    let first = expiring_at(&wire, SystemTime::now() + 48 * HOUR);
    let file = token_file(&wire, &first);
    let next = container_sas(&wire.container, "rwdl");
    let proxy = wire.proxy(Box::new(move |call| {
        if call.number == 60 {
            std::fs::write(&file, &next).unwrap();
        }
        let old = first.ends_with(&call.signature);
        let is_rejected = call.operation == Operation::Put && call.number >= 60 && old;
        is_rejected.then(azures_expiry_error)
    }));
    let ran = with_file(&wire, &proxy, &["--new"]).expect(0);
    wire.assert_identical();
    assert!(!ran.stderr.contains("the SAS token expires"), "{ran:#?}");
    assert!(
        ran.stdout.contains("now using the new SAS token in"),
        "{ran:#?}"
    );
    // Each rejected upload was sent again once.
    assert_eq!(proxy.puts(), wire.objects() + proxy.faults().len());
}

#[test]
fn a_rejected_token_pauses_the_transfer_with_azures_reason() {
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|call| {
        (call.number == 60).then(azures_expiry_error)
    }));
    let ran = wire.start(&proxy, &[]).expect(1);
    for text in [
        "Signature not valid in the specified time frame",
        "HTTP 403 AuthenticationFailed",
    ] {
        assert!(ran.stderr.contains(text), "no {text:?} in {ran:#?}");
    }
    wire.resume(&proxy, &[]).expect(0);
    wire.assert_identical();
}

/// Runs a command with the token on its standard input.
fn with_standard_input(mut command: Command, token: &str) -> CommandOutput {
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // A refused command does not read it.
    drop(pipe.write_all(token.as_bytes()));
    drop(pipe);
    child.wait_with_output().unwrap().into()
}

#[test]
fn a_token_from_a_pipe_is_not_read_again() {
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|call| {
        (call.number == 60).then(azures_expiry_error)
    }));
    let command = wire.without_token(
        &proxy.endpoint(),
        &["--new", "--sas-token-file", "/dev/stdin"],
    );
    with_standard_input(command, &wire.token).refused(1, "run the same command with a new token");
}

#[test]
fn loads_and_reading_commands_find_tokens_alike() {
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|_| None));
    // A dash is standard input, also where a file is expected.
    let options = ["--new", "--sas-token-file", "-"];
    let command = wire.without_token(&proxy.endpoint(), &options);
    let ran = with_standard_input(command, &wire.token).expect(0);
    // The token is valid for an hour.
    let warning = "the SAS token expires at ";
    assert!(ran.stderr.contains(warning), "{ran:#?}");
    let url = format!("{}/{}", proxy.endpoint(), wire.container);
    let read = |command: &str, url: &str, dash: &[&str], environment: Option<&str>| {
        let mut reader = clfsload();
        reader.arg(command).arg(url).args(dash);
        if let Some(token) = environment {
            reader.env("AZURE_STORAGE_SAS_TOKEN", token);
        }
        with_standard_input(reader, &wire.token)
    };
    let dash = ["--sas-token-file", "-"];
    let ran = read("verify", &url, &dash, Some("no token")).expect(0);
    assert_eq!(ran.stderr.matches(warning).count(), 1, "{ran:#?}");
    let in_url = format!("{url}?{}", wire.token);
    // Only commands that read a complete container take long.
    let ran = read("ls", &in_url, &[], Some("no token")).expect(0);
    assert!(!ran.stderr.contains(warning), "{ran:#?}");
    let missing = "give it with --sas-token-file or in AZURE_STORAGE_SAS_TOKEN";
    read("verify", &url, &[], None).refused(2, missing);
    let command = wire.without_token(&proxy.endpoint(), &[]);
    with_standard_input(command, &wire.token).refused(2, missing);
}
