//! Names of hosts to addresses, a few at a time.
//!
//! getaddrinfo(3) holds a thread until it answers, and nothing can end it: without a bound, a name service that is away
//! would take the runtime's threads for blocking work, one for each request that is tried again.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::Semaphore;
use tower_service::Service;

/// Far more than a transfer to one host needs while names resolve.
const AT_ONCE: usize = 16;

type Addresses = std::vec::IntoIter<SocketAddr>;
type Lookup = fn(&str) -> io::Result<Addresses>;

/// The system's resolver.
#[derive(Clone)]
pub(super) struct Resolver {
    lookup: Lookup,
    places: Arc<Semaphore>,
}

impl Resolver {
    pub(super) fn new() -> Self {
        // The connector puts its own port into the addresses.
        Self::with(|name| (name, 0).to_socket_addrs())
    }

    fn with(lookup: Lookup) -> Self {
        Self {
            lookup,
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    fn resolve(&self, name: String) -> impl Future<Output = io::Result<Addresses>> + use<> {
        let (lookup, places) = (self.lookup, Arc::clone(&self.places));
        async move {
            let place = places.acquire_owned().await.map_err(io::Error::other)?;
            // The lookup keeps its place when nobody waits for it any more: its thread is still held.
            let looked_up = tokio::task::spawn_blocking(move || {
                let _place = place;
                lookup(&name)
            });
            looked_up.await.map_err(io::Error::other)?
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

    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);

    fn slow(_: &str) -> io::Result<Addresses> {
        MOST.fetch_max(INSIDE.fetch_add(1, SeqCst) + 1, SeqCst);
        std::thread::sleep(Duration::from_millis(200));
        INSIDE.fetch_sub(1, SeqCst);
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))].into_iter())
    }

    #[tokio::test]
    async fn lookups_that_nobody_waits_for_count_too() {
        let resolver = Resolver::with(slow);
        let given_up = (0..64).map(|_| {
            let lookup = resolver.resolve("account.invalid".to_owned());
            tokio::time::timeout(Duration::from_millis(50), lookup)
        });
        let given_up = futures::future::join_all(given_up).await;
        assert!(given_up.iter().all(Result::is_err));
        let others = (0..32).map(|_| resolver.resolve("account.invalid".to_owned()));
        for found in futures::future::join_all(others).await {
            assert_eq!(found.unwrap().count(), 1);
        }
        assert_eq!(MOST.load(SeqCst), AT_ONCE);
    }
}
