//! Name resolution with a limit on concurrent lookups.
//!
//! getaddrinfo(3) blocks a thread until it returns and cannot be cancelled. Without a limit, an unavailable name service
//! would block all of the runtime's threads for blocking work, one for each retried request.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::Semaphore;
use tower_service::Service;

/// The maximum number of concurrent lookups, far more than a transfer to one host needs while names resolve.
const MAX_LOOKUPS: usize = 16;

type Addresses = std::vec::IntoIter<SocketAddr>;
type Lookup = fn(&str) -> io::Result<Addresses>;

/// The system's resolver.
#[derive(Clone)]
pub(super) struct Resolver {
    lookup: Lookup,
    permits: Arc<Semaphore>,
}

impl Resolver {
    pub(super) fn new() -> Self {
        // The connector replaces the port.
        Self::with(|name| (name, 0).to_socket_addrs())
    }

    fn with(lookup: Lookup) -> Self {
        Self {
            lookup,
            permits: Arc::new(Semaphore::new(MAX_LOOKUPS)),
        }
    }

    fn resolve(&self, name: String) -> impl Future<Output = io::Result<Addresses>> + use<> {
        let (lookup, permits) = (self.lookup, Arc::clone(&self.permits));
        async move {
            let permit = permits.acquire_owned().await.map_err(io::Error::other)?;
            // A cancelled lookup keeps its permit, because its thread is still blocked.
            let addresses = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                lookup(&name)
            });
            addresses.await.map_err(io::Error::other)?
        }
    }
}

impl Service<Name> for Resolver {
    type Response = Addresses;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Addresses>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(self.resolve(name.as_str().to_owned()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;

    use super::*;

    static ACTIVE: AtomicUsize = AtomicUsize::new(0);
    static PEAK: AtomicUsize = AtomicUsize::new(0);

    fn slow(_: &str) -> io::Result<Addresses> {
        PEAK.fetch_max(ACTIVE.fetch_add(1, SeqCst) + 1, SeqCst);
        std::thread::sleep(Duration::from_millis(200));
        ACTIVE.fetch_sub(1, SeqCst);
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))].into_iter())
    }

    #[tokio::test]
    async fn cancelled_lookups_count_too() {
        let resolver = Resolver::with(slow);
        let cancelled = (0..64).map(|_| {
            let lookup = resolver.resolve("account.invalid".to_owned());
            tokio::time::timeout(Duration::from_millis(50), lookup)
        });
        let cancelled = futures::future::join_all(cancelled).await;
        assert!(cancelled.iter().all(Result::is_err));
        let others = (0..32).map(|_| resolver.resolve("account.invalid".to_owned()));
        for found in futures::future::join_all(others).await {
            assert_eq!(found.unwrap().count(), 1);
        }
        assert_eq!(PEAK.load(SeqCst), MAX_LOOKUPS);
    }
}
