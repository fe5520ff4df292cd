//! A container that fails for good after so many puts, as if the process had ended there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use clfsload::container::memory::InMemory;
use clfsload::container::wrapper::Wrapper;
use clfsload::container::{BlobName, Container, ContainerError, PutBody};

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
impl<C: Container> Wrapper for EndsAfter<C> {
    fn wrapped(&self) -> &dyn Container {
        &self.inner
    }

    async fn on_put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
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
}
