//! Refused commands: one clear message, the exit status, and nothing written.

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use crate::support::azurite::{ACCOUNT, Azurite, container_sas, container_sas_between};
use crate::support::command::{CommandOutput, Scratch, clfsload, run};
use clfsload_checker::{FolderBlobs, check};
use rustix::process::{Pid, Signal, kill_process};

/// Returns a scratch folder with a source of one file.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    std::fs::write(scratch.source().join("file"), "content").unwrap();
    scratch
}

/// Runs a load with some of its arguments replaced.
fn with_arguments(scratch: &Scratch, change: impl FnOnce(&mut Vec<String>)) -> CommandOutput {
    let mut arguments = scratch.arguments("state", "container");
    arguments.push("--new".to_owned());
    change(&mut arguments);
    run(arguments)
}

fn untouched(scratch: &Scratch) {
    assert!(!scratch.path("state").join("state.db").exists());
    assert!(!scratch.container("container").exists());
}

#[test]
fn a_source_that_is_missing_or_not_a_directory_is_refused() {
    let scratch = scratch();
    let missing = scratch.path("missing").display().to_string();
    with_arguments(&scratch, |arguments| arguments[1] = missing)
        .refused(2, "missing cannot be used");
    let file = scratch.source().join("file").display().to_string();
    with_arguments(&scratch, |arguments| arguments[1] = file).refused(2, "is not a directory");
    untouched(&scratch);
}

#[test]
fn nested_folders_are_refused() {
    let scratch = scratch();
    let inside = scratch.source().join("state").display().to_string();
    with_arguments(&scratch, |arguments| arguments[0] = inside)
        .refused(2, "overlap: one contains the other");
    let around = scratch.path("").display().to_string();
    with_arguments(&scratch, |arguments| arguments[0] = around)
        .refused(2, "overlap: one contains the other");
    // Neither a symlink nor ".." hides it.
    std::os::unix::fs::symlink(scratch.source(), scratch.path("link")).unwrap();
    let hidden = scratch.path("link/../source/state").display().to_string();
    with_arguments(&scratch, |arguments| arguments[0] = hidden)
        .refused(2, "overlap: one contains the other");
    let container = format!("file://{}", scratch.source().display());
    with_arguments(&scratch, |arguments| arguments[2] = container)
        .refused(2, "overlap: one contains the other");
    // A sibling whose name has the same prefix is not inside.
    let sibling = scratch.path("source-state").display().to_string();
    with_arguments(&scratch, |arguments| arguments[0] = sibling).expect(0);
    assert_eq!(std::fs::read_dir(scratch.source()).unwrap().count(), 1);
}

/// A mistyped path, or a disk that is not mounted: no folders are created in its place.
#[test]
fn folders_without_parents_are_not_created() {
    let scratch = scratch();
    let nowhere = scratch.path("nosuchdir");
    let sentence = format!(
        "the folder {} does not exist. Mount or create it first",
        nowhere.display()
    );
    let account = format!("file://{}", nowhere.display());
    let state = nowhere.join("state").display().to_string();
    with_arguments(&scratch, |arguments| arguments[2] = account.clone()).refused(2, &sentence);
    with_arguments(&scratch, |arguments| arguments[0] = state.clone()).refused(2, &sentence);
    with_arguments(&scratch, |arguments| {
        arguments[2] = account;
        arguments.push("--dry-run".to_owned());
    })
    .refused(2, &sentence);
    assert!(!nowhere.exists());
    untouched(&scratch);
    // The folder of the container itself is created.
    with_arguments(&scratch, |_| {}).expect(0);
}

/// The folder of a container is missing or another one, as when its disk is not mounted. In any phase of the transfer,
/// it is neither created nor used as the container.
#[test]
fn a_folder_of_another_disk_is_not_used_as_the_container() {
    let scratch = scratch();
    scratch.load("finished", &[]).expect(0);
    std::fs::write(scratch.source().join("closed"), "x").unwrap();
    let stopped = ["--max-errors", "1"];
    let name = "n".repeat(200);
    for number in 0..3 {
        let target = scratch.source().join(format!("link-{number}"));
        std::os::unix::fs::symlink([name.as_str(); 6].join("/"), target).unwrap();
    }
    scratch.load("stopped", &stopped).expect(1);
    for state in ["finished", "stopped"] {
        let container = scratch.container(state);
        let away = scratch.path("away");
        std::fs::rename(&container, &away).unwrap();
        scratch.resume(state, &[]).refused(
            1,
            "the folder does not exist; if it is on a disk of its own, mount that first",
        );
        assert!(!container.exists());
        std::fs::create_dir(&container).unwrap();
        scratch
            .resume(state, &[])
            .refused(1, "it has no bucket object; mount its disk");
        assert_eq!(std::fs::read_dir(&container).unwrap().count(), 0);
        std::fs::remove_dir(&container).unwrap();
        std::fs::rename(&away, &container).unwrap();
    }
    scratch.resume("finished", &[]).expect(0);
    scratch.resume("stopped", &["--skip-failed"]).expect(3);
}

#[test]
fn new_requires_an_empty_state_and_a_resume_an_existing_one() {
    let scratch = scratch();
    scratch
        .resume("t", &[])
        .refused(2, "holds no transfer to resume");
    scratch.load("t", &[]).expect(0);
    scratch
        .load("t", &[])
        .refused(2, "already holds a transfer");
    std::fs::create_dir(scratch.path("other")).unwrap();
    std::fs::write(scratch.path("other").join("precious"), "").unwrap();
    scratch.load("other", &[]).refused(2, "precious");
}

#[test]
fn a_container_that_is_not_empty_is_refused() {
    let scratch = scratch();
    let container = scratch.container("t");
    std::fs::create_dir_all(&container).unwrap();
    std::fs::write(container.join("holiday.jpg"), "").unwrap();
    let ran = scratch.load("t", &[]).refused(1, "is not empty");
    assert!(ran.stderr.contains("holiday.jpg"), "{ran:#?}");
    assert!(!scratch.path("t").exists());
}

#[test]
fn a_resume_with_other_options_is_refused() {
    let scratch = scratch();
    let options = ["--compression", "DISABLED", "--preserve_hardlinks", "1"];
    scratch.load("t", &options).expect(0);
    let conflict = |options: &[&str], what| {
        scratch.resume("t", options).refused(2, what);
    };
    conflict(
        &["--compression", "LZ4"],
        "started with --compression DISABLED",
    );
    conflict(
        &["--preserve-hardlinks", "0"],
        "started with --preserve-hardlinks 1",
    );
    scratch.resume("t", &options).expect(0);
    scratch.resume("t", &[]).expect(0);
    // Another source, another container.
    std::fs::create_dir(scratch.path("elsewhere")).unwrap();
    let mut arguments = scratch.arguments("t", "t");
    arguments[1] = scratch.path("elsewhere").display().to_string();
    run(arguments).refused(2, "started with the source");
    run(scratch.arguments("t", "another")).refused(2, "started with the container");
}

#[test]
fn a_container_of_another_transfer_is_refused() {
    let scratch = scratch();
    // A transfer that has started and is paused: its only file cannot be loaded.
    std::fs::remove_file(scratch.source().join("file")).unwrap();
    std::os::unix::fs::symlink("x".repeat(1024), scratch.source().join("long")).unwrap();
    scratch
        .load("one", &[])
        .refused(3, "long: its link target is longer");
    scratch.load("two", &[]).expect(3);
    std::fs::remove_dir_all(scratch.container("one")).unwrap();
    scratch
        .resume("one", &[])
        .refused(1, "the container does not exist");
    std::fs::create_dir(scratch.container("one")).unwrap();
    scratch
        .resume("one", &[])
        .refused(1, "has no bucket object");
    std::fs::remove_dir(scratch.container("one")).unwrap();
    std::fs::rename(scratch.container("two"), scratch.container("one")).unwrap();
    scratch
        .resume("one", &[])
        .refused(1, "is not the one of this transfer");
}

#[test]
fn invalid_accounts_containers_and_options_are_refused() {
    let scratch = scratch();
    let set = |index: usize, word: &str| {
        with_arguments(&scratch, |arguments| arguments[index] = word.to_owned())
    };
    set(2, "Not An Account").refused(2, "is not a storage account");
    set(2, "ftp://example").expect(2);
    set(3, "../up").refused(2, "is not a valid folder name");
    set(2, "account").refused(2, "SAS token is needed");
    with_arguments(&scratch, |arguments| {
        arguments.push("--compression=GZIP".to_owned())
    })
    .expect(2);
    with_arguments(&scratch, |arguments| {
        arguments.push("--preserve_hardlinks=2".to_owned())
    })
    .expect(2);
    with_arguments(&scratch, |arguments| arguments.push("--seed=12".to_owned()))
        .refused(2, "32 hexadecimal");
    run(["--new"]).expect(2);
    untouched(&scratch);
}

/// Runs a load into Azurite with a token.
fn azure(scratch: &Scratch, server: &Azurite, container: &str, sas: &str) -> CommandOutput {
    with_arguments(scratch, |arguments| {
        arguments[2] = ACCOUNT.to_owned();
        arguments[3] = container.to_owned();
        arguments.insert(4, sas.to_owned());
        arguments.extend(["--blob-endpoint".to_owned(), server.endpoint()]);
    })
}

#[test]
fn tokens_and_containers_that_azure_rejects_are_reported() {
    let scratch = scratch();
    let server = Azurite::shared();
    let name = Azurite::unused_name();
    server.create_container(&name);
    let good = container_sas(&name, "rwdl");
    let missing = Azurite::unused_name();
    let token = container_sas(&missing, "rwdl");
    azure(&scratch, &server, &missing, &token).refused(1, "the container does not exist");

    let hour = Duration::from_secs(3600);
    let now = SystemTime::now();
    let expired = container_sas_between(&name, "rwdl", now - 2 * hour, now - hour);
    azure(&scratch, &server, &name, &expired).refused(2, "expired");
    for (rights, lacking) in [
        ("rwd", "list"),
        ("rdl", "write"),
        ("wdl", "read"),
        ("rwl", "delete"),
    ] {
        let token = container_sas(&name, rights);
        azure(&scratch, &server, &name, &token).refused(2, lacking);
    }
    let wrong = good.replace("sig=", "sig=AAAA");
    let ran = azure(&scratch, &server, &name, &wrong).refused(1, "AuthorizationFailure");
    for shown in [&ran.stdout, &ran.stderr] {
        let (_, signature) = wrong.split_once("sig=").unwrap();
        assert!(!shown.contains(signature), "{shown}");
    }
    // Cut off by the shell at an unquoted "&".
    let (cut, _) = good.split_once('&').unwrap();
    azure(&scratch, &server, &name, cut).refused(2, "quot");
    // A second token is not shown either.
    let ran = with_arguments(&scratch, |arguments| {
        arguments.extend([good.clone(), good.clone()])
    });
    let (_, signature) = good.split_once("sig=").unwrap();
    assert!(!ran.expect(2).stderr.contains(signature));
    untouched(&scratch);

    azure(&scratch, &server, &name, &format!("?{good}")).expect(0);
}

#[test]
fn limits_that_are_too_low_or_too_high_are_refused() {
    let scratch = scratch();
    scratch
        .load("t", &["--memory", "31M"])
        .refused(2, "at least 32M");
    scratch
        .load("t", &["--memory", "32M", "--concurrency", "4096"])
        .refused(2, "--memory of at least 33M");
    scratch
        .load("t", &["--memory", "20E"])
        .refused(2, "too large: sizes are below 16E");
    let arguments = scratch.arguments("state", "container");
    let output = std::process::Command::new("sh")
        .arg("-c")
        .arg("ulimit -S -n 1000 && ulimit -H -n 1000 && exec \"$0\" --new --concurrency 900 \"$@\"")
        .arg(env!("CARGO_BIN_EXE_clfsload"))
        .args(arguments)
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("may open 1000"), "{message}");
    assert!(message.contains("at most 312"), "{message}");
    untouched(&scratch);
}

#[test]
fn limits_may_change_between_runs() {
    const FILES: usize = 40;
    let scratch = Scratch::new();
    for number in 0..FILES {
        // 2.5 MiB in total. At 64 KiB per second, the load is slow enough to be stopped during the run.
        let file = scratch.source().join(number.to_string());
        std::fs::write(file, vec![number as u8; 64 << 10]).unwrap();
    }
    let narrow = [
        "--new",
        "--compression=DISABLED",
        "--memory=32M",
        "--concurrency=1",
        "--worker-threads=1",
        "--bandwidth-limit=64K",
    ];
    let mut child = clfsload()
        .args(scratch.arguments("t", "t"))
        .args(narrow)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let blobs = || match std::fs::read_dir(scratch.container("t")) {
        Ok(blobs) => blobs.count(),
        Err(_) => 0,
    };
    while blobs() < 5 {
        assert!(
            child.try_wait().unwrap().is_none(),
            "ended with {} blobs",
            blobs()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    CommandOutput::from(child.wait_with_output().unwrap()).expect(1);
    assert!(blobs() < FILES, "{} blobs", blobs());
    let wide = [
        "--memory",
        "1G",
        "--concurrency",
        "99",
        "--bandwidth-limit",
        "1G",
    ];
    scratch.resume("t", &wide).expect(0);
    let checked = check(&FolderBlobs(scratch.container("t")));
    checked.assert_clean();
    assert_eq!(checked.tree.len(), FILES + 1);
}
