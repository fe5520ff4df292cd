//! A simulated service with a latency and a rate limit.

use std::sync::Mutex;

use super::*;

/// Responds after `latency`, and throttles requests beyond `rate`.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) latency: Duration,
    /// Maximum requests per second; 0 is unlimited.
    pub(super) rate: AtomicU64,
    /// The tokens of a bucket that is refilled at `rate`, and the time of the last refill.
    bucket: Mutex<(f64, Instant)>,
    pub(super) is_down: AtomicBool,
    /// The number of next requests to throttle.
    pub(super) rejections: AtomicU64,
    pub(super) concurrent: AtomicUsize,
    pub(super) max_concurrent: AtomicUsize,
    pub(super) accepted: AtomicU64,
    pub(super) throttled: AtomicU64,
}

impl Service {
    pub(super) fn new(latency: Duration, rate: u64) -> Arc<Service> {
        Arc::new(Service {
            latency,
            rate: AtomicU64::new(rate),
            bucket: Mutex::new((0.0, Instant::now())),
            is_down: AtomicBool::new(false),
            rejections: AtomicU64::new(0),
            concurrent: AtomicUsize::new(0),
            max_concurrent: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
        })
    }

    fn take_token(&self) -> bool {
        let decrement = |left: u64| left.checked_sub(1);
        if self
            .rejections
            .fetch_update(SeqCst, SeqCst, decrement)
            .is_ok()
        {
            return false;
        }
        let rate = self.rate.load(SeqCst) as f64;
        if rate == 0.0 {
            return true;
        }
        let mut bucket = self.bucket.lock().unwrap();
        let now = Instant::now();
        let (tokens, since) = *bucket;
        let tokens = (tokens + rate * now.duration_since(since).as_secs_f64()).min(rate * 0.1);
        let has_token = tokens >= 1.0;
        *bucket = (if has_token { tokens - 1.0 } else { tokens }, now);
        has_token
    }

    async fn respond(&self) -> Result<(), ContainerError> {
        let concurrent = self.concurrent.fetch_add(1, SeqCst) + 1;
        self.max_concurrent.fetch_max(concurrent, SeqCst);
        let error = |kind| Err(ContainerError::new(kind, Operation::Put, "service"));
        let outcome = if self.is_down.load(SeqCst) {
            error(ContainerErrorKind::Network(NetworkFailure::Connect))
        } else if self.take_token() {
            sleep(self.latency).await;
            self.accepted.fetch_add(1, SeqCst);
            Ok(())
        } else {
            sleep(self.latency / 4).await;
            self.throttled.fetch_add(1, SeqCst);
            error(ContainerErrorKind::Throttled { retry_after: None })
        };
        self.concurrent.fetch_sub(1, SeqCst);
        outcome
    }
}

#[async_trait]
impl Container for Service {
    fn location(&self) -> &str {
        "service"
    }
    async fn put(&self, _: &BlobName, _: PutBody) -> Result<(), ContainerError> {
        self.respond().await
    }
    async fn get(&self, _: &BlobName, _: u64) -> Result<Bytes, ContainerError> {
        self.respond().await.map(|()| Bytes::new())
    }
    async fn list(
        &self,
        _: &str,
        _: Option<ListMarker>,
        _: u32,
    ) -> Result<ListPage, ContainerError> {
        self.respond().await.map(|()| ListPage {
            blobs: Vec::new(),
            next: None,
        })
    }
    async fn delete(&self, _: &BlobName) -> Result<(), ContainerError> {
        self.respond().await
    }
}
