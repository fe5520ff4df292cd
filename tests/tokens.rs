//! Tokens that end before the transfer does.
//! docs/reliability.md, "Tokens", names these tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clfsload::container::Operation;
use support::azurite::{container_sas, container_sas_between};
use support::command::Ran;
use support::fault_proxy::{Fault, FaultProxy};
use support::wire::Wire;

const HOUR: Duration = Duration::from_secs(3600);

/// A token for the container that ends at a whole second.
fn until(wire: &Wire, end: SystemTime) -> String {
    container_sas_between(&wire.container, "rwdl", SystemTime::now() - HOUR, end)
}

fn token_file(wire: &Wire, token: &str) -> PathBuf {
    let file = wire.scratch.path("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    file
}

fn with_file(wire: &Wire, proxy: &FaultProxy, options: &[&str]) -> Ran {
    let file = wire.scratch.path("token").display().to_string();
    let mut command = wire.without_token(&proxy.endpoint(), options);
    command.args(["--sas-token-file", &file]);
    command.output().unwrap().into()
}

/// Puts that the service itself answered with 403.
fn rejected(proxy: &FaultProxy) -> usize {
    let calls = proxy.calls();
    calls.iter().filter(|call| call.status == Some(403)).count()
}

/// From the 60th request on, all wait until the short-lived token has ended; `meanwhile` is done once.
fn outlive(
    wire: &Wire,
    end: SystemTime,
    meanwhile: impl Fn() + Send + Sync + 'static,
) -> FaultProxy {
    wire.proxy(Box::new(move |call| {
        if call.number == 60 {
            meanwhile();
        }
        if call.number >= 60 {
            let over = end + Duration::from_millis(1500);
            std::thread::sleep(over.duration_since(SystemTime::now()).unwrap_or_default());
        }
        None
    }))
}

#[test]
fn a_token_that_ends_is_replaced_by_the_one_in_the_file() {
    let wire = Wire::new();
    let end = SystemTime::now() + Duration::from_secs(8);
    let file = token_file(&wire, &until(&wire, end));
    let next = wire.token.clone();
    let proxy = outlive(&wire, end, move || std::fs::write(&file, &next).unwrap());
    let ran = with_file(&wire, &proxy, &["--new"]).expect(0);
    wire.assert_identical();
    assert!(rejected(&proxy) > 0, "the token did not end");
    let warned = ran
        .stderr
        .matches("warning: the SAS token expires at ")
        .count();
    assert_eq!(warned, 1, "{ran:#?}");
    let renewed = ran
        .stdout
        .matches("now using the new SAS token in")
        .count();
    assert_eq!(renewed, 1, "{ran:#?}");
    println!("{} rejected, identical: {}", rejected(&proxy), ran.stderr);
}

#[test]
fn a_token_that_ends_without_another_lets_the_transfer_rest() {
    let wire = Wire::new();
    let end = SystemTime::now() + Duration::from_secs(8);
    let file = token_file(&wire, &until(&wire, end));
    let proxy = outlive(&wire, end, || ());
    let ran = with_file(&wire, &proxy, &["--new"]).expect(1);
    assert!(rejected(&proxy) > 0, "the token did not end");
    let rest = format!(
        "the file {} still holds this token: write a new one to it",
        file.display()
    );
    for said in [
        "the SAS token has expired",
        &*rest,
        "run the same command without --new",
    ] {
        assert!(ran.stderr.contains(said), "no {said:?} in {ran:#?}");
    }
    assert!(!ran.stderr.contains("trying again"), "{ran:#?}");
    println!("{}", ran.stderr);
    // Again with the same token: nothing is tried.
    with_file(&wire, &proxy, &[]).refused(2, "expired at");
    std::fs::write(&file, &wire.token).unwrap();
    with_file(&wire, &proxy, &[]).expect(0);
    wire.assert_identical();
}

#[test]
fn a_token_of_the_environment_that_ends_lets_the_transfer_rest() {
    let wire = Wire::new();
    let end = SystemTime::now() + Duration::from_secs(8);
    let proxy = outlive(&wire, end, || ());
    let mut command = wire.without_token(&proxy.endpoint(), &["--new"]);
    command.env("AZURE_STORAGE_SAS_TOKEN", until(&wire, end));
    let ran: Ran = command.output().unwrap().into();
    let ran = ran.refused(1, "the SAS token has expired");
    assert!(
        ran.stderr.contains("run the same command with a new token"),
        "{ran:#?}"
    );
    wire.resume(&proxy, &[]).expect(0);
    wire.assert_identical();
}

/// What Azure says of an expired token; its own clock may be ahead of the token's end and of ours.
fn expired_as_azure_says() -> Fault {
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
fn a_rejected_token_is_looked_up_whatever_it_says_of_its_end() {
    let wire = Wire::new();
    // Good for two days by its own words: nothing to warn of.
    let first = until(&wire, SystemTime::now() + 48 * HOUR);
    let file = token_file(&wire, &first);
    let next = container_sas(&wire.container, "rwdl");
    let proxy = wire.proxy(Box::new(move |call| {
        if call.number == 60 {
            std::fs::write(&file, &next).unwrap();
        }
        let old = first.ends_with(&call.signature);
        let due = call.operation == Operation::Put && call.number >= 60 && old;
        due.then(expired_as_azure_says)
    }));
    let ran = with_file(&wire, &proxy, &["--new"]).expect(0);
    wire.assert_identical();
    assert!(!ran.stderr.contains("the SAS token ends"), "{ran:#?}");
    assert!(
        ran.stdout.contains("now using the new SAS token in"),
        "{ran:#?}"
    );
    // Each of them went once more.
    assert_eq!(proxy.puts(), wire.objects() + proxy.disturbed().len());
}

#[test]
fn a_rejected_token_comes_to_rest_with_azures_reason() {
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|call| {
        (call.number == 60).then(expired_as_azure_says)
    }));
    let ran = wire.begin(&proxy, &[]).expect(1);
    for said in [
        "Signature not valid in the specified time frame",
        "HTTP 403 AuthenticationFailed",
    ] {
        assert!(ran.stderr.contains(said), "no {said:?} in {ran:#?}");
    }
    wire.resume(&proxy, &[]).expect(0);
    wire.assert_identical();
}

#[test]
fn a_token_from_a_pipe_is_not_looked_for_again() {
    use std::io::Write;
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|call| {
        (call.number == 60).then(expired_as_azure_says)
    }));
    let mut command = wire.without_token(
        &proxy.endpoint(),
        &["--new", "--sas-token-file", "/dev/stdin"],
    );
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(wire.token.as_bytes()).unwrap();
    drop(pipe);
    let ran: Ran = child.wait_with_output().unwrap().into();
    ran.refused(1, "run the same command with a new token");
}
