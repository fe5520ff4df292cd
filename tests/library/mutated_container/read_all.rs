//! Reads all content of a container with every reading function.

use std::path::Path;
use std::sync::Arc;

use clfs_format::FileType;
use clfsload::container::memory::InMemory;
use clfsload::container::{BlobName, Container, PutBody};
use clfsload::extract::{ExtractOptions, Observer, Problem, extract};
use clfsload::read::index::ListingPlan;
use clfsload::read::{OpenOptions, Reader, Step, Walk, WalkOptions};
use clfsload::verify::{Depth, Finding, VerifyOptions, verify};

use super::mutate::Blobs;

/// More steps than a walk of these containers can have.
const STEPS: usize = 10_000;

/// Panics if a walk does not finish. Other defects of the container are errors, which are discarded.
pub(crate) fn read_all(blobs: &Blobs) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let container = container(blobs).await;
        for lists_all in [true, false] {
            let options = OpenOptions::default();
            let plan = ListingPlan::Prefixes;
            let shared = Arc::clone(&container);
            let opened = Reader::with_container(shared, "memory", plan, lists_all, &options).await;
            let reader = Arc::new(opened.unwrap());
            walk(&reader).await;
            if lists_all {
                verify_all(&reader).await;
            }
            extract_all(&reader).await;
        }
    });
}

async fn verify_all(reader: &Arc<Reader>) {
    for depth in [Depth::Quick, Depth::Full] {
        let mut options = VerifyOptions::default();
        options.depth = depth;
        let sink = Box::new(|finding: &Finding| drop(finding.to_string()));
        let verified = verify(reader, &options, sink).await;
        assert!(verified.is_ok(), "{verified:?}");
    }
}

struct DiscardsAll;

impl Observer for DiscardsAll {
    fn problem(&self, problem: &Problem) {
        drop(problem.to_string());
    }
}

/// Extracts the container, and checks that nothing is written outside the destination folder.
async fn extract_all(reader: &Arc<Reader>) {
    let parent = tempfile::tempdir_in(scratch()).unwrap();
    let options = ExtractOptions::new(parent.path().join("out"), "memory".to_owned());
    let (stop, counters) = (Arc::default(), Arc::default());
    let outcome = extract(reader, &options, stop, counters, Arc::new(DiscardsAll)).await;
    drop(format!("{outcome:?}"));
    for entry in std::fs::read_dir(parent.path()).unwrap() {
        assert_eq!(entry.unwrap().file_name(), "out");
    }
}

/// Returns a folder in memory if there is one, since the fuzzer creates thousands of files.
fn scratch() -> &'static Path {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => memory,
        false => Path::new("/tmp"),
    }
}

pub(crate) async fn container(blobs: &Blobs) -> Arc<dyn Container> {
    let memory = InMemory::new();
    for (name, blob) in blobs {
        // A name that cannot exist in a container is skipped.
        if let Ok(name) = BlobName::new(name.as_str()) {
            let body = PutBody::object(blob.clone());
            memory.put(&name, body).await.unwrap();
        }
    }
    Arc::new(memory)
}

async fn walk(reader: &Arc<Reader>) {
    let Ok(start) = reader.resolve(&clfsload::read::TreePath::root()).await else {
        return;
    };
    let mut walk = Walk::new(reader, start, WalkOptions::default());
    for _ in 0..STEPS {
        match walk.next().await {
            Ok(Some(Step::Entry {
                path,
                handle,
                file_type,
            })) => {
                drop(path.to_string());
                if file_type == FileType::Directory {
                    continue;
                }
                match reader.entity(handle).await {
                    Ok(entity) => {
                        let mut content = reader.content(&Arc::new(entity), 0..u64::MAX);
                        while let Ok(Some(chunk)) = content.next().await {
                            assert!(!chunk.bytes.is_empty());
                        }
                    }
                    Err(error) => {
                        assert!(error.is_damage(), "{error}");
                        drop(error.to_string());
                    }
                }
            }
            Ok(Some(step)) => drop(format!("{step:?}")),
            Ok(None) => return,
            Err(error) => panic!("a container in memory does not fail: {error}"),
        }
    }
    panic!("the walk has no end");
}
