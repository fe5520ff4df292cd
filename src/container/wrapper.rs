//! Wrappers that change some of the calls to a container, such as those that inject faults and count calls in tests.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use super::{BlobName, Container, ContainerError, ListMarker, ListPage, PutBody};

/// A container that forwards calls to another one. An implementation overrides the calls that it changes.
#[async_trait]
pub trait Wrapper: Send + Sync + fmt::Debug + 'static {
    /// Returns the wrapped container.
    fn wrapped(&self) -> &dyn Container;

    /// Implements [`Container::put`].
    async fn on_put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        self.wrapped().put(name, content).await
    }

    /// Implements [`Container::get`].
    async fn on_get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        self.wrapped().get(name, at_most).await
    }

    /// Implements [`Container::list`].
    async fn on_list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        self.wrapped().list(prefix, from, at_most).await
    }

    /// Implements [`Container::delete`].
    async fn on_delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        self.wrapped().delete(name).await
    }
}

#[async_trait]
impl<W: Wrapper> Container for W {
    fn location(&self) -> &str {
        self.wrapped().location()
    }

    async fn put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        self.on_put(name, content).await
    }

    async fn get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        self.on_get(name, at_most).await
    }

    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        self.on_list(prefix, from, at_most).await
    }

    async fn delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        self.on_delete(name).await
    }
}
