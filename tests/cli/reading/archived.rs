//! Blobs in the archive tier of a storage service: entries that need them are reported as archived, with their paths.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::support::azurite::{ACCOUNT, Azurite, container_sas, container_sas_between};
use crate::support::command::{CommandOutput, Scratch, clfsload};

#[test]
fn archived_blobs_are_never_reported_as_missing() {
    let scratch = Scratch::new();
    for (name, bytes) in [("alice", 10), ("bob", 10), ("large", 20_000)] {
        fs::write(scratch.source().join(name), vec![b'x'; bytes]).unwrap();
    }
    let server = Azurite::shared();
    let container = Azurite::unused_name();
    server.create_container(&container);
    let mut arguments = scratch.arguments("t", &container);
    arguments[2] = ACCOUNT.to_owned();
    let loaded = clfsload()
        .arg("--new")
        .args(arguments)
        .args(["--blob-endpoint", &server.endpoint()])
        .env("AZURE_STORAGE_SAS_TOKEN", container_sas(&container, "rwdl"))
        .output()
        .unwrap();
    CommandOutput::from(loaded).expect(0);
    let url = format!("{}/{container}", server.endpoint());
    // An expiry within a day would be reported too.
    let (now, day) = (SystemTime::now(), Duration::from_secs(24 * 3600));
    let token = container_sas_between(&container, "rl", now - day, now + 2 * day);
    let run = |command: &str, arguments: &[&str]| {
        let output = clfsload()
            .args([command, &url])
            .args(arguments)
            .env("AZURE_STORAGE_SAS_TOKEN", &token)
            .output()
            .unwrap();
        CommandOutput::from(output)
    };
    // With a list of names from before the archiving.
    let index = scratch.source().parent().unwrap().join("names.db");
    let index = index.to_str().unwrap().to_owned();
    run("ls", &["-R", "--index", &index]).expect(0);
    let blobs = crate::support::azurite::blobs(&server, &container);
    let blob_of = |path: &str| {
        let shown = run("stat", &["--json", path]).expect(0).stdout;
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        shown["blob"].as_str().unwrap().to_owned()
    };
    let inode = blob_of("/bob");
    let segment = blobs.keys().find(|name| name.contains(".0008.")).unwrap();
    for blob in [&inode, segment] {
        server.set_tier(&container, blob, "Archive");
    }

    let warning = format!(
        "warning: 2 objects of the container are archived and cannot be read. Rehydrate \
         them, which takes up to 15 hours, then run this again. This command also moves blobs of \
         the cool and cold tiers to the hot tier: azcopy set-properties \"{url}\" --block-blob-tier=hot --recursive\n"
    );
    let expected_line = |path: &str, blob: &str| {
        format!(
            "{path}: the blob {blob} is archived: rehydrate it first: azcopy set-properties \
             \"{url}/{blob}\" --block-blob-tier=hot\n"
        )
    };
    let bob = expected_line("error: /bob", &inode);
    let listed = run("ls", &["-lR"]).expect(3);
    assert_eq!(listed.stderr, format!("{warning}{bob}"));
    assert!(listed.stdout.contains(" large\n") && listed.stdout.contains("? bob\n"));
    assert_eq!(run("find", &["--size", "10"]).expect(3).stdout, "/alice\n");
    assert_eq!(run("du", &[]).expect(3).stderr, format!("{warning}{bob}"));
    // Without a complete listing, there is no warning.
    assert_eq!(run("stat", &["/bob"]).expect(1).stderr, bob);
    assert_eq!(run("cat", &["/bob"]).expect(1).stderr, bob);
    let large = expected_line("error: /large", segment);
    assert_eq!(run("cat", &["/large"]).expect(1).stderr, large);
    // The service is queried if the list may be older than the archiving or the rehydration.
    assert_eq!(
        run("cat", &["--index", &index, "/bob"]).expect(1).stderr,
        bob
    );
    let destination = scratch.source().parent().unwrap().join("out");
    let extracted = run("extract", &[destination.to_str().unwrap()]).expect(3);
    for (path, blob) in [("/bob", &inode), ("/large", segment)] {
        assert!(
            extracted.stderr.contains(&expected_line(path, blob)),
            "{extracted:#?}"
        );
    }
    assert_eq!(fs::read(destination.join("alice")).unwrap(), [b'x'; 10]);
    assert!(!destination.join("bob").exists() && !destination.join("large").exists());
    for arguments in [&["--quick"][..], &[]] {
        let verified = run("verify", arguments).expect(3);
        assert!(verified.stderr.contains(&warning), "{verified:#?}");
        for (path, blob) in [("/bob", &inode), ("/large", segment)] {
            let line = format!(
                "error: {path} (blob {blob}): archived: rehydrate it first: azcopy set-properties \
                 \"{url}/{blob}\" --block-blob-tier=hot [offline, section 6]\n"
            );
            assert!(verified.stdout.contains(&line), "{verified:#?}");
        }
        assert!(!verified.stdout.contains("dangling"), "{verified:#?}");
    }

    // After rehydration, the old list does not prevent reading.
    let stale = format!("{index}-2");
    run("ls", &["-R", "--index", &stale]).expect(0);
    for blob in [&inode, segment] {
        server.set_tier(&container, blob, "Hot");
    }
    assert_eq!(
        run("cat", &["--index", &stale, "/bob"]).expect(0).stdout,
        "xxxxxxxxxx"
    );
    run("verify", &["--quick"]).expect(0);
    server.remove_container(&container);
}
