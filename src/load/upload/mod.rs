//! The upload of objects to the container. A budget bounds their number and bytes in memory; the limiter,
//! which is below the retries of the container, bounds the requests in flight.

mod budget;
mod completion;

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use crate::container::limit::Limiter;
use crate::container::{BlobKind, BlobName, Container, ContainerError, PutBody};
use crate::crash_point::{CrashPoint, crash_point};
use crate::load::encode::{EncodedObject, ObjectSink};
use crate::progress::Progress;
use crate::stop::StopFlag;

pub use budget::{Budget, Room};
pub use completion::{Completion, CompletionHandler, Delivered};

/// Limits of the uploads in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadLimits {
    /// Requests in flight. None: the number adapts to the throughput.
    pub concurrency: Option<NonZeroUsize>,
    /// Bytes of content uploaded per second. None: no limit.
    pub bandwidth: Option<NonZeroU64>,
    /// Bytes of all objects that are read, compressed or uploaded at the same time. At least
    /// [`UploadLimits::MIN_BYTES`].
    pub bytes: u64,
}

impl UploadLimits {
    /// Enough for one file segment of 8 MiB with its compressed form, and small objects.
    pub const MIN_BYTES: u64 = 32 << 20;
}

impl Default for UploadLimits {
    /// Returns 64 MiB: enough for three file segments with their compressed forms, or thousands of small objects.
    fn default() -> Self {
        UploadLimits {
            concurrency: None,
            bandwidth: None,
            bytes: 64 << 20,
        }
    }
}

/// Memory of an object in flight besides its bytes: the task and the request. Excludes the buffers of
/// connections (see [`MAX_REQUESTS`](crate::container::limit::MAX_REQUESTS)), which an idle connection
/// keeps, too.
pub const OBJECT_OVERHEAD: u64 = 8 << 10;

/// Deletions in flight.
const DELETIONS: usize = 16;

/// Uploads objects to a container.
#[derive(Debug)]
pub struct Uploader {
    container: Arc<dyn Container>,
    runtime: Handle,
    limiter: Arc<Limiter>,
    budget: Arc<Budget>,
    stop: Arc<StopFlag>,
    progress: Arc<Progress>,
    /// Set by the first permanent failure. Nothing is uploaded afterwards.
    failed: AtomicBool,
    failure: Mutex<Option<ContainerError>>,
}

impl Uploader {
    /// Creates an uploader on the threads of `runtime`, with a budget of `bytes`. `limiter` is the one below
    /// `container`. An upload that fails permanently requests a stop of the run.
    pub fn new(
        container: Arc<dyn Container>,
        runtime: Handle,
        limiter: Arc<Limiter>,
        bytes: u64,
        stop: Arc<StopFlag>,
        progress: Arc<Progress>,
    ) -> Self {
        Uploader {
            container,
            runtime,
            budget: Arc::new(
                Budget::new(bytes, Arc::clone(limiter.object_limit()))
                    .with_gauge(Arc::clone(&progress.waiting_for_room)),
            ),
            limiter,
            stop,
            progress,
            failed: AtomicBool::new(false),
            failure: Mutex::default(),
        }
    }

    /// Takes the first permanent failure.
    pub fn take_failure(&self) -> Option<ContainerError> {
        self.failure().take()
    }

    fn failure(&self) -> MutexGuard<'_, Option<ContainerError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether encoders wait for room for objects of about this many bytes. Another encoder would only wait,
    /// too.
    pub fn is_short_of_room(&self, bytes: u64) -> bool {
        self.budget.is_short(bytes + OBJECT_OVERHEAD)
    }

    /// Returns a sink for the objects of one entity.
    pub fn sink<'a, H: CompletionHandler>(
        self: &'a Arc<Self>,
        completion: &'a Arc<Completion<H>>,
    ) -> EntitySink<'a, H> {
        EntitySink {
            uploader: self,
            completion,
        }
    }

    /// Deletes blobs, several concurrently. Returns whether all of them were deleted.
    ///
    /// Blocks the calling thread.
    pub fn delete_all(self: &Arc<Self>, blobs: impl Iterator<Item = BlobName>) -> bool {
        self.runtime.block_on(async {
            let mut deletions = tokio::task::JoinSet::new();
            let mut all_gone = true;
            for blob in blobs {
                if deletions.len() >= DELETIONS {
                    all_gone &= matches!(deletions.join_next().await, Some(Ok(true)));
                }
                let uploader = Arc::clone(self);
                deletions.spawn(async move { uploader.delete(&blob).await });
            }
            while let Some(deleted) = deletions.join_next().await {
                all_gone &= matches!(deleted, Ok(true));
            }
            all_gone
        })
    }

    async fn delete(&self, blob: &BlobName) -> bool {
        if self.failed.load(Ordering::Acquire) {
            return false;
        }
        let deleted = self.container.delete(blob).await;
        self.note_failure(deleted).is_some()
    }

    /// Records the first failure, and requests a stop of the run.
    fn note_failure<T>(&self, result: Result<T, ContainerError>) -> Option<T> {
        match result {
            Ok(done) => Some(done),
            // The stop of the run ended its backoff. Its entry remains outstanding.
            Err(error) if error.is_transient() && self.stop.is_requested() => None,
            Err(error) => {
                // Only the first failure is reported. Later ones are its consequences.
                self.failed.store(true, Ordering::Release);
                self.failure().get_or_insert(error);
                self.stop.request();
                self.limiter.close();
                None
            }
        }
    }

    /// Uploads one blob. Returns whether it is in the container.
    async fn put(&self, name: &BlobName, body: PutBody) -> bool {
        if self.failed.load(Ordering::Acquire) {
            return false;
        }
        let length = body.bytes.len() as u64;
        let is_object = body.kind == BlobKind::Object;
        crash_point(CrashPoint::BeforePut);
        let put = self.container.put(name, body).await;
        let stored = self.note_failure(put).is_some();
        if stored {
            crash_point(CrashPoint::AfterPut);
            Progress::add(&self.progress.bytes_put, length);
            Progress::add(&self.progress.objects, u64::from(is_object));
        }
        stored
    }
}

/// Reports an object as stored or lost, even if its task panics: otherwise its completion would never be
/// called and the run would not end.
struct InFlight<H: CompletionHandler> {
    completion: Arc<Completion<H>>,
    stop: Arc<StopFlag>,
    /// None until the task has ended. Then the bytes of the object, or None if it was lost.
    stored: Option<Option<u64>>,
}

impl<H: CompletionHandler> InFlight<H> {
    fn end(mut self, stored: Option<u64>) {
        self.stored = Some(stored);
    }
}

impl<H: CompletionHandler> Drop for InFlight<H> {
    fn drop(&mut self) {
        if self.stored.is_none() {
            // The task panicked, or the runtime dropped it.
            self.stop.request();
        }
        self.completion.object_done(self.stored.flatten());
    }
}

/// Uploads the objects of one entity.
pub struct EntitySink<'a, H: CompletionHandler> {
    uploader: &'a Arc<Uploader>,
    completion: &'a Arc<Completion<H>>,
}

impl<H: CompletionHandler> ObjectSink for EntitySink<'_, H> {
    type Room = Room;

    fn room(&self, bytes: u64) -> Room {
        self.uploader.budget.wait(bytes + OBJECT_OVERHEAD)
    }

    fn put(&self, object: EncodedObject, mut room: Room) {
        let length = object.bytes.len() as u64;
        room.shrink(object.memory + OBJECT_OVERHEAD);
        self.completion.object_started();
        let uploader = Arc::clone(self.uploader);
        let in_flight = InFlight {
            completion: Arc::clone(self.completion),
            stop: Arc::clone(&uploader.stop),
            stored: None,
        };
        self.uploader.runtime.spawn(async move {
            let body = PutBody::object(object.bytes);
            let stored = uploader.put(&object.name, body).await;
            drop(room);
            in_flight.end(stored.then_some(length));
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
