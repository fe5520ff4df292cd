//! Something that is fetched ahead, as a task of its own.
//!
//! A future that waits in a list is not polled while its owner awaits something else; it would
//! meanwhile hold its place among the requests, and its patience with a broken connection would
//! run out. A task goes on.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;

use super::ReadError;

/// Ends its task when it is dropped.
pub(crate) struct Ahead<T>(JoinHandle<Result<T, ReadError>>);

impl<T: Send + 'static> Ahead<T> {
    pub(crate) fn start(
        fetch: impl Future<Output = Result<T, ReadError>> + Send + 'static,
    ) -> Self {
        Self(tokio::spawn(fetch))
    }
}

impl<T> Future for Ahead<T> {
    type Output = Result<T, ReadError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|ended| match ended {
                Ok(fetched) => fetched,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime is being shut down.
                    Err(_) => Err(ReadError::Stopped),
                },
            })
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
