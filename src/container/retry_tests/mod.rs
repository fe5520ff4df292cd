#![allow(clippy::unwrap_used, clippy::panic)]

mod notices;
mod one_blob;

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::container::error::ErrorResponse;
use crate::container::memory::InMemory;
use crate::container::wrapper::Wrapper;
use crate::container::{ContainerErrorKind, NetworkFailure};

/// Fails with the given kinds first, then forwards calls.
#[derive(Debug)]
struct Failing {
    inner: InMemory,
    kinds: Mutex<VecDeque<ContainerErrorKind>>,
    endless: Option<ContainerErrorKind>,
}

impl Failing {
    fn first(kinds: impl IntoIterator<Item = ContainerErrorKind>) -> Self {
        Self {
            inner: InMemory::new(),
            kinds: Mutex::new(kinds.into_iter().collect()),
            endless: None,
        }
    }

    fn always(kind: ContainerErrorKind) -> Self {
        Self {
            endless: Some(kind),
            ..Self::first([])
        }
    }

    fn fail(&self, operation: Operation) -> Result<(), ContainerError> {
        let next = self.kinds.lock().unwrap().pop_front();
        match next.or(self.endless.clone()) {
            Some(kind) => Err(ContainerError::new(kind, operation, "failing")),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Wrapper for Failing {
    fn wrapped(&self) -> &dyn Container {
        &self.inner
    }

    async fn on_put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        self.fail(Operation::Put)?;
        self.inner.put(name, content).await
    }

    async fn on_get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        self.fail(Operation::Get)?;
        self.inner.get(name, at_most).await
    }

    async fn on_list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        self.fail(Operation::List)?;
        self.inner.list(prefix, from, at_most).await
    }

    async fn on_delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        self.fail(Operation::Delete)?;
        self.inner.delete(name).await
    }
}

const SERVER: ContainerErrorKind = ContainerErrorKind::Server { retry_after: None };
const RESET: ContainerErrorKind = ContainerErrorKind::Network(NetworkFailure::Reset);

type Waits = Arc<Mutex<Vec<(Operation, u32, Duration)>>>;

fn watched(failing: Failing, policy: RetryPolicy) -> (Retrying<Failing>, Waits) {
    let waits = Waits::default();
    let seen = Arc::clone(&waits);
    let observer: NoticeObserver = Arc::new(move |notice| {
        if let Notice::AttemptFailed {
            attempt,
            delay,
            error,
        } = notice
        {
            let wait = (error.operation(), *attempt, *delay);
            seen.lock().unwrap().push(wait);
        }
    });
    (Retrying::new(failing, policy).with_notices(observer), waits)
}

/// The size limit of a get, where it does not matter.
const MAX: u64 = crate::container::MAX_BLOB_BYTES;

fn name() -> BlobName {
    BlobName::new("blob").unwrap()
}

#[tokio::test(start_paused = true)]
async fn transient_errors_are_retried_after_a_backoff() {
    let throttled = ContainerErrorKind::Throttled { retry_after: None };
    let (container, waits) = watched(
        Failing::first([SERVER, RESET, throttled]),
        RetryPolicy::default(),
    );
    let started = Instant::now();
    container.put(&name(), PutBody::object("x")).await.unwrap();
    let waits = waits.lock().unwrap().clone();
    assert_eq!(
        waits.iter().map(|wait| wait.1).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert!(waits.iter().all(|wait| wait.0 == Operation::Put));
    let total: Duration = waits.iter().map(|wait| wait.2).sum();
    assert!(started.elapsed() >= total, "no backoff");
    assert_eq!(container.get(&name(), MAX).await.unwrap(), "x");
}

/// Records the gauge at each attempt.
#[derive(Debug)]
struct Gauging {
    inner: Failing,
    gauge: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<usize>>>,
}

#[async_trait]
impl Wrapper for Gauging {
    fn wrapped(&self) -> &dyn Container {
        &self.inner
    }

    async fn on_put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        self.seen.lock().unwrap().push(self.gauge.load(Relaxed));
        self.inner.put(name, content).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_gauge_counts_calls_in_backoff() {
    for kind in [
        SERVER,
        ContainerErrorKind::Throttled {
            retry_after: Some(Duration::from_secs(3)),
        },
    ] {
        let gauge = Arc::new(AtomicUsize::new(0));
        let seen = Arc::<Mutex<Vec<usize>>>::default();
        let gauging = Gauging {
            inner: Failing::first([kind.clone(), kind]),
            gauge: Arc::clone(&gauge),
            seen: Arc::clone(&seen),
        };
        // The notice precedes the backoff.
        let waiting = Arc::new(Mutex::new(Vec::new()));
        let (recorded, before) = (Arc::clone(&waiting), Arc::clone(&gauge));
        let observer: NoticeObserver = Arc::new(move |notice| {
            if let Notice::AttemptFailed { delay, .. } = notice {
                let (gauge, recorded, delay) = (Arc::clone(&before), Arc::clone(&recorded), *delay);
                tokio::spawn(async move {
                    tokio::time::sleep(delay / 2).await;
                    recorded.lock().unwrap().push(gauge.load(Relaxed));
                });
            }
        });
        let container = Retrying::new(gauging, RetryPolicy::default())
            .with_notices(observer)
            .with_gauge(Arc::clone(&gauge));
        container.put(&name(), PutBody::object("x")).await.unwrap();
        assert_eq!(*waiting.lock().unwrap(), [1, 1]);
        // An attempt does not count as backoff.
        assert_eq!(*seen.lock().unwrap(), [0, 0, 0]);
        assert_eq!(gauge.load(Relaxed), 0);
        // A cancelled call does not count.
        let failing = Retrying::new(Failing::always(SERVER), RetryPolicy::default())
            .with_gauge(Arc::clone(&gauge));
        let name = name();
        let put = failing.put(&name, PutBody::object("x"));
        tokio::time::timeout(Duration::from_secs(5), put)
            .await
            .unwrap_err();
        assert_eq!(gauge.load(Relaxed), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn every_operation_is_retried() {
    let failing = || Failing::first([SERVER]);
    let (container, waits) = watched(failing(), RetryPolicy::default());
    container.delete(&name()).await.unwrap();
    assert_eq!(waits.lock().unwrap().len(), 1);
    let (container, waits) = watched(failing(), RetryPolicy::default());
    container.list("", None, 1).await.unwrap();
    assert_eq!(waits.lock().unwrap().len(), 1);
    let (container, waits) = watched(failing(), RetryPolicy::default());
    assert_eq!(
        container.get(&name(), MAX).await.unwrap_err().kind(),
        &ContainerErrorKind::BlobMissing
    );
    assert_eq!(waits.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn permanent_errors_are_not_retried() {
    let permanent = [
        ContainerErrorKind::BlobMissing,
        ContainerErrorKind::ContainerMissing,
        ContainerErrorKind::TokenExpired,
        ContainerErrorKind::TokenRejected,
        ContainerErrorKind::PermissionMissing,
        ContainerErrorKind::Conflict,
        ContainerErrorKind::TooLarge,
        ContainerErrorKind::Refused,
        ContainerErrorKind::DiskFull,
        ContainerErrorKind::Io,
        ContainerErrorKind::Protocol,
        ContainerErrorKind::Network(NetworkFailure::Tls),
    ];
    for kind in permanent {
        let (container, waits) = watched(Failing::always(kind.clone()), RetryPolicy::default());
        assert_eq!(container.get(&name(), MAX).await.unwrap_err().kind(), &kind);
        assert!(waits.lock().unwrap().is_empty(), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_fails_at_the_end_of_the_patience() {
    let policy = RetryPolicy::default();
    let (container, waits) = watched(Failing::always(SERVER), policy.clone());
    let started = Instant::now();
    let error = container.get(&name(), MAX).await.unwrap_err();
    assert_eq!(error.kind(), &SERVER);
    let took = started.elapsed();
    assert!(
        took <= policy.patience + Duration::from_millis(10),
        "{took:?}"
    );
    assert!(took >= policy.patience - policy.max_delay, "{took:?}");
    for (_, attempt, delay) in waits.lock().unwrap().iter() {
        let bound = policy.first_delay * 2u32.pow(attempt.min(&20) - 1);
        assert!(*delay <= bound.min(policy.max_delay), "{attempt} {delay:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_the_min_backoff_up_to_a_bound() {
    let after = |seconds| ContainerErrorKind::Throttled {
        retry_after: Some(Duration::from_secs(seconds)),
    };
    let policy = RetryPolicy::default();
    let (container, waits) = watched(Failing::first([after(17), after(100_000)]), policy.clone());
    container.list("", None, 1).await.unwrap();
    let waits = waits.lock().unwrap();
    assert!(waits[0].2 >= Duration::from_secs(17));
    assert!(waits[1].2 >= policy.max_retry_after);
    assert!(waits[1].2 <= policy.max_retry_after + policy.max_delay);
}

#[test]
fn an_overloaded_partition_throttles_too() {
    let error = |kind, status, code: &str| {
        ContainerError::new(kind, Operation::Put, "service").with_response(ErrorResponse {
            status,
            code: Some(code.to_owned()),
            request_id: None,
        })
    };
    assert!(is_throttled(&error(SERVER, 500, "OperationTimedOut")));
    assert!(!is_throttled(&error(SERVER, 500, "InternalError")));
    assert!(!is_throttled(&error(SERVER, 503, "OperationTimedOut")));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_backoff_immediately() {
    let stop = Arc::new(StopFlag::default());
    let container = Retrying::new(Failing::always(SERVER), RetryPolicy::default());
    let container = Arc::new(container.with_stop(Arc::clone(&stop)));
    let call = tokio::spawn(async move { container.get(&name(), MAX).await });
    tokio::time::sleep(Duration::from_secs(100)).await;
    stop.request();
    let requested = Instant::now();
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(requested.elapsed(), Duration::ZERO);
    assert!(
        error.is_transient() && error.to_string().contains("; tried "),
        "{error}"
    );
}

/// Never responds.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl Container for Silent {
    fn location(&self) -> &str {
        "silent"
    }
    async fn put(&self, _: &BlobName, _: PutBody) -> Result<(), ContainerError> {
        std::future::pending().await
    }
    async fn get(&self, _: &BlobName, _: u64) -> Result<Bytes, ContainerError> {
        std::future::pending().await
    }
    async fn list(
        &self,
        _: &str,
        _: Option<ListMarker>,
        _: u32,
    ) -> Result<ListPage, ContainerError> {
        std::future::pending().await
    }
    async fn delete(&self, _: &BlobName) -> Result<(), ContainerError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_abandons_a_call_after_the_grace_period() {
    let stop = Arc::new(StopFlag::default());
    let policy = RetryPolicy::default();
    let container = Retrying::new(Silent, policy.clone()).with_stop(Arc::clone(&stop));
    stop.request();
    let requested = Instant::now();
    let error = container.get(&name(), MAX).await.unwrap_err();
    assert_eq!(requested.elapsed().as_secs(), policy.stop_grace.as_secs());
    assert!(error.is_transient());
    // Later calls have no grace period of their own.
    container.get(&name(), MAX).await.unwrap_err();
    assert_eq!(requested.elapsed().as_secs(), policy.stop_grace.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_never_responded_fails_soon() {
    let refused = ContainerErrorKind::Network(NetworkFailure::Connect);
    let policy = RetryPolicy::default();
    let (container, _) = watched(Failing::always(refused.clone()), policy.clone());
    let started = Instant::now();
    container.get(&name(), MAX).await.unwrap_err();
    assert_eq!(started.elapsed(), policy.first_contact);
    // Once it has responded, the full patience applies.
    *container.inner.kinds.lock().unwrap() = [ContainerErrorKind::BlobMissing].into();
    container.get(&name(), MAX).await.unwrap_err();
    let started = Instant::now();
    let error = container.get(&name(), MAX).await.unwrap_err();
    assert_eq!(started.elapsed(), policy.patience);
    assert!(error.to_string().contains("times in 10 min"), "{error}");
}
