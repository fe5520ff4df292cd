//! Slightly wrong arguments: the message says what to write instead, the exit status is 2, no signature is shown.

use std::process::Command;

use crate::support::command::{CommandOutput, Scratch, clfsload, run};

const TOKEN: &str = "sv=2024-11-04&sp=rwdl&sr=c&se=2099-01-01T00:00:00Z&sig=c2VjcmV0";
const URL: &str = "https://acct.blob.core.windows.net/cont";

/// Asserts a refusal with a hint and without the signature.
fn refused_with_hint(ran: CommandOutput, hint: &str) {
    let ran = ran.refused(2, hint);
    for shown in [&ran.stdout, &ran.stderr] {
        assert!(!shown.contains("c2VjcmV0"), "{shown}");
    }
}

/// Runs a new load of a source with the arguments in `place` for the container.
fn load_into(scratch: &Scratch, place: &[&str]) -> CommandOutput {
    let mut arguments = scratch.arguments("state", "container");
    arguments.truncate(2);
    arguments.extend(place.iter().map(|word| (*word).to_owned()));
    arguments.push("--new".to_owned());
    let ran = run(arguments);
    assert!(!scratch.path("state").exists(), "{ran:?}");
    ran
}

#[test]
fn a_complete_url_as_the_account_is_explained() {
    let scratch = Scratch::new();
    let load = |place: &[&str], hint| refused_with_hint(load_into(&scratch, place), hint);
    let two = "two arguments: https://acct.blob.core.windows.net cont";
    let with_token = &format!("{URL}?{TOKEN}");
    load(&[URL], two);
    load(&[URL, "cont"], two);
    load(&[URL, "cont", TOKEN], two);
    load(&[with_token], two);
    load(&[with_token], "--sas-token-file");
    load(&[with_token, "cont"], two);
    load(&[with_token, "cont"], "--sas-token-file");
    let account = &format!("https://acct.blob.core.windows.net?{TOKEN}");
    load(
        &[account, "cont"],
        "write the account as https://acct.blob.core.windows.net;",
    );
    let bare = "acct.blob.core.windows.net/cont";
    load(&[bare], two);
    load(&[bare, "cont", TOKEN], two);
    load(&[&format!("{bare}?{TOKEN}"), "cont"], two);
    load(
        &["acct.blob.core.windows.net", "cont", TOKEN],
        "write the account as https://acct.blob.core.windows.net",
    );
}

#[test]
fn names_that_azure_rejects_are_refused() {
    let scratch = Scratch::new();
    let load = |place: &[&str], hint| refused_with_hint(load_into(&scratch, place), hint);
    load(&["my.account", "cont", TOKEN], "has no dots");
    load(&["MyAccount", "cont", TOKEN], "in lower case: myaccount");
    load(
        &["acct", "My_Container", TOKEN],
        "for example \"my-container\"",
    );
    load(&["acct", TOKEN], "looks like the SAS token");
}

#[test]
fn truncated_and_decorated_tokens_are_explained() {
    let scratch = Scratch::new();
    let load = |token: &str, hint| {
        refused_with_hint(load_into(&scratch, &["acct", "cont", token]), hint);
    };
    let (cut, _) = TOKEN.split_once('&').unwrap();
    load(
        cut,
        "quote the token, because the shell ends an argument at '&'",
    );
    load(&format!("?{cut}"), "quote the token");
    load(&format!("\"{TOKEN}\""), "contains the quotes around it");
    load(&format!("{URL}?{TOKEN}"), "is a complete URL");
    load(&format!("{}==", "A".repeat(86)), "is an account key");
    let connection = format!("AccountName=a;AccountKey={}==", "A".repeat(86));
    load(&connection, "a connection string");
    // The arguments that a shell passes if the token is not quoted.
    let line = format!(
        "'{}' --new '{}' '{}' acct cont {TOKEN}",
        env!("CARGO_BIN_EXE_clfsload"),
        scratch.path("state").display(),
        scratch.source().display()
    );
    let output = Command::new("bash")
        .args(["-c", &format!("{line}; wait")])
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("quote the token"), "{message}");
    // A leading "?" is accepted: the error is about missing permissions.
    let read_only = TOKEN.replace("rwdl", "rl");
    load(&format!("?{read_only}"), "lacks the permissions write");
}

#[test]
fn malformed_folder_urls_are_explained() {
    let scratch = Scratch::new();
    let load = |account: &str, hint: &str| {
        refused_with_hint(load_into(&scratch, &[account, "c"]), hint);
    };
    load("file://disk/data", "file:///disk/data");
    load("file://disk/data", "file://$PWD/disk/data");
    load("file:disk", "file://$PWD/disk");
    load("file:/disk", "write file:///disk");
    load("file:///disk?1", "%3F");
    load("/mnt/disk", "give a folder as file:///mnt/disk");
    load("./disk", "file://$(realpath ./disk)");
    load("C:\\disk", "under WSL it is /mnt/c/disk");
    load("file:///C:/disk", "under WSL it is /mnt/c/disk");
}

#[test]
fn windows_paths_are_explained() {
    let scratch = Scratch::new();
    let [_, source, account, container] = &scratch.arguments("state", "c")[..] else {
        panic!("four arguments");
    };
    let state = scratch.path("state").display().to_string();
    let load = |state: &str, source: &str| {
        let mut load = clfsload();
        // Where a folder of that name would appear.
        load.current_dir(scratch.path(""))
            .args(["--new", state, source, account, container]);
        CommandOutput::from(load.output().unwrap())
    };
    refused_with_hint(load("C:\\state", source), "under WSL it is /mnt/c/state");
    assert!(!scratch.path("C:\\state").exists());
    refused_with_hint(
        load(&state, "D:\\my data"),
        "under WSL it is /mnt/d/my data",
    );
    refused_with_hint(load(&state, "\\\\server\\share"), "mount the share");
    // If intended, it is an ordinary name.
    load("./C:\\state", source).expect(0);
    assert!(scratch.path("C:\\state").is_dir());
}

#[test]
fn arguments_in_the_wrong_order_are_explained() {
    let scratch = Scratch::new();
    std::fs::write(scratch.source().join("file"), "").unwrap();
    let arguments = scratch.arguments("state", "c");
    let [state, source, account, container] = &arguments[..] else {
        panic!("four arguments");
    };
    let swapped = "STATE_DIR comes first, then SOURCE";
    refused_with_hint(run(["--new", source, state, account, container]), swapped);
    // The folder for the state already exists.
    std::fs::create_dir(state).unwrap();
    refused_with_hint(run(["--new", source, state, account, container]), swapped);
    run(["--new", state, source, account, container]).expect(0);
    refused_with_hint(run([source, state, account, container]), swapped);
    let order = "the order of the arguments is STATE_DIR SOURCE ACCOUNT CONTAINER";
    refused_with_hint(run(["acct", "cont", state, source]), order);
    refused_with_hint(run([URL, source]), order);
    refused_with_hint(run([source, &format!("{URL}?{TOKEN}"), state]), order);
}

#[test]
fn a_new_transfer_requires_new() {
    let scratch = Scratch::new();
    scratch.source();
    refused_with_hint(scratch.resume("t", &[]), "start one with --new");
}

#[test]
fn unknown_commands_are_explained() {
    let scratch = Scratch::new();
    let container = scratch.container("c").display().to_string();
    for (arguments, meant) in [
        (&["veriy", &container][..], "clfsload verify ..."),
        (&["veriy"], "clfsload verify ..."),
        (&["veriy", "--json", &container], "clfsload verify ..."),
        (
            &["extrct", &container, "/a", "/b", "/c"],
            "clfsload extract ...",
        ),
        (&["list", &container], "clfsload ls ..."),
        (&["fsck", &container], "clfsload verify ..."),
        (&["upload", "/s", "/t", "acct", "cont"], "clfsload load ..."),
        (
            &["--json", "ls", &container],
            "must be the first argument: clfsload ls",
        ),
    ] {
        refused_with_hint(run(arguments), meant);
    }
}

#[test]
fn unknown_options_are_explained() {
    let scratch = Scratch::new();
    let mut arguments = scratch.arguments("state", "c");
    arguments.push("--concurency=3".to_owned());
    refused_with_hint(run(&arguments), "'--concurrency'");
    arguments.pop();
    arguments.push("-new".to_owned());
    refused_with_hint(run(&arguments), "two dashes: --new");
    arguments.pop();
    arguments.push(format!("--sas-token={TOKEN}"));
    refused_with_hint(run(&arguments), "'--sas-token-file'");
}

#[test]
fn mistakes_in_container_arguments_are_explained() {
    for (container, hint) in [
        ("acct.blob.core.windows.net/cont", URL),
        (&format!("acct.blob.core.windows.net/cont?{TOKEN}"), URL),
        ("C:\\disk", "under WSL it is /mnt/c/disk"),
        ("file://disk", "of the form file:///PATH"),
        (
            "https://acct.blob.core.windows.net",
            "has no container name",
        ),
    ] {
        refused_with_hint(run(["ls", container]), hint);
        refused_with_hint(run(["verify", container]), hint);
    }
}
