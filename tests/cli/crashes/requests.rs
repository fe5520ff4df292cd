//! The number of requests: one Put Blob per object, no Get Blob, no Delete Blob. A crash causes at most one more
//! Put Blob per object.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clfsload::container::location::ContainerLocation;
use clfsload::container::memory::InMemory;
use clfsload::container::{BlobName, Container};
use clfsload::events::Silent;
use clfsload::load::{End, Load, LoadError, LoadOptions, Mode, prepare_with};

use super::transfer::Undisturbed;
use super::wrapper::EndsAfter;
use crate::support::command::{SEED, assert_same};
use crate::support::counting::Counting;

type Memory = Counting<InMemory>;

fn prepared(
    undisturbed: &Undisturbed,
    state: &str,
    container: Arc<dyn Container>,
) -> Result<Load, LoadError> {
    let state = undisturbed.scratch.path(state);
    let mode = match state.join("state.db").exists() {
        true => Mode::Resume,
        false => Mode::New,
    };
    let nowhere = ContainerLocation::Folder {
        path: undisturbed.scratch.path("nowhere"),
    };
    let mut options = LoadOptions::new(state, undisturbed.scratch.source(), nowhere);
    options.seed = Some(SEED.parse().unwrap());
    options.preserve_hardlinks = Some(true);
    prepare_with(options, mode, |_| Ok(container))
}

/// Runs a load with a limited number of uploads. Returns true if it completed.
fn run(undisturbed: &Undisturbed, state: &str, memory: &Arc<Memory>, puts: u64) -> bool {
    let container = Arc::new(EndsAfter::new(Arc::clone(memory), puts));
    let end = prepared(undisturbed, state, container).and_then(|load| load.run(&Silent));
    match end {
        Ok(summary) => {
            assert_eq!(summary.end, End::Finished);
            true
        }
        Err(LoadError::Container(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

fn assert_undisturbed(undisturbed: &Undisturbed, memory: &Memory) {
    let blobs: BTreeMap<String, Vec<u8>> = memory
        .inner()
        .blobs()
        .into_iter()
        .map(|(name, body)| (name, body.bytes.to_vec()))
        .collect();
    assert_same(&undisturbed.blobs, &blobs);
}

fn maximum(puts: &HashMap<BlobName, u64>) -> u64 {
    puts.values().copied().max().unwrap_or(0)
}

#[test]
fn an_undisturbed_load_uploads_each_object_once() {
    let undisturbed = Undisturbed::shared();
    let memory = Arc::new(Memory::with_names(InMemory::new()));
    assert!(run(&undisturbed, "counted", &memory, u64::MAX));
    let counts = memory.counts();
    let objects = undisturbed.blobs.len() as u64;
    println!("{objects} blobs: {counts:?}");
    assert_eq!(counts.puts.calls, objects);
    assert_eq!(counts.puts.failed, 0);
    assert_eq!(memory.puts_by_name().len() as u64, objects);
    assert_eq!(maximum(&memory.puts_by_name()), 1);
    assert_eq!(counts.gets.calls, 0);
    assert_eq!(counts.deletes.calls, 0);
    // The container is listed once before the state is created and once before the bucket object is written.
    assert_eq!(counts.lists.calls, 2);
    assert_undisturbed(&undisturbed, &memory);
}

#[test]
fn a_lost_response_causes_at_most_one_more_upload() {
    let undisturbed = Undisturbed::shared();
    let objects = undisturbed.blobs.len() as u64;
    for puts in [
        1,
        2,
        3,
        100,
        objects / 2,
        objects - 300,
        objects - 2,
        objects - 1,
        objects,
    ] {
        let memory = Arc::new(Memory::with_names(InMemory::new()));
        let state = format!("lost-{puts}");
        assert!(!run(&undisturbed, &state, &memory, puts), "{puts}");
        assert!(run(&undisturbed, &state, &memory, u64::MAX), "{puts}");
        let (counts, by_name) = (memory.counts(), memory.puts_by_name());
        assert_eq!(by_name.len() as u64, objects, "{puts}");
        assert!(maximum(&by_name) <= 2, "{puts}: {}", maximum(&by_name));
        assert_eq!(counts.deletes.calls, 0, "{puts}");
        // Each resume reads the bucket object once, to check that it is ours.
        assert!(counts.gets.calls <= 1, "{puts}: {counts:?}");
        assert_undisturbed(&undisturbed, &memory);
        std::fs::remove_dir_all(undisturbed.scratch.path(&state)).unwrap();
    }
}

/// Counts uploads across SIGKILL by renames: each upload into a folder container is one rename.
#[test]
fn each_crash_causes_at_most_one_more_upload_per_object() {
    let undisturbed = Undisturbed::shared();
    let transfer = undisturbed.transfer("renames");
    std::fs::create_dir_all(transfer.container()).unwrap();
    let puts = Renames::watch(&transfer.container(), || {
        for place in [
            "AfterPut:900",
            "AfterPut:1200",
            "AfterPut:400",
            "DirectoryBegun:40",
        ] {
            assert!(transfer.crashes_at(place), "{place}");
        }
        transfer.finish();
    });
    let names = undisturbed.blobs.len();
    assert_eq!(puts.len(), names);
    let total: u64 = puts.values().sum();
    let maximum = puts.values().copied().max().unwrap();
    println!("4 crashes: {total} uploads of {names} blobs, at most {maximum} of one blob");
    assert!(maximum <= 1 + 4, "{maximum}");
    assert!(total > names as u64, "the crashes repeated nothing");

    let untouched = undisturbed.transfer("renames-undisturbed");
    std::fs::create_dir_all(untouched.container()).unwrap();
    let puts = Renames::watch(&untouched.container(), || untouched.finish());
    assert_eq!(puts.len(), names);
    assert!(puts.values().all(|&count| count == 1), "{puts:?}");
}

/// Counts the renames in a folder by their new names, using inotify(7).
struct Renames;

impl Renames {
    fn watch(folder: &Path, work: impl FnOnce()) -> BTreeMap<String, u64> {
        use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
        let descriptor = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
        add_watch(&descriptor, folder, WatchFlags::MOVED_TO).unwrap();
        let finished = AtomicBool::new(false);
        std::thread::scope(|threads| {
            let counting = threads.spawn(|| {
                let mut counts = BTreeMap::new();
                let mut buffer = vec![std::mem::MaybeUninit::uninit(); 64 << 10];
                let mut reader = Reader::new(&descriptor, &mut buffer);
                loop {
                    // Checked before the read, so that the events up to then are still read.
                    let last = finished.load(Ordering::Acquire);
                    match reader.next() {
                        Ok(event) => {
                            assert!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW));
                            let name = event.file_name().unwrap().to_str().unwrap().to_owned();
                            *counts.entry(name).or_insert(0u64) += 1;
                        }
                        Err(rustix::io::Errno::AGAIN) if last => return counts,
                        Err(rustix::io::Errno::AGAIN) => {
                            std::thread::sleep(Duration::from_millis(5));
                        }
                        Err(errno) => panic!("{errno}"),
                    }
                }
            });
            let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            finished.store(true, Ordering::Release);
            let counts = counting.join().unwrap();
            match worked {
                Ok(()) => counts,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}
