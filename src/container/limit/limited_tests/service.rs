//! A service in paused time, with a delay and a rate.

use std::sync::Mutex;

use super::*;

/// Answers after a time, and turns away what comes above a rate.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) delay: Duration,
    /// Requests a second, and the tokens of its bucket since a moment; 0: any number.
    pub(super) rate: AtomicU64,
    bucket: Mutex<(f64, Instant)>,
    pub(super) down: AtomicBool,
    /// So many of the next requests are turned away.
    pub(super) refusals: AtomicU64,
    pub(super) inside: AtomicUsize,
    pub(super) most_inside: AtomicUsize,
    pub(super) taken: AtomicU64,
    pub(super) turned_away: AtomicU64,
}

impl Service {
    pub(super) fn new(delay: Duration, rate: u64) -> Arc<Service> {
        Arc::new(Service {
            delay,
            rate: AtomicU64::new(rate),
            bucket: Mutex::new((0.0, Instant::now())),
            down: AtomicBool::new(false),
            refusals: AtomicU64::new(0),
            inside: AtomicUsize::new(0),
            most_inside: AtomicUsize::new(0),
            taken: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        })
    }

    fn has_token(&self) -> bool {
        let refuse = |left: u64| left.checked_sub(1);
        if self.refusals.fetch_update(SeqCst, SeqCst, refuse).is_ok() {
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
        let taken = tokens >= 1.0;
        *bucket = (if taken { tokens - 1.0 } else { tokens }, now);
        taken
    }

    async fn answer(&self) -> Result<(), ContainerError> {
        let inside = self.inside.fetch_add(1, SeqCst) + 1;
        self.most_inside.fetch_max(inside, SeqCst);
        let error = |kind| Err(ContainerError::new(kind, Operation::Put, "service"));
        let outcome = if self.down.load(SeqCst) {
            error(ContainerErrorKind::Network(NetworkFailure::Connect))
        } else if self.has_token() {
            sleep(self.delay).await;
            self.taken.fetch_add(1, SeqCst);
            Ok(())
        } else {
            sleep(self.delay / 4).await;
            self.turned_away.fetch_add(1, SeqCst);
            error(ContainerErrorKind::Throttled { retry_after: None })
        };
        self.inside.fetch_sub(1, SeqCst);
        outcome
    }
}

#[async_trait]
impl Container for Service {
    fn location(&self) -> &str {
        "service"
    }
    async fn put(&self, _: &BlobName, _: PutBody) -> Result<(), ContainerError> {
        self.answer().await
    }
    async fn get(&self, _: &BlobName, _: u64) -> Result<Bytes, ContainerError> {
        self.answer().await.map(|()| Bytes::new())
    }
    async fn list(
        &self,
        _: &str,
        _: Option<ListMarker>,
        _: u32,
    ) -> Result<ListPage, ContainerError> {
        self.answer().await.map(|()| ListPage {
            blobs: Vec::new(),
            next: None,
        })
    }
    async fn delete(&self, _: &BlobName) -> Result<(), ContainerError> {
        self.answer().await
    }
}
