//! Tasks of readers: downloads ahead, and work that blocks.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::{JoinError, JoinHandle};

use super::ReadError;

/// A download that runs ahead as a task of its own; dropping it aborts the task.
///
/// A future in a list is not polled while its owner awaits another one. It would hold its request slot
/// meanwhile, and its timeouts would expire. A task keeps running.
pub(crate) struct Ahead<T>(JoinHandle<Result<T, ReadError>>);

impl<T: Send + 'static> Ahead<T> {
    pub(crate) fn start(
        download: impl Future<Output = Result<T, ReadError>> + Send + 'static,
    ) -> Self {
        Self(tokio::spawn(download))
    }
}

impl<T> Future for Ahead<T> {
    type Output = Result<T, ReadError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|ended| joined(ended)?)
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs work that blocks on a thread for such work.
///
/// # Errors
/// [`ReadError::Stopped`] if the runtime is being shut down.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ReadError> {
    joined(tokio::task::spawn_blocking(work).await)
}

/// Returns the result of a task, or continues its panic.
///
/// # Errors
/// [`ReadError::Stopped`] if the runtime is being shut down.
pub(crate) fn joined<T>(ended: Result<T, JoinError>) -> Result<T, ReadError> {
    ended.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => ReadError::Stopped,
    })
}
