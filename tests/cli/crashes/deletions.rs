//! Slow deletions do not delay uploads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use clfsload::container::location::ContainerLocation;
use clfsload::container::memory::InMemory;
use clfsload::container::wrapper::Wrapper;
use clfsload::container::{BlobName, Container, ContainerError};
use clfsload::events::Silent;
use clfsload::load::{End, LoadError, LoadOptions, Mode, prepare_with};
use clfsload::state::Counter;
use tokio::sync::Semaphore;

use super::wrapper::EndsAfter;
use crate::support::command::Scratch;

/// Delays deletions until they are released.
#[derive(Debug)]
struct SlowToDelete {
    inner: Arc<InMemory>,
    deletions: Semaphore,
}

#[async_trait]
impl Wrapper for SlowToDelete {
    fn wrapped(&self) -> &dyn Container {
        &self.inner
    }

    async fn on_delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        drop(self.deletions.acquire().await);
        self.inner.delete(name).await
    }
}

/// A file that shrank since an earlier run leaves segments, whose deletion is slow.
#[test]
fn slow_deletions_do_not_delay_stored_outcomes() {
    let scratch = Scratch::new();
    for n in 0..40 {
        std::fs::write(scratch.source().join(format!("{n}")), "content").unwrap();
    }
    let shrinks = scratch.source().join("shrinks");
    std::fs::write(&shrinks, [7; 20_000]).unwrap();
    let nowhere = ContainerLocation::Folder {
        path: scratch.path("nowhere"),
    };
    let options = LoadOptions::new(scratch.path("state"), scratch.source(), nowhere);
    let memory = Arc::new(InMemory::new());
    // The bucket object is uploaded before the scan, and the scan lists the directory before the first file is read.
    let ends = Arc::new(EndsAfter::new(Arc::clone(&memory), 2));
    let ended =
        prepare_with(options.clone(), Mode::New, |_| Ok(ends)).and_then(|load| load.run(&Silent));
    assert!(matches!(ended, Err(LoadError::Container(_))), "{ended:?}");

    std::fs::write(&shrinks, [7; 10_000]).unwrap();
    let container = Arc::new(SlowToDelete {
        inner: memory,
        deletions: Semaphore::new(0),
    });
    let shared = Arc::clone(&container);
    let mut options = options;
    options.stop = Arc::default();
    let load = prepare_with(options, Mode::Resume, |_| Ok(shared)).unwrap();
    std::thread::scope(|threads| {
        let running = threads.spawn(|| load.run(&Silent));
        let reader = load.state().reader().unwrap();
        let since = Instant::now();
        let mut done = 0;
        while done < 40 && since.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(50));
            done = reader.totals().unwrap().get(Counter::Done);
        }
        let waits = !running.is_finished();
        container.deletions.add_permits(100);
        assert_eq!(running.join().unwrap().unwrap().end, End::Finished);
        assert_eq!((done, waits), (40, true));
    });
}
