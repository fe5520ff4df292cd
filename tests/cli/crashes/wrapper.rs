//! A container that fails permanently after a number of uploads, as if the process had crashed there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use clfsload::container::memory::InMemory;
use clfsload::container::{BlobName, Container, ContainerError, ListMarker, ListPage, PutBody};

/// Passes a number of uploads through. The next upload is stored, but its response is lost. All later requests fail.
#[derive(Debug)]
pub(crate) struct EndsAfter<C> {
    pub(crate) inner: Arc<C>,
    left: AtomicU64,
    /// The source of the errors.
    failing: InMemory,
}

impl<C> EndsAfter<C> {
    pub(crate) fn new(inner: Arc<C>, puts: u64) -> Self {
        let failing = InMemory::new();
        failing.remove_container();
        EndsAfter {
            inner,
            left: AtomicU64::new(puts),
            failing,
        }
    }
}

#[async_trait]
impl<C: Container> Container for EndsAfter<C> {
    fn location(&self) -> &str {
        self.inner.location()
    }

    async fn put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        let take = |left: u64| left.checked_sub(1);
        match self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
        {
            Ok(1) => {
                self.inner.put(name, content.clone()).await?;
                self.failing.put(name, content).await
            }
            Ok(_) => self.inner.put(name, content).await,
            Err(_) => self.failing.put(name, content).await,
        }
    }

    async fn get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        self.inner.get(name, at_most).await
    }

    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        self.inner.list(prefix, from, at_most).await
    }

    async fn delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        self.inner.delete(name).await
    }
}
