//! The result of an upload that the container accepts or refuses, or in which it panics.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::*;
use crate::container::limit::{Concurrency, Limited, MAX_REQUESTS};
use crate::container::memory::InMemory;
use crate::container::wrapper::Wrapper;

/// Accepts objects whose name begins with `A`, and panics for others.
#[derive(Debug)]
struct Panicking(InMemory);

#[async_trait]
impl Wrapper for Panicking {
    fn wrapped(&self) -> &dyn Container {
        &self.0
    }

    async fn on_put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        assert!(
            name.as_str().starts_with('A'),
            "a panic that the test wants"
        );
        self.0.put(name, content).await
    }
}

struct Report(Sender<Delivered>);

impl CompletionHandler for Report {
    type Outcome = ();
    fn completed(self, (): (), delivered: Delivered) {
        self.0.send(delivered).unwrap();
    }
}

fn put_all(
    container: impl Container,
    names: &[&str],
) -> (Receiver<Delivered>, Arc<StopFlag>, Arc<Uploader>) {
    let (stop, uploader) = uploader(|limiter| Arc::new(Limited::new(container, limiter)));
    let (sender, receiver) = channel();
    let completion = Arc::new(Completion::new(Report(sender)));
    put_into(&uploader, &completion, names);
    (receiver, stop, uploader)
}

fn uploader(
    container: impl FnOnce(Arc<Limiter>) -> Arc<dyn Container>,
) -> (Arc<StopFlag>, Arc<Uploader>) {
    let runtime = Box::leak(Box::new(tokio::runtime::Runtime::new().unwrap()));
    let stop = Arc::new(StopFlag::default());
    let _inside = runtime.enter();
    let concurrency = Concurrency::Adaptive { max: MAX_REQUESTS };
    let limiter = Arc::new(Limiter::new(concurrency, None, Arc::default()));
    let uploader = Arc::new(Uploader::new(
        container(Arc::clone(&limiter)),
        runtime.handle().clone(),
        limiter,
        UploadLimits::default().bytes,
        Arc::clone(&stop),
        Arc::default(),
    ));
    (stop, uploader)
}

fn put_into(uploader: &Arc<Uploader>, completion: &Arc<Completion<Report>>, names: &[&str]) {
    let sink = uploader.sink(completion);
    for name in names {
        let object = EncodedObject {
            name: BlobName::new(*name).unwrap(),
            bytes: Bytes::from_static(b"object"),
            memory: 6,
        };
        sink.put(object, sink.room(6));
    }
    completion.finish(());
}

const LONG: Duration = Duration::from_secs(30);

#[test]
fn an_object_whose_task_panics_is_lost_and_stops_the_run() {
    let (delivered, stop, _) = put_all(Panicking(InMemory::new()), &["A1", "B", "A2"]);
    let delivered = delivered.recv_timeout(LONG).unwrap();
    assert_eq!((delivered.lost, stop.is_requested()), (1, true));
}

#[test]
fn a_permanent_failure_is_recorded() {
    let container = InMemory::new();
    container.remove_container();
    let (delivered, stop, uploader) = put_all(container, &["A1", "A2"]);
    assert_eq!(delivered.recv_timeout(LONG).unwrap().lost, 2);
    assert!(stop.is_requested());
    assert!(uploader.take_failure().is_some());
}

/// The first upload fails permanently, the later ones succeed.
#[derive(Debug, Default)]
struct FailsOnce {
    inner: InMemory,
    puts: AtomicUsize,
}

#[async_trait]
impl Wrapper for FailsOnce {
    fn wrapped(&self) -> &dyn Container {
        &self.inner
    }

    async fn on_put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        if self.puts.fetch_add(1, Ordering::SeqCst) > 0 {
            return self.inner.put(name, content).await;
        }
        let gone = InMemory::new();
        gone.remove_container();
        gone.put(name, content).await
    }
}

#[test]
fn nothing_is_uploaded_after_a_failure() {
    let container = Arc::new(FailsOnce::default());
    let shared = Arc::clone(&container);
    // Without the limiter, which also rejects requests after a failure.
    let (_, uploader) = uploader(|_| shared);
    for names in [&["A1"], &["A2"]] {
        let (sender, receiver) = channel();
        put_into(&uploader, &Arc::new(Completion::new(Report(sender))), names);
        assert_eq!(receiver.recv_timeout(LONG).unwrap().lost, 1);
    }
    assert!(!uploader.delete_all([BlobName::new("A1").unwrap()].into_iter()));
    assert_eq!(container.puts.load(Ordering::SeqCst), 1);
    assert!(container.inner.blobs().is_empty());
    assert!(uploader.take_failure().is_some());
}

#[test]
fn stored_objects_are_counted() {
    let (delivered, stop, _) = put_all(InMemory::new(), &["A1", "A2"]);
    let delivered = delivered.recv_timeout(LONG).unwrap();
    let expected = Delivered {
        objects: 2,
        bytes: 12,
        lost: 0,
    };
    assert_eq!((delivered, stop.is_requested()), (expected, false));
}
