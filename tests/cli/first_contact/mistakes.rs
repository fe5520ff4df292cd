//! Words that are nearly right: a sentence that tells what to write instead, exit status 2, no signature.

use std::process::Command;

use crate::support::command::{Ran, Scratch, clfsload, run};

const TOKEN: &str = "sv=2024-11-04&sp=rwdl&sr=c&se=2099-01-01T00:00:00Z&sig=c2VjcmV0";
const URL: &str = "https://acct.blob.core.windows.net/cont";

/// A refusal with a hint, that shows nothing of the signature.
fn hinted(ran: Ran, hint: &str) {
    let ran = ran.refused(2, hint);
    for shown in [&ran.stdout, &ran.stderr] {
        assert!(!shown.contains("c2VjcmV0"), "{shown}");
    }
}

/// Runs a new load of a source into the place that `place` names.
fn load_into(scratch: &Scratch, place: &[&str]) -> Ran {
    let mut words = scratch.words("state", "container");
    words.truncate(2);
    words.extend(place.iter().map(|word| (*word).to_owned()));
    words.push("--new".to_owned());
    let ran = run(words);
    assert!(!scratch.path("state").exists(), "{ran:?}");
    ran
}

#[test]
fn a_whole_url_where_the_account_goes() {
    let scratch = Scratch::new();
    let load = |place: &[&str], hint| hinted(load_into(&scratch, place), hint);
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
fn names_that_azure_would_not_take() {
    let scratch = Scratch::new();
    let load = |place: &[&str], hint| hinted(load_into(&scratch, place), hint);
    load(&["my.account", "cont", TOKEN], "has no dots");
    load(&["MyAccount", "cont", TOKEN], "in lower case: myaccount");
    load(
        &["acct", "My_Container", TOKEN],
        "for example \"my-container\"",
    );
    load(&["acct", TOKEN], "looks like the SAS token");
}

#[test]
fn tokens_that_are_cut_or_dressed() {
    let scratch = Scratch::new();
    let load = |token: &str, hint| {
        hinted(load_into(&scratch, &["acct", "cont", token]), hint);
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
    // What a shell makes of a line whose token is not quoted.
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
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("quote the token"), "{told}");
    // A "?" in front is not in the way: it is the permissions that are missing.
    let read_only = TOKEN.replace("rwdl", "rl");
    load(&format!("?{read_only}"), "lacks the permissions write");
}

#[test]
fn folders_that_are_no_urls_and_urls_that_are_no_folders() {
    let scratch = Scratch::new();
    let load = |account: &str, hint: &str| {
        hinted(load_into(&scratch, &[account, "c"]), hint);
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
fn paths_of_windows() {
    let scratch = Scratch::new();
    let [_, source, account, container] = &scratch.words("state", "c")[..] else {
        panic!("four words");
    };
    let state = scratch.path("state").display().to_string();
    let load = |state: &str, source: &str| {
        let mut load = clfsload();
        // Where a folder of that name would appear.
        load.current_dir(scratch.path(""))
            .args(["--new", state, source, account, container]);
        Ran::from(load.output().unwrap())
    };
    hinted(load("C:\\state", source), "under WSL it is /mnt/c/state");
    assert!(!scratch.path("C:\\state").exists());
    hinted(
        load(&state, "D:\\my data"),
        "under WSL it is /mnt/d/my data",
    );
    hinted(load(&state, "\\\\server\\share"), "mount the share");
    // It is a name like any other, if it is meant.
    load("./C:\\state", source).expect(0);
    assert!(scratch.path("C:\\state").is_dir());
}

#[test]
fn words_in_another_order() {
    let scratch = Scratch::new();
    std::fs::write(scratch.source().join("file"), "").unwrap();
    let words = scratch.words("state", "c");
    let [state, source, account, container] = &words[..] else {
        panic!("four words");
    };
    let swapped = "STATE_DIR comes first, then SOURCE";
    hinted(run(["--new", source, state, account, container]), swapped);
    // The folder for the state is there already.
    std::fs::create_dir(state).unwrap();
    hinted(run(["--new", source, state, account, container]), swapped);
    run(["--new", state, source, account, container]).expect(0);
    hinted(run([source, state, account, container]), swapped);
    let order = "the order of the arguments is STATE_DIR SOURCE ACCOUNT CONTAINER";
    hinted(run(["acct", "cont", state, source]), order);
    hinted(run([URL, source]), order);
    hinted(run([source, &format!("{URL}?{TOKEN}"), state]), order);
}

#[test]
fn a_new_transfer_without_new() {
    let scratch = Scratch::new();
    scratch.source();
    hinted(scratch.resume("t", &[]), "start one with --new");
}

#[test]
fn commands_that_are_none() {
    let scratch = Scratch::new();
    let container = scratch.container("c").display().to_string();
    for (words, meant) in [
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
        hinted(run(words), meant);
    }
}

#[test]
fn options_that_are_none() {
    let scratch = Scratch::new();
    let mut words = scratch.words("state", "c");
    words.push("--concurency=3".to_owned());
    hinted(run(&words), "'--concurrency'");
    words.pop();
    words.push("-new".to_owned());
    hinted(run(&words), "two dashes: --new");
    words.pop();
    words.push(format!("--sas-token={TOKEN}"));
    hinted(run(&words), "'--sas-token-file'");
}

#[test]
fn containers_to_read() {
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
        hinted(run(["ls", container]), hint);
        hinted(run(["verify", container]), hint);
    }
}
