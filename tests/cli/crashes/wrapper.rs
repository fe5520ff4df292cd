//! A container that fails permanently after a number of uploads, as if the process had crashed there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use clfsload::container::memory::InMemory;
use clfsload::container::wrapper::Wrapper;
use clfsload::container::{BlobName, Container, ContainerError, PutBody};

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
                self.failing.put(name, content).await
            }
            Ok(_) => self.inner.put(name, content).await,
            Err(_) => self.failing.put(name, content).await,
        }
    }
}
