//! The upload: objects into the container, within bounds of bytes and count. How many are on their
//! way at the same time is the limiter's business, below the container's retries.

mod budget;
mod receipt;

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use crate::container::limit::Limiter;
use crate::container::{BlobKind, BlobName, Container, ContainerError, PutBody};
use crate::crash_point::{CrashPoint, crash_point};
use crate::encode::{EncodedObject, ObjectSink};
use crate::progress::Progress;
use crate::stop::StopFlag;

pub use budget::{Budget, Room};
pub use receipt::{Delivered, Receipt, ReceiptEnd};

/// Bounds of what is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadLimits {
    /// Requests at the same time; as many as bring throughput without.
    pub concurrency: Option<NonZeroUsize>,
    /// Bytes of content put in a second; any number without.
    pub bandwidth: Option<NonZeroU64>,
    /// Bytes of the objects that are read, compressed or uploaded at the same time; at least
    /// [`UploadLimits::LEAST_BYTES`].
    pub bytes: u64,
}

impl UploadLimits {
    /// One file segment of 8 MiB with its compressed form, and small objects beside it.
    pub const LEAST_BYTES: u64 = 32 << 20;
}

impl Default for UploadLimits {
    /// 64 MiB hold three file segments with their compressed forms, or thousands of small objects.
    fn default() -> Self {
        UploadLimits {
            concurrency: None,
            bandwidth: None,
            bytes: 64 << 20,
        }
    }
}

/// What an object on its way takes beside its bytes: its task and the request. The buffers of a
/// connection (see [`MAX_REQUESTS`](crate::container::limit::MAX_REQUESTS)) are not in it: an open
/// one keeps them whether it is used or not.
pub const OBJECT_OVERHEAD: u64 = 8 << 10;

/// Deletions at the same time.
const DELETIONS: usize = 16;

/// Puts objects into a container.
#[derive(Debug)]
pub struct Uploader {
    container: Arc<dyn Container>,
    runtime: Handle,
    limiter: Arc<Limiter>,
    budget: Arc<Budget>,
    stop: Arc<StopFlag>,
    progress: Arc<Progress>,
    /// Nothing is put after a failure.
    failed: AtomicBool,
    failure: Mutex<Option<ContainerError>>,
}

impl Uploader {
    /// An uploader on the threads of `runtime`, with room for so many bytes. `limiter` is the one below
    /// `container`. A put that fails for good asks the run to stop.
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

    /// The first failure that no further try can mend.
    pub fn take_failure(&self) -> Option<ContainerError> {
        self.failure().take()
    }

    fn failure(&self) -> MutexGuard<'_, Option<ContainerError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether encoders wait for room for an object of about so many bytes: then more of them, for
    /// such objects, would not bring more.
    pub fn is_short_of_room(&self, bytes: u64) -> bool {
        self.budget.is_short(bytes + OBJECT_OVERHEAD)
    }

    /// A sink for the objects of one entity.
    pub fn sink<'a, E: ReceiptEnd>(
        self: &'a Arc<Self>,
        receipt: &'a Arc<Receipt<E>>,
    ) -> EntitySink<'a, E> {
        EntitySink {
            uploader: self,
            receipt,
        }
    }

    /// Deletes blobs, several at the same time; true when none of them is there any more.
    ///
    /// Called from a thread that may wait.
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

    /// Keeps the first failure, and asks the run to stop.
    fn note_failure<T>(&self, result: Result<T, ContainerError>) -> Option<T> {
        match result {
            Ok(done) => Some(done),
            // Its wait was ended since the run stops: what is lost stays outstanding.
            Err(error) if error.is_transient() && self.stop.is_requested() => None,
            Err(error) => {
                // The first failure is the one to tell of; those after it follow from it.
                self.failed.store(true, Ordering::Release);
                self.failure().get_or_insert(error);
                self.stop.request();
                self.limiter.close();
                None
            }
        }
    }

    /// Puts one blob; true when it is in the container.
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

/// An object that must be answered for, whatever becomes of its task: a receipt that waits for it
/// would keep the run from ending.
struct OnItsWay<E: ReceiptEnd> {
    receipt: Arc<Receipt<E>>,
    stop: Arc<StopFlag>,
    /// None until the task came to its end.
    stored: Option<Option<u64>>,
}

impl<E: ReceiptEnd> OnItsWay<E> {
    fn end(mut self, stored: Option<u64>) {
        self.stored = Some(stored);
    }
}

impl<E: ReceiptEnd> Drop for OnItsWay<E> {
    fn drop(&mut self) {
        if self.stored.is_none() {
            // The task panicked, or the runtime ends before it.
            self.stop.request();
        }
        self.receipt.answered(self.stored.flatten());
    }
}

/// Takes the objects of one entity.
pub struct EntitySink<'a, E: ReceiptEnd> {
    uploader: &'a Arc<Uploader>,
    receipt: &'a Arc<Receipt<E>>,
}

impl<E: ReceiptEnd> ObjectSink for EntitySink<'_, E> {
    type Room = Room;

    fn room(&self, bytes: u64) -> Room {
        self.uploader.budget.wait(bytes + OBJECT_OVERHEAD)
    }

    fn put(&self, object: EncodedObject, mut room: Room) {
        let length = object.bytes.len() as u64;
        room.shrink(object.memory + OBJECT_OVERHEAD);
        self.receipt.sent();
        let uploader = Arc::clone(self.uploader);
        let on_its_way = OnItsWay {
            receipt: Arc::clone(self.receipt),
            stop: Arc::clone(&uploader.stop),
            stored: None,
        };
        self.uploader.runtime.spawn(async move {
            let body = PutBody::object(object.bytes);
            let stored = uploader.put(&object.name, body).await;
            drop(room);
            on_its_way.end(stored.then_some(length));
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
