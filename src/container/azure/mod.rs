//! A container of Azure Blob storage, or of Azurite, over the service's REST interface.
//!
//! [`request`] knows what the service wants to be asked, [`transport`] sends it with the SAS token over connections of
//! [`connect`], and what comes back is read by [`listing`], [`refusal`] and [`broken`]. What fails is tried again by
//! [`super::retry`], as for every container, with two exceptions: a request whose token the service rejects goes once more
//! with each other token of the file, and one that an idle connection took no byte of before it closed goes over
//! another one, inside the HTTP client.

mod bodies;
mod broken;
mod connect;
mod listing;
mod proxy;
mod refusal;
mod request;
mod resolve;
mod transport;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

use super::error::Answer;
use super::token::TokenSource;
use super::{
    BlobName, Container, ContainerError, ContainerErrorKind, ListMarker, ListPage, MAX_BLOB_BYTES,
    Operation, PutBody,
};
use request::Call;
use transport::{Answered, Failure, Reason, Transport};

/// The most blobs that the service lists in one page.
const MAX_PAGE: u32 = 5000;

/// How long to wait for the other side, for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// For a connection: name, TCP and TLS. 10 s.
    pub connect: Duration,
    /// For the next piece of an answer; for its beginning, what the request's content may take is added. For a whole
    /// answer, what it may take at the slowest pace is added. 60 s.
    pub silence: Duration,
    /// The slowest pace at which content is still worth being sent or received, in bytes per second. 64 KiB.
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
    transport: Transport,
}

impl Azure {
    /// Prepares the way to a container; asks the service nothing yet.
    ///
    /// `endpoint` is the account's blob endpoint. Fails when the system's TLS certificates cannot be loaded, or when
    /// the environment names a proxy that cannot be used.
    pub fn new(
        endpoint: &Url,
        container: &str,
        tokens: TokenSource,
        patience: Patience,
    ) -> Result<Self, ContainerError> {
        let location = format!("{}/{container}", endpoint.as_str().trim_end_matches('/'));
        let mut url = endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(container);
        }
        let transport = Transport::new(&url, tokens, patience).map_err(|broken| {
            let kind = ContainerErrorKind::Network(broken.failure);
            ContainerError::new(kind, Operation::Open, &*location).with_detail(broken.detail)
        })?;
        Ok(Self {
            location,
            transport,
        })
    }

    async fn send(&self, call: Call<'_>) -> Result<Bytes, ContainerError> {
        let sent = self.transport.send(&call).await;
        let content = sent.map(|answered| answered.content);
        content.map_err(|failure| self.error(failure, &call))
    }

    fn error(&self, failure: Failure, call: &Call<'_>) -> ContainerError {
        let error = |kind| {
            let error = ContainerError::new(kind, call.operation(), &*self.location);
            match call.blob() {
                Some(name) => error.with_blob(name.as_str()),
                None => error,
            }
        };
        let Failure { reason, answer } = failure;
        let error = match reason {
            Reason::Refused(refusal) => error(refusal.kind)
                .with_answer(Answer {
                    status: refusal.status,
                    code: refusal.code,
                    request_id: refusal.request_id,
                })
                .with_optional_detail(refusal.detail)
                .with_optional_advice(refusal.advice),
            Reason::Broken(broken) => {
                error(ContainerErrorKind::Network(broken.failure)).with_detail(broken.detail)
            }
            Reason::TooLarge(at_most) => error(ContainerErrorKind::TooLarge)
                .with_detail(format!("more than {at_most} bytes")),
            Reason::Protocol(reason) => error(ContainerErrorKind::Protocol).with_detail(reason),
        };
        match answer {
            Some(answer) => error.with_answer(answer),
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
            return Err(self.error(Reason::TooLarge(MAX_BLOB_BYTES).into(), &call));
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
            .with_detail("the marker is of another container")
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
            Ok(Answered {
                content,
                answer,
                _share,
            }) => listing::read_page(&content).map_err(|invalid| Failure {
                reason: Reason::Protocol(invalid.to_string()),
                answer,
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

#[cfg(test)]
mod tests;
