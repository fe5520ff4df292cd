//! A container that fails for good after so many puts, as if the process had ended there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use clfsload::container::memory::InMemory;
use clfsload::container::{BlobName, Container, ContainerError, ListMarker, ListPage, PutBody};

/// Passes a number of puts on; the one after them is stored, and unanswered for its caller: a
/// lost answer. Nothing else gets through any more.
#[derive(Debug)]
pub(crate) struct EndsAfter<C> {
    pub(crate) inner: Arc<C>,
    left: AtomicU64,
    /// Gives the errors.
    gone: InMemory,
}

impl<C> EndsAfter<C> {
    pub(crate) fn new(inner: Arc<C>, puts: u64) -> Self {
        let gone = InMemory::new();
        gone.remove_container();
        EndsAfter {
            inner,
            left: AtomicU64::new(puts),
            gone,
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
                self.gone.put(name, content).await
            }
            Ok(_) => self.inner.put(name, content).await,
            Err(_) => self.gone.put(name, content).await,
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
