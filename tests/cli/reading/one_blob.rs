//! Single blobs that cannot be read: each is a problem of its entry, and all other entries are read.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use clfsload::container::Operation;

use super::golden::records;
use crate::support::azurite::{ACCOUNT, Azurite, container_sas};
use crate::support::command::{CommandOutput, Scratch, clfsload};
use crate::support::fault_proxy::{Fault, FaultProxy};

/// The faults for requests for blobs.
type Faults = Arc<Mutex<BTreeMap<String, Fault>>>;

/// A container in Azurite behind a proxy.
struct Loaded {
    scratch: Scratch,
    proxy: FaultProxy,
    container: String,
    faults: Faults,
    /// Faults start after this many blobs were read.
    gets_left: Arc<AtomicU64>,
    _server: Arc<Azurite>,
}

impl Loaded {
    /// Loads the entries that `fill` creates in the source.
    fn new(fill: impl FnOnce(PathBuf)) -> Self {
        let scratch = Scratch::new();
        fill(scratch.source());
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
        let faults = Faults::default();
        let gets_left = Arc::new(AtomicU64::new(u64::MAX));
        let (script, left) = (Arc::clone(&faults), Arc::clone(&gets_left));
        let proxy = FaultProxy::start(
            &server,
            Box::new(move |call| {
                if call.operation != Operation::Get {
                    return None;
                }
                let one_less = left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
                match one_less {
                    Ok(_) => script.lock().unwrap().get(&call.blob).cloned(),
                    Err(_) => Some(Fault::refusal(500, "InternalError")),
                }
            }),
        );
        Loaded {
            scratch,
            proxy,
            container,
            faults,
            gets_left,
            _server: server,
        }
    }

    fn command(&self, arguments: &[&str], more: &[&str]) -> Command {
        let mut command = clfsload();
        command
            .arg(arguments[0])
            .arg(format!("{}/{}", self.proxy.endpoint(), self.container))
            .args(&arguments[1..])
            .args(["--retry-patience", "2"])
            .args(more)
            .env(
                "AZURE_STORAGE_SAS_TOKEN",
                container_sas(&self.container, "rl"),
            )
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str], more: &[&str]) -> CommandOutput {
        CommandOutput::from(self.command(arguments, more).output().unwrap())
    }

    /// Returns the blob of an entry's inode.
    fn blob(&self, path: &str) -> String {
        let output = self.command(&["stat", path], &["--json"]).output().unwrap();
        records(&output.stdout)[0]["blob"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn fail(&self, blob: String, fault: Fault) {
        self.faults.lock().unwrap().insert(blob, fault);
    }
}

fn tree(source: PathBuf) {
    for folder in ["a", "bad"] {
        fs::create_dir(source.join(folder)).unwrap();
        for number in 0..4 {
            fs::write(source.join(folder).join(format!("f{number}")), "content").unwrap();
        }
    }
    fs::write(source.join("big"), vec![7; 20_000]).unwrap();
}

#[test]
fn unreadable_blobs_are_reported_and_the_other_entries_are_read() {
    let loaded = Loaded::new(tree);
    let (file, directory) = (loaded.blob("/a/f1"), loaded.blob("/bad"));
    loaded.run(&["cat", "/big"], &[]).expect(0);
    // Its segment is read last.
    let segment = loaded.proxy.calls().pop().unwrap().blob;
    let internal = || Fault::refusal(500, "InternalError");
    loaded.fail(file.clone(), internal());
    loaded.fail(directory.clone(), Fault::TruncatedResponse);
    loaded.fail(segment.clone(), internal());
    let out = loaded.scratch.path("out").display().to_string();
    let record = loaded.scratch.path("record").display().to_string();
    let source = loaded.scratch.source().display().to_string();
    let commands: [(&[&str], &[&str]); 10] = [
        (&["ls"], &["-lR"]),
        (&["du"], &[]),
        (&["find"], &["--size", "+0"]),
        (&["extract", &out], &["--record", &record]),
        (&["verify"], &[]),
        (&["verify"], &["--source", &source]),
        (&["cat", "/a/f1"], &[]),
        (&["stat", "/a/f1"], &[]),
        (&["cat", "/big"], &[]),
        (&["stat", "/bad/f1"], &[]),
    ];
    let ran: Vec<CommandOutput> = std::thread::scope(|scope| {
        let threads: Vec<_> = commands
            .iter()
            .map(|(arguments, more)| scope.spawn(|| loaded.run(arguments, more)))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let assert_contains_all = |text: &str, what: &[&str]| {
        for what in what {
            assert!(text.contains(what), "no {what:?} in {text}");
        }
    };
    let of_file = format!("/a/f1: could not read the blob {file}");
    let of_directory = format!("/bad: could not read the blob {directory}");
    let below = "1 directory could not be read: everything below is missing";
    for (ran, (arguments, _)) in ran.iter().zip(&commands) {
        let status = if ["cat", "stat"].contains(&arguments[0]) {
            1
        } else {
            3
        };
        assert_eq!(ran.status, status, "{arguments:?} {ran:#?}");
    }
    for ran in &ran[..3] {
        let meanwhile = "; other requests succeeded meanwhile";
        assert_contains_all(&ran.stderr, &[&of_file, &of_directory, meanwhile, below]);
    }
    assert_contains_all(&ran[0].stdout, &["f0", "f1", "f2", "f3", "bad", "big"]);
    assert_contains_all(&ran[2].stdout, &["/a/f0\n", "/a/f3\n", "/big\n"]);

    assert_contains_all(
        &ran[3].stderr,
        &[&of_file, &of_directory, "/big: ", &segment],
    );
    // The summary reports it first.
    assert_contains_all(&ran[3].stdout, &[&format!("{below}\nextracted: 3 files")]);
    let extracted = loaded.scratch.path("out").join("a");
    for name in ["f0", "f2", "f3"] {
        let content = fs::read_to_string(extracted.join(name)).unwrap();
        assert_eq!(content, "content");
    }

    for ran in &ran[4..6] {
        for (path, blob) in [("/a/f1", &file), ("/bad", &directory), ("/big", &segment)] {
            let found = format!("error: {path} (blob {blob}): not verified: could not read");
            assert_contains_all(&ran.stdout, &[&found]);
        }
        let not_verified = "\nNOT verified: 3 blobs could not be read\nNOT clean: ";
        let below = "\n1 directory could not be read: everything below is not verified";
        assert_contains_all(&ran.stdout, &["[unread]\n", not_verified, below]);
        // A blob that could not be read is not reported as damaged.
        for word in ["[dangling", "source-missing", "frame"] {
            assert!(!ran.stdout.contains(word), "{word}: {ran:#?}");
        }
    }
    assert_contains_all(&ran[5].stdout, &["/bad: its entries are not compared"]);

    assert_contains_all(&ran[6].stderr, &[&of_file]);
    assert_contains_all(&ran[7].stderr, &[&of_file]);
    assert_contains_all(&ran[8].stderr, &["/big: ", &segment]);
    assert_contains_all(&ran[9].stderr, &["/bad/f1: ", &directory]);

    // When the blobs are readable again, only the failed entries are missing.
    loaded.faults.lock().unwrap().clear();
    let again = loaded
        .run(&["extract", &out], &["--record", &record])
        .expect(0);
    assert_contains_all(
        &again.stdout,
        &["extracted: 6 files", "3 already up to date"],
    );
    loaded.run(&["verify"], &["--source", &source]).expect(0);
}

#[test]
fn a_run_stops_when_no_blob_can_be_read() {
    let loaded = Loaded::new(tree);
    loaded.gets_left.store(2, SeqCst);
    let out = loaded.scratch.path("out").display().to_string();
    let ran = loaded.run(&["extract", &out], &["--record", &format!("{out}.record")]);
    let ran = ran.refused(1, "the service failed");
    assert!(!ran.stderr.contains("skipped:"), "{ran:#?}");
    assert!(!ran.stderr.contains("meanwhile"), "{ran:#?}");
}

/// The sum of the limits: 80 MiB of responses, twice that while one grows, buffers of 64 connections, and the program.
const PEAK: u64 = 256 << 20;
const ENDLESS: usize = 80;

#[test]
fn endless_responses_are_bounded_together() {
    let loaded = Loaded::new(|source| {
        fs::create_dir(source.join("endless")).unwrap();
        for number in 0..ENDLESS {
            fs::write(source.join("endless").join(number.to_string()), "x").unwrap();
        }
        fs::write(source.join("sound"), "x").unwrap();
    });
    let output = loaded.command(&["find", "/endless"], &["--json", "--size", "1"]);
    let output = { output }.output().unwrap();
    for record in records(&output.stdout) {
        let path = record["path"].as_str().unwrap();
        loaded.fail(loaded_blob(&record, path, &loaded), Fault::EndlessResponse);
    }
    assert_eq!(loaded.faults.lock().unwrap().len(), ENDLESS);
    let mut child = loaded.command(&["find"], &["--size", "1"]).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    // `VmHWM` (proc_pid_status(5)) only grows. The output fits into the pipes.
    let ended = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(line) = line {
            let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
            peak = peak.max(kibibytes << 10);
        }
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    println!("peak {:.1} MiB", peak as f64 / f64::from(1 << 20));
    let ran = CommandOutput::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code(), Some(3), "{ran:#?}");
    assert!((1 << 20..PEAK).contains(&peak), "a peak of {peak} bytes");
    let message = "the blob is larger than any object of its kind: more than 2162688 bytes";
    assert_eq!(ran.stderr.matches(message).count(), ENDLESS, "{ran:#?}");
    assert_eq!(ran.stdout, "/sound\n");
}

/// Returns the blob of a record's entry.
fn loaded_blob(record: &serde_json::Value, path: &str, loaded: &Loaded) -> String {
    let handle = record["handle"].as_str().unwrap();
    let calls = loaded.proxy.calls();
    let call = calls.iter().find(|call| call.blob.contains(handle));
    call.unwrap_or_else(|| panic!("{path} was not read"))
        .blob
        .clone()
}
