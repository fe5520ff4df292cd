//! The signature of a token never appears in output, logs, databases or blobs.
//! docs/reliability.md, "Tokens", names these tests.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::support::azurite::{ACCOUNT, blobs, container_sas_between};
use crate::support::command::{CommandOutput, clfsload};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::wire::Wire;

/// Returns the forms of a signature to search for: encoded, decoded, and partly decoded.
fn forms(token: &str) -> Vec<Vec<u8>> {
    let (_, signature) = token.split_once("sig=").unwrap();
    let signature = signature.split('&').next().unwrap();
    let mut forms = vec![signature.to_owned(), signature.to_lowercase()];
    let escapes = [("%2B", "+"), ("%2F", "/"), ("%3D", "=")];
    for (escaped, plain) in escapes {
        forms.push(signature.replace(escaped, plain));
    }
    let decoded = escapes
        .iter()
        .fold(signature.to_owned(), |text, (escaped, plain)| {
            text.replace(escaped, plain)
        });
    // A part, in case the ends are missing.
    forms.push(decoded[2..22].to_owned());
    forms.push(decoded);
    forms.into_iter().map(String::into_bytes).collect()
}

fn assert_absent(location: &str, content: &[u8], token: &str) {
    for form in forms(token) {
        let found = content.windows(form.len()).any(|bytes| bytes == form);
        assert!(
            !found,
            "{location} contains {}",
            String::from_utf8_lossy(&form)
        );
    }
}

fn assert_absent_below(folder: &Path, token: &str) -> usize {
    let mut files = 0;
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            files += assert_absent_below(&path, token);
        } else {
            assert_absent(
                &path.display().to_string(),
                &std::fs::read(&path).unwrap(),
                token,
            );
            files += 1;
        }
    }
    files
}

/// Runs the command and searches its output, its state folder and its container for the signature.
fn assert_no_trace(wire: &Wire, mut command: Command, token: &str, status: i32) -> CommandOutput {
    let ran: CommandOutput = command
        // Includes the output of a panic.
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap()
        .into();
    let ran = ran.expect(status);
    assert_absent("standard output", ran.stdout.as_bytes(), token);
    assert_absent("standard error", ran.stderr.as_bytes(), token);
    if wire.state().exists() {
        assert!(assert_absent_below(&wire.state(), token) > 0);
    }
    for (name, content) in blobs(&wire.server, &wire.container) {
        assert_absent(&name, &content, token);
    }
    ran
}

/// Returns the command of a load with another token.
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
        let search = || assert_absent("here", hidden.as_bytes(), token);
        std::panic::catch_unwind(search).unwrap_err();
    }
}

#[test]
fn loads_never_show_the_signature() {
    let wire = Wire::new();
    let token = wire.token.clone();
    // Resets, an error response that repeats the token, and a permanent error that repeats it.
    let (_, signature) = token.split_once("sig=").unwrap();
    let echo =
        format!("<AuthenticationErrorDetail>got sig={signature}</AuthenticationErrorDetail>");
    let echo: &'static str = echo.leak();
    let proxy = wire.proxy(Box::new(move |call| match call.number {
        50 => Some(Fault::ResetDuringRequest),
        60 => Some(Fault::ResetBeforeResponse),
        70 => Some(Fault::LostResponse),
        80 | 120 => Some(Fault::Refusal {
            status: if call.number == 80 { 500 } else { 403 },
            code: "AuthenticationFailed",
            detail: echo,
            retry_after: None,
        }),
        _ => None,
    }));
    let failed = assert_no_trace(
        &wire,
        with_token(&wire, &proxy, &token, &["--new"]),
        &token,
        1,
    );
    assert!(failed.stderr.contains("got sig=REDACTED"), "{failed:#?}");
    assert_no_trace(&wire, with_token(&wire, &proxy, &token, &[]), &token, 0);
    wire.assert_identical();
    let log = &blobs(&wire.server, &wire.container)["output.txt"];
    assert!(String::from_utf8_lossy(log).contains("got sig=REDACTED"));
}

#[test]
fn rejected_tokens_are_not_shown() {
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|_| None));
    let wrong = wire.token.replace("sig=", "sig=AAAA");
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    let expired = container_sas_between(&wire.container, "rwdl", now - 2 * hour, now - hour);
    for (token, status) in [(&wrong, 1), (&expired, 2)] {
        assert_no_trace(
            &wire,
            with_token(&wire, &proxy, token, &["--new"]),
            token,
            status,
        );
        // As an argument, once and twice.
        for arguments in [vec![token], vec![token, token]] {
            let mut command = wire.without_token(&proxy.endpoint(), &["--new"]);
            command.args(&arguments);
            let status = if arguments.len() > 1 { 2 } else { status };
            assert_no_trace(&wire, command, token, status);
        }
    }
    // In the place of an option, an account or a container.
    let token = &wire.token;
    for arguments in [
        ["--compression", token, "container"],
        [token, "container", "word"],
        ["account", token, "word"],
        ["https://account.blob.core.windows.net/?", token, "word"],
    ] {
        let mut command = clfsload();
        command.args(["--new", "/nowhere", "/tmp"]).args(arguments);
        assert_no_trace(&wire, command, token, 2);
    }
    let mut command = wire.without_token(&proxy.endpoint(), &["--new"]);
    command.arg(format!("--sas-token-file=/nowhere/{token}"));
    let ran: CommandOutput = command.output().unwrap().into();
    // The option takes a path, but a token may be given by mistake.
    assert_absent("standard error", ran.expect(2).stderr.as_bytes(), token);
}

#[test]
fn unreachable_hosts_do_not_show_the_signature() {
    let wire = Wire::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/{ACCOUNT}", free.local_addr().unwrap());
    drop(free);
    for endpoint in [endpoint.clone(), endpoint.replace("http:", "https:")] {
        let options = ["--new", "--retry-patience", "1"];
        let command = wire.command(&endpoint, &options);
        let ran = assert_no_trace(&wire, command, &wire.token, 1);
        assert!(ran.stderr.contains("the connection failed"), "{ran:#?}");
    }
}

#[test]
fn debug_output_does_not_show_the_signature() {
    use clfsload::container::credential::sas::SasToken;
    use clfsload::container::{ContainerLocation, Credential};
    use clfsload::load::LoadOptions;
    // A panic prints at most the Debug output of values.
    let wire = Wire::new();
    let credential = Credential::Sas {
        token: SasToken::parse(&wire.token).unwrap(),
        file: Some("/nowhere".into()),
    };
    let endpoint = wire.server.endpoint();
    let location = ContainerLocation::azure(&endpoint, &wire.container).unwrap();
    let container = location.open(&credential, false).unwrap();
    let mut options = LoadOptions::new("/state".into(), "/source".into(), location);
    options.credential = credential;
    for shown in [format!("{options:#?}"), format!("{container:#?}")] {
        assert!(shown.contains(&wire.container), "{shown}");
        assert_absent("a panic", shown.as_bytes(), &wire.token);
    }
}

#[test]
fn a_closed_standard_output_does_not_end_a_load() {
    // println! panics on a closed terminal, which must not end a transfer.
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|_| None));
    let mut command = wire.command(&proxy.endpoint(), &["--new"]);
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let status = command.stdout(closed()).stderr(closed()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    wire.assert_identical();
    assert!(assert_absent_below(&wire.state(), &wire.token) > 0);
}
