//! A container of Azure Blob storage, or of Azurite. Only this folder knows the `azure_*` crates.
//!
//! The crates build requests and read answers; sending is [`transport`], which also adds the SAS token, so that
//! the crates' logs and errors never see it. Their retries are off: [`super::retry`] does that for every container.

mod refusal;
mod transport;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::prelude::{MaxResults, NextMarker};
use azure_core::{Pageable, RetryOptions, StatusCode, TransportOptions};
use azure_storage::{CloudLocation, StorageCredentials};
use azure_storage_blobs::prelude::{BlobClient, ClientBuilder, ContainerClient};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use url::Url;

use super::error::Answer;
use super::token::TokenSource;
use super::{
    BlobEntry, BlobName, Container, ContainerError, ContainerErrorKind, ListMarker, ListPage,
    MAX_BLOB_BYTES, Operation, PutBody,
};
use refusal::Refusal;
use transport::{BrokenTransport, Transport};

/// The most blobs that the service lists in one page.
const MAX_PAGE: u32 = 5000;

/// How long to wait for the other side, for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// For a connection: name, TCP and TLS. 10 s.
    pub connect: Duration,
    /// For the next piece of an answer; for its beginning, what the request's content may take is added. 60 s.
    pub silence: Duration,
    /// The slowest pace at which content is still worth being sent, in bytes per second. 64 KiB.
    pub slowest: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(60),
            // A segment of 8 MiB may take three minutes and a half: many uploads share a thin line.
            slowest: 64 << 10,
        }
    }
}

/// A container of a storage account, reached with a SAS token.
#[derive(Debug)]
pub struct Azure {
    location: String,
    client: ContainerClient,
}

impl Azure {
    /// Prepares the way to a container; asks the service nothing yet.
    ///
    /// `endpoint` is the account's blob endpoint. Fails when the system's TLS certificates cannot be loaded.
    pub fn new(
        endpoint: &Url,
        account: &str,
        container: &str,
        tokens: TokenSource,
        patience: Patience,
    ) -> Result<Self, ContainerError> {
        let endpoint_text = endpoint.as_str().trim_end_matches('/');
        let location = format!("{endpoint_text}/{container}");
        let transport = Transport::new(endpoint, Arc::new(tokens), patience).map_err(|broken| {
            let kind = ContainerErrorKind::Network(broken.failure);
            ContainerError::new(kind, Operation::Open, &*location).with_detail(broken.detail)
        })?;
        let place = CloudLocation::Custom {
            account: account.to_owned(),
            uri: endpoint_text.to_owned(),
        };
        // Anonymous, because the transport adds the token.
        let client = ClientBuilder::with_location(place, StorageCredentials::anonymous())
            .retry(RetryOptions::none())
            .transport(TransportOptions::new(Arc::new(transport)))
            .container_client(container);
        Ok(Self { location, client })
    }

    fn blob(&self, name: &BlobName) -> BlobClient {
        self.client.blob_client(name.as_str())
    }

    fn plain_error(
        &self,
        kind: ContainerErrorKind,
        operation: Operation,
        blob: Option<&BlobName>,
    ) -> ContainerError {
        let error = ContainerError::new(kind, operation, &*self.location);
        match blob {
            Some(name) => error.with_blob(name.as_str()),
            None => error,
        }
    }

    fn error(
        &self,
        error: &azure_core::Error,
        operation: Operation,
        blob: Option<&BlobName>,
    ) -> ContainerError {
        if let Some(refusal) = find::<Refusal>(error) {
            return self
                .plain_error(refusal.kind.clone(), operation, blob)
                .with_answer(Answer {
                    status: refusal.status,
                    code: refusal.code.clone(),
                    request_id: refusal.request_id.clone(),
                })
                .with_optional_detail(refusal.detail.clone())
                .with_optional_advice(refusal.advice.clone());
        }
        if let Some(broken) = find::<BrokenTransport>(error) {
            let kind = ContainerErrorKind::Network(broken.failure);
            return self
                .plain_error(kind, operation, blob)
                .with_detail(&*broken.detail);
        }
        // The crates could not read a header or the listing. They never saw the token.
        self.plain_error(ContainerErrorKind::Protocol, operation, blob)
            .with_detail(error.to_string())
    }
}

/// Looks for one of the transport's errors under what the crates wrap around it.
fn find<E: std::error::Error + 'static>(error: &azure_core::Error) -> Option<&E> {
    let mut inner: &(dyn std::error::Error + 'static) = error.get_ref()?;
    loop {
        match inner.downcast_ref::<E>() {
            Some(found) => return Some(found),
            None => inner = inner.source()?,
        }
    }
}

/// The first page of a request; the crates' stream would go on by itself.
async fn first<P: azure_core::Continuable + Send + 'static>(
    mut pages: Pageable<P, azure_core::Error>,
) -> Result<Option<P>, azure_core::Error>
where
    P::Continuation: Send,
{
    pages.next().await.transpose()
}

#[async_trait]
impl Container for Azure {
    fn location(&self) -> &str {
        &self.location
    }

    async fn put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        if content.bytes.len() as u64 > MAX_BLOB_BYTES {
            let kind = ContainerErrorKind::TooLarge;
            return Err(self.plain_error(kind, Operation::Put, Some(name)));
        }
        self.blob(name)
            .put_block_blob(content.bytes)
            .content_type(content.kind.content_type())
            .await
            .map(|_| ())
            .map_err(|error| self.error(&error, Operation::Put, Some(name)))
    }

    async fn get(&self, name: &BlobName) -> Result<Bytes, ContainerError> {
        let failed = |error: azure_core::Error| self.error(&error, Operation::Get, Some(name));
        // One request, since the whole of any blob that we take fits into one.
        let pages = self
            .blob(name)
            .get()
            .chunk_size(MAX_BLOB_BYTES)
            .into_stream();
        let page = match first(pages).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(Bytes::new()),
            // The crate always asks for a range, and an empty blob has none: 416.
            Err(error) => match find::<Refusal>(&error) {
                Some(refusal)
                    if refusal.status == u16::from(StatusCode::RequestedRangeNotSatisfiable) =>
                {
                    return Ok(Bytes::new());
                }
                _ => return Err(failed(error)),
            },
        };
        if page.remaining_range.is_some() {
            let kind = ContainerErrorKind::TooLarge;
            return Err(self.plain_error(kind, Operation::Get, Some(name)));
        }
        let mut pieces = page.data;
        let Some(whole) = pieces.next().await else {
            return Ok(Bytes::new());
        };
        let whole = whole.map_err(failed)?;
        // The transport hands out the body in one piece; should that change, nothing is lost.
        let Some(next) = pieces.next().await else {
            return Ok(whole);
        };
        let mut joined = BytesMut::from(whole);
        joined.extend_from_slice(&next.map_err(failed)?);
        while let Some(piece) = pieces.next().await {
            joined.extend_from_slice(&piece.map_err(failed)?);
        }
        Ok(joined.freeze())
    }

    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        let at_most = NonZeroU32::new(at_most.min(MAX_PAGE)).unwrap_or(NonZeroU32::MIN);
        let mut request = self
            .client
            .list_blobs()
            .max_results(MaxResults::new(at_most));
        if !prefix.is_empty() {
            request = request.prefix(prefix.to_owned());
        }
        if let Some(ListMarker(marker)) = from {
            let marker = String::from_utf8(marker).map_err(|_| {
                self.plain_error(ContainerErrorKind::Protocol, Operation::List, None)
                    .with_detail("the marker is of another container")
            })?;
            request = request.marker(NextMarker::new(marker));
        }
        let page = first(request.into_stream())
            .await
            .map_err(|error| self.error(&error, Operation::List, None))?;
        let Some(page) = page else {
            return Ok(ListPage {
                blobs: Vec::new(),
                next: None,
            });
        };
        let blobs = page
            .blobs
            .blobs()
            .map(|blob| BlobEntry {
                name: blob.name.clone(),
                size: blob.properties.content_length,
            })
            .collect();
        let next = page
            .next_marker
            .map(|marker| ListMarker(marker.as_str().as_bytes().to_vec()));
        Ok(ListPage { blobs, next })
    }

    async fn delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        let outcome = self.blob(name).delete().await;
        match outcome {
            Ok(_) => Ok(()),
            Err(error) => match self.error(&error, Operation::Delete, Some(name)) {
                missing if *missing.kind() == ContainerErrorKind::BlobMissing => Ok(()),
                other => Err(other),
            },
        }
    }
}

#[cfg(test)]
mod tests;
