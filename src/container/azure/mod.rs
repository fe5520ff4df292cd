//! A container in Azure Blob storage or Azurite, over the service's REST interface.
//!
//! [`request`] builds the requests, [`transport`] sends them with the SAS token over the connections of [`connect`], and
//! [`listing`], [`refusal`] and [`transport_error`] parse the responses and errors. [`super::retry`] retries failed calls,
//! as for every container, with two exceptions: a request whose token the service rejects is sent again with each new
//! token in the file, and the HTTP client sends a request again if an idle connection closed before it accepted any byte.

mod bodies;
mod connect;
mod listing;
mod proxy;
mod refusal;
mod request;
mod resolve;
mod transport;
mod transport_error;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

use super::credential::TokenSource;
use super::error::ErrorResponse;
use super::{
    BlobName, Container, ContainerError, ContainerErrorKind, ListMarker, ListPage, MAX_BLOB_BYTES,
    Operation, PutBody,
};
use request::Call;
use transport::{CallFailure, FailureReason, Response, Transport};

/// The maximum number of blobs in one page of the service's listings.
const MAX_PAGE: u32 = 5000;

/// The timeouts of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection: name resolution, TCP and TLS. 10 s.
    pub connect: Duration,
    /// For the next bytes of a response. The timeout for the first bytes is longer by the time that the request's content
    /// takes at `min_rate`, and the timeout for the complete response by the time that the response takes. 60 s.
    pub response: Duration,
    /// The minimum rate at which content must be sent and received, in bytes per second. 64 KiB.
    pub min_rate: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            response: Duration::from_secs(60),
            // A segment of 8 MiB may take three and a half minutes, because many uploads may share a slow connection.
            min_rate: 64 << 10,
        }
    }
}

/// A container in a storage account, accessed with a SAS token.
#[derive(Debug)]
pub(crate) struct Azure {
    location: String,
    transport: Transport,
}

impl Azure {
    /// Creates a client for a container. Sends no request.
    ///
    /// `endpoint` is the account's blob endpoint.
    ///
    /// # Errors
    /// If the system's root certificates cannot be loaded, or the environment names a proxy that cannot be used.
    pub(crate) fn new(
        endpoint: &Url,
        container: &str,
        tokens: TokenSource,
        timeouts: Timeouts,
    ) -> Result<Self, ContainerError> {
        let location = location(endpoint, container);
        let mut url = endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(container);
        }
        let transport = Transport::new(&url, tokens, timeouts).map_err(|error| {
            let kind = ContainerErrorKind::Network(error.failure);
            ContainerError::new(kind, Operation::Open, &*location).with_detail(error.detail)
        })?;
        Ok(Self {
            location,
            transport,
        })
    }

    async fn send(&self, call: Call<'_>) -> Result<Bytes, ContainerError> {
        let sent = self.transport.send(&call).await;
        let content = sent.map(|response| response.content);
        content.map_err(|failure| self.error(failure, &call))
    }

    fn error(&self, failure: CallFailure, call: &Call<'_>) -> ContainerError {
        let error = |kind| {
            ContainerError::new(kind, call.operation(), &*self.location)
                .with_optional_blob(call.blob())
        };
        let CallFailure { reason, response } = failure;
        let error = match reason {
            FailureReason::Refused(refusal) => error(refusal.kind)
                .with_response(ErrorResponse {
                    status: refusal.status,
                    code: refusal.code,
                    request_id: refusal.request_id,
                })
                .with_optional_detail(refusal.detail)
                .with_optional_advice(refusal.advice),
            FailureReason::Transport(transport) => {
                error(ContainerErrorKind::Network(transport.failure)).with_detail(transport.detail)
            }
            FailureReason::TooLarge(at_most) => error(ContainerErrorKind::TooLarge)
                .with_detail(format!("more than {at_most} bytes")),
            FailureReason::Protocol(reason) => {
                error(ContainerErrorKind::Protocol).with_detail(reason)
            }
        };
        match response {
            Some(response) => error.with_response(response),
            None => error,
        }
    }
}

#[async_trait]
impl Container for Azure {
    fn location(&self) -> &str {
        &self.location
    }

    async fn put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        let call = Call::Put {
            name,
            content: &content,
        };
        if call.content_bytes() > MAX_BLOB_BYTES {
            return Err(self.error(FailureReason::TooLarge(MAX_BLOB_BYTES).into(), &call));
        }
        self.send(call).await.map(drop)
    }

    async fn get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        let at_most = at_most.min(MAX_BLOB_BYTES);
        self.send(Call::Get { name, at_most }).await
    }

    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        let other = |_| {
            ContainerError::new(
                ContainerErrorKind::Protocol,
                Operation::List,
                &*self.location,
            )
            .with_detail("the marker belongs to another container")
        };
        let marker = from
            .map(|ListMarker(marker)| String::from_utf8(marker))
            .transpose()
            .map_err(other)?;
        let call = Call::List {
            prefix,
            marker: marker.as_deref(),
            at_most: at_most.clamp(1, MAX_PAGE),
        };
        let listed = match self.transport.send(&call).await {
            Ok(Response {
                content,
                head,
                _share,
            }) => listing::read_page(&content).map_err(|invalid| CallFailure {
                reason: FailureReason::Protocol(invalid.to_string()),
                response: head,
            }),
            Err(failure) => Err(failure),
        };
        listed.map_err(|failure| self.error(failure, &call))
    }

    async fn delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        match self.send(Call::Delete { name }).await {
            Err(missing) if *missing.kind() == ContainerErrorKind::BlobMissing => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}

/// Returns the URL of a container, for messages and as its identity.
pub(super) fn location(endpoint: &Url, container: &str) -> String {
    format!("{}/{container}", endpoint.as_str().trim_end_matches('/'))
}

#[cfg(test)]
mod tests;
