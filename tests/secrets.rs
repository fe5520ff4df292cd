//! A token's signature is in no output, log, database or blob, whatever happens.
//! docs/reliability.md, "Tokens", names these tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use support::azurite::{ACCOUNT, blobs, container_sas_between};
use support::command::{Ran, clfsload};
use support::fault_proxy::{Fault, FaultProxy};
use support::wire::Wire;

/// The signature as the token has it, decoded, and decoded but for one sign.
fn forms(token: &str) -> Vec<Vec<u8>> {
    let (_, signature) = token.split_once("sig=").unwrap();
    let signature = signature.split('&').next().unwrap();
    let mut forms = vec![signature.to_owned(), signature.to_lowercase()];
    let signs = [("%2B", "+"), ("%2F", "/"), ("%3D", "=")];
    for (escaped, plain) in signs {
        forms.push(signature.replace(escaped, plain));
    }
    let decoded = signs
        .iter()
        .fold(signature.to_owned(), |text, (escaped, plain)| {
            text.replace(escaped, plain)
        });
    // What remains when the ends are lost.
    forms.push(decoded[2..22].to_owned());
    forms.push(decoded);
    forms.into_iter().map(String::into_bytes).collect()
}

fn assert_none(place: &str, content: &[u8], token: &str) {
    for form in forms(token) {
        let found = content.windows(form.len()).any(|bytes| bytes == form);
        assert!(!found, "{place} holds {}", String::from_utf8_lossy(&form));
    }
}

fn assert_none_below(folder: &Path, token: &str) -> usize {
    let mut files = 0;
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            files += assert_none_below(&path, token);
        } else {
            assert_none(
                &path.display().to_string(),
                &std::fs::read(&path).unwrap(),
                token,
            );
            files += 1;
        }
    }
    files
}

/// Runs the command and looks at everything that it leaves.
fn leaves_nothing(wire: &Wire, mut command: Command, token: &str, status: i32) -> Ran {
    let ran: Ran = command
        // What a panic prints is looked at as well.
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap()
        .into();
    let ran = ran.expect(status);
    assert_none("standard output", ran.stdout.as_bytes(), token);
    assert_none("standard error", ran.stderr.as_bytes(), token);
    if wire.state().exists() {
        assert!(assert_none_below(&wire.state(), token) > 0);
    }
    for (name, content) in blobs(&wire.server, &wire.container) {
        assert_none(&name, &content, token);
    }
    ran
}

/// A load with another token than the scene's.
fn with_token(wire: &Wire, proxy: &FaultProxy, token: &str, options: &[&str]) -> Command {
    let mut command = wire.without_token(&proxy.endpoint(), options);
    command.env("AZURE_STORAGE_SAS_TOKEN", token);
    command
}

#[test]
fn the_search_finds_a_signature() {
    let token = "sr=c&sig=a%2BbcdefghijklmnopqrstuvwxyzABCDE%2Fz%3D&sp=r";
    for hidden in [
        "xx a%2BbcdefghijklmnopqrstuvwxyzABCDE%2Fz%3D",
        "a+bcdefghijklmnopqrstuvwxyzABCDE/z=",
        "..bcdefghijklmnopqrstuvwxyzABCDE/z%3D",
    ] {
        let search = || assert_none("here", hidden.as_bytes(), token);
        std::panic::catch_unwind(search).unwrap_err();
    }
}

#[test]
fn loads_that_succeed_fail_and_wait() {
    let wire = Wire::new();
    let token = wire.token.clone();
    // Resets, and refusals that repeat what they were asked, then a refusal for good.
    let (_, signature) = token.split_once("sig=").unwrap();
    let echo =
        format!("<AuthenticationErrorDetail>got sig={signature}</AuthenticationErrorDetail>");
    let echo: &'static str = echo.leak();
    let proxy = wire.proxy(Box::new(move |call| match call.number {
        50 => Some(Fault::CutRequest),
        60 => Some(Fault::ResetBeforeAnswer),
        70 => Some(Fault::LostAnswer),
        80 | 120 => Some(Fault::Refusal {
            status: if call.number == 80 { 500 } else { 403 },
            code: "AuthenticationFailed",
            detail: echo,
            retry_after: None,
        }),
        _ => None,
    }));
    let failed = leaves_nothing(
        &wire,
        with_token(&wire, &proxy, &token, &["--new"]),
        &token,
        1,
    );
    assert!(failed.stderr.contains("got sig=REDACTED"), "{failed:#?}");
    leaves_nothing(&wire, with_token(&wire, &proxy, &token, &[]), &token, 0);
    wire.assert_identical();
    let log = &blobs(&wire.server, &wire.container)["output.txt"];
    assert!(String::from_utf8_lossy(log).contains("got sig=REDACTED"));
}

#[test]
fn tokens_that_are_refused() {
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|_| None));
    let wrong = wire.token.replace("sig=", "sig=AAAA");
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    let expired = container_sas_between(&wire.container, "rwdl", now - 2 * hour, now - hour);
    for (token, status) in [(&wrong, 1), (&expired, 2)] {
        leaves_nothing(
            &wire,
            with_token(&wire, &proxy, token, &["--new"]),
            token,
            status,
        );
        // As a word, in front of its place, and twice.
        for words in [vec![token], vec![token, token]] {
            let mut command = wire.without_token(&proxy.endpoint(), &["--new"]);
            command.args(&words);
            let status = if words.len() > 1 { 2 } else { status };
            leaves_nothing(&wire, command, token, status);
        }
    }
    // Where an option, an account or a container is expected.
    let token = &wire.token;
    for words in [
        ["--compression", token, "container"],
        [token, "container", "word"],
        ["account", token, "word"],
        ["https://account.blob.core.windows.net/?", token, "word"],
    ] {
        let mut command = clfsload();
        command.args(["--new", "/nowhere", "/tmp"]).args(words);
        leaves_nothing(&wire, command, token, 2);
    }
    let mut command = wire.without_token(&proxy.endpoint(), &["--new"]);
    command.arg(format!("--sas-token-file=/nowhere/{token}"));
    let ran: Ran = command.output().unwrap().into();
    // A path is no token; yet whoever mistakes one for the other is not exposed.
    assert_none("standard error", ran.expect(2).stderr.as_bytes(), token);
}

#[test]
fn hosts_that_cannot_be_reached() {
    let wire = Wire::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/{ACCOUNT}", free.local_addr().unwrap());
    drop(free);
    for endpoint in [endpoint.clone(), endpoint.replace("http:", "https:")] {
        let options = ["--new", "--retry-patience", "1"];
        let command = wire.command(&endpoint, &options);
        let ran = leaves_nothing(&wire, command, &wire.token, 1);
        assert!(
            ran.stderr.contains("the connection failed"),
            "{ran:#?}"
        );
    }
}

#[test]
fn what_a_panic_would_show() {
    use clfsload::container::ContainerLocation;
    use clfsload::container::sas::SasToken;
    use clfsload::load::LoadOptions;
    // A panic prints at most what Debug shows of what it meets.
    let wire = Wire::new();
    let sas = SasToken::parse(&wire.token).unwrap();
    let endpoint = wire.server.endpoint();
    let location =
        ContainerLocation::parse(ACCOUNT, &wire.container, Some(sas), Some(&endpoint)).unwrap();
    let container = location
        .clone()
        .with_sas_file("/nowhere".into())
        .open(false)
        .unwrap();
    let options = LoadOptions::new("/state".into(), "/source".into(), location);
    for shown in [format!("{options:#?}"), format!("{container:#?}")] {
        assert!(shown.contains(&wire.container), "{shown}");
        assert_none("a panic", shown.as_bytes(), &wire.token);
    }
}

#[test]
fn a_terminal_that_is_gone() {
    // What println! takes as a reason to panic is none to end a transfer.
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|_| None));
    let mut command = wire.command(&proxy.endpoint(), &["--new"]);
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let status = command.stdout(gone()).stderr(gone()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    wire.assert_identical();
    assert!(assert_none_below(&wire.state(), &wire.token) > 0);
}
