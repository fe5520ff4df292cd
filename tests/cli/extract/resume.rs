//! Interrupted runs resume, and request only missing blobs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use clfsload::container::memory::InMemory;
use clfsload::container::wrapper::Wrapper;
use clfsload::container::{BlobName, Container, ContainerError};
use clfsload::extract::ExtractError;
use clfsload::stop::StopFlag;

use super::fixture::{Counted, Place, container, contents, file};
use crate::support::command::{Scratch, clfsload};
use crate::support::synthetic::Builder;
use crate::support::tree::walk_source;

const FILES: usize = 400;
/// The number of files with a second segment, which is a separate blob.
const LARGE: usize = 40;
/// Each directory is one blob.
const DIRECTORIES: u64 = 3;

fn sample() -> Counted {
    let mut build = Builder::new();
    let mut root = build.root();
    let mut a = build.directory(&mut root, "a");
    let mut b = build.directory(&mut root, "b");
    for number in 0..FILES {
        let directory = if number % 2 == 0 { &mut a } else { &mut b };
        let size = if is_large(number) { 20_000 } else { number };
        file(
            &mut build,
            directory,
            &number.to_string(),
            &vec![number as u8; size],
        );
    }
    for directory in [&a, &b, &root] {
        build.finish_directory(directory);
    }
    container(build.blobs)
}

fn is_large(number: usize) -> bool {
    number.is_multiple_of(FILES / LARGE)
}

/// Returns the number of blobs of the file with that name.
fn blobs(path: &str) -> u64 {
    let number = path.rsplit('/').next().unwrap().parse().unwrap();
    1 + u64::from(is_large(number))
}

/// Returns the number of blobs of the files in the destination.
fn extracted(place: &Place) -> u64 {
    let found = contents(&place.destination());
    let files = found.iter().filter(|(_, content)| content.is_some());
    files.map(|(path, _)| blobs(path)).sum()
}

fn gets(container: &Counted, work: impl FnOnce()) -> u64 {
    let before = container.counts().gets.calls;
    work();
    container.counts().gets.calls - before
}

/// The event at the get with a certain number.
#[derive(Clone, Debug)]
enum Then {
    /// The container fails from then on.
    Fail,
    /// The run is requested to stop.
    Stop(Arc<StopFlag>),
}

#[derive(Clone, Debug)]
struct Interrupted {
    inner: Counted,
    failing: Arc<InMemory>,
    at: u64,
    gets: Arc<AtomicU64>,
    then: Then,
}

impl Interrupted {
    fn new(inner: &Counted, at: u64, then: Then) -> Self {
        let failing = InMemory::new();
        failing.remove_container();
        Interrupted {
            inner: Arc::clone(inner),
            failing: Arc::new(failing),
            at,
            gets: Arc::default(),
            then,
        }
    }
}

#[async_trait]
impl Wrapper for Interrupted {
    fn wrapped(&self) -> &dyn Container {
        &self.inner
    }

    async fn on_get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        if self.gets.fetch_add(1, SeqCst) >= self.at {
            match &self.then {
                Then::Fail => return self.failing.get(name, at_most).await,
                Then::Stop(stop) => stop.request(),
            }
        }
        self.inner.get(name, at_most).await
    }
}

fn no_leftovers(place: &Place) {
    let found = contents(&place.destination());
    assert!(
        !found.keys().any(|name| name.contains(".clfsload-")),
        "{found:?}"
    );
}

fn resumes_after(then: impl Fn() -> (Then, Arc<StopFlag>), expected: fn(&ExtractError) -> bool) {
    let sample = sample();
    let (reference, place) = (Place::new(), Place::new());
    let all = gets(&sample, || {
        reference.extract(&sample).with_problems(&[]);
    });
    for at in [60, 200] {
        let (then, stop) = then();
        let interrupted = Interrupted::new(&sample, at, then);
        let done = place.extract_until(&interrupted, |_| (), stop);
        assert!(expected(done.end.as_ref().unwrap_err()), "{done:#?}");
        assert!(done.summary.files > 0 && done.summary.files < FILES as u64);
        // Abandoned entries are not problems.
        assert!(done.problems.is_empty(), "{:?}", done.problems);
        no_leftovers(&place);
    }
    // Inodes that were fetched but whose files were not written are fetched again.
    let complete = extracted(&place);
    assert!(complete > 50, "{complete}");
    let second = gets(&sample, || {
        place.extract(&sample).with_problems(&[]);
    });
    assert_eq!(second, all - complete);
    assert_same_tree(&place, &reference);
    let third = gets(&sample, || {
        let done = place.extract(&sample).with_problems(&[]);
        assert_eq!(done.summary.up_to_date, FILES as u64);
    });
    assert_eq!(third, DIRECTORIES);
}

fn assert_same_tree(place: &Place, reference: &Place) {
    let tree = |place: &Place| {
        let mut tree = walk_source(&place.destination());
        for node in tree.values_mut() {
            (node.ino, node.ctime) = (0, (0, 0));
        }
        tree
    };
    assert_eq!(tree(place), tree(reference));
}

#[test]
fn an_extraction_resumes_after_the_container_failed() {
    resumes_after(
        || (Then::Fail, Arc::default()),
        |error| matches!(error, ExtractError::Read(_)),
    );
}

#[test]
fn an_extraction_resumes_after_a_stop() {
    resumes_after(
        || {
            let stop = Arc::<StopFlag>::default();
            (Then::Stop(Arc::clone(&stop)), stop)
        },
        |error| matches!(error, ExtractError::Stopped),
    );
}

/// Without a record, the origin of the files is unknown: they are compared and kept.
#[test]
fn an_extraction_resumes_without_a_record() {
    let (sample, place) = (sample(), Place::new());
    place.extract(&sample).with_problems(&[]);
    fs::remove_file(place.path("record")).unwrap();
    let again = gets(&sample, || {
        let done = place.extract(&sample).with_problems(&[]);
        let summary = done.summary;
        assert_eq!(
            (summary.files, summary.up_to_date, summary.compared),
            (0, FILES as u64, FILES as u64)
        );
    });
    assert_eq!(again, DIRECTORIES + (FILES + LARGE) as u64);
    let known = gets(&sample, || {
        let done = place.extract(&sample).with_problems(&[]);
        assert_eq!(
            (done.summary.up_to_date, done.summary.compared),
            (FILES as u64, 0)
        );
    });
    assert_eq!(known, DIRECTORIES);
}

/// After a system crash, sizes and times prove nothing.
#[test]
fn files_are_compared_after_a_reboot() {
    let (sample, place) = (sample(), Place::new());
    place.extract(&sample).with_problems(&[]);
    // The record as left by a run that was killed before the last boot.
    let record = rusqlite::Connection::open(place.path("record")).unwrap();
    let sql = "INSERT INTO about VALUES ('unstored', 'another boot')";
    record.execute(sql, []).unwrap();
    drop(record);
    let path = place.destination().join("a/10");
    let metadata = fs::metadata(&path).unwrap();
    fs::write(&path, vec![0; metadata.len() as usize]).unwrap();
    let lost = fs::File::options().write(true).open(&path).unwrap();
    lost.set_modified(metadata.modified().unwrap()).unwrap();
    let done = place.extract(&sample).with_problems(&[]);
    assert!(done.in_doubt);
    assert_eq!(
        (done.summary.files, done.summary.up_to_date),
        (1, FILES as u64 - 1)
    );
    assert_eq!(fs::read(&path).unwrap(), vec![10; metadata.len() as usize]);
    assert!(!place.extract(&sample).with_problems(&[]).in_doubt);
}

/// A run was killed while it created its record, possibly by a system crash.
#[test]
fn an_extraction_resumes_after_a_kill_before_the_record_was_created() {
    let (sample, place) = (sample(), Place::new());
    fs::write(place.path("record"), "").unwrap();
    assert!(!place.extract(&sample).with_problems(&[]).in_doubt);
    for suffix in ["", "-wal", "-shm"] {
        drop(fs::remove_file(place.path(&format!("record{suffix}"))));
    }
    fs::write(place.path("record"), "").unwrap();
    let stop = Arc::<StopFlag>::default();
    let interrupted = Interrupted::new(&sample, 60, Then::Stop(Arc::clone(&stop)));
    let done = place.extract_until(&interrupted, |_| (), stop);
    assert!(done.in_doubt && done.end.is_err());
    // Files that were not compared are still in doubt.
    let done = place.extract(&sample).with_problems(&[]);
    assert!(done.in_doubt);
    assert_eq!(done.summary.up_to_date, FILES as u64);
    assert!(!place.extract(&sample).with_problems(&[]).in_doubt);
}

/// The process is killed several times. The next run extracts everything.
#[test]
fn an_extraction_resumes_after_kills() {
    let scratch = Scratch::in_memory();
    for directory in 0..20 {
        let directory = scratch.source().join(directory.to_string());
        fs::create_dir(&directory).unwrap();
        for number in 0..100 {
            let size = if number % 10 == 0 { 3 << 20 } else { 1000 };
            let path = directory.join(number.to_string());
            fs::write(&path, vec![number as u8 + 1; size]).unwrap();
        }
        fs::hard_link(directory.join("1"), directory.join("link")).unwrap();
    }
    scratch.load("t", &["--preserve_hardlinks", "1"]).expect(0);
    let destination = scratch.path("out");
    let command = || {
        let mut command = clfsload();
        command
            .arg("extract")
            .arg(scratch.container("t"))
            .arg(&destination)
            .arg("--record")
            .arg(scratch.path("record"));
        command
    };
    let count = || {
        let folders = (0..20).map(|number| destination.join(number.to_string()));
        let counts = folders.map(|folder| fs::read_dir(folder).map_or(0, Iterator::count));
        counts.sum::<usize>()
    };
    let mut killed = 0;
    for _ in 0..4 {
        let before = count();
        let mut child = command()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while count() < before + 150 && started.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(2));
            if child.try_wait().unwrap().is_some() {
                break;
            }
        }
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
    }
    assert!(killed >= 3, "killed {killed} times only");
    let output = command().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let (source, found) = (walk_source(&scratch.source()), walk_source(&destination));
    let names = |tree: &BTreeMap<Vec<u8>, _>| -> BTreeSet<String> {
        let names = tree.keys().map(|path| path.escape_ascii().to_string());
        names.collect()
    };
    let (expected, names) = (names(&source), names(&found));
    let differ: Vec<_> = expected.symmetric_difference(&names).take(20).collect();
    assert!(differ.is_empty(), "{differ:?}");
    for (path, node) in &found {
        let from = &source[path];
        assert_eq!(
            (node.mode, node.mtime, node.sha256, node.nlink),
            (from.mode, from.mtime, from.sha256, from.nlink),
            "{}",
            path.escape_ascii()
        );
    }
    // No token of a killed run remains.
    let record = rusqlite::Connection::open(scratch.path("record")).unwrap();
    let sql = "SELECT count(*) FROM attempt";
    let tokens = record.query_row(sql, [], |row| row.get::<_, i64>(0));
    assert_eq!(tokens, Ok(0));
    let linked = |name: &str| fs::metadata(destination.join(name)).unwrap().ino();
    assert_eq!(linked("3/1"), linked("3/link"));
}
