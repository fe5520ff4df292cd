#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::container::memory::InMemory;
use crate::container::{ContainerErrorKind, NetworkFailure};

/// Fails with the given kinds first, then passes calls on.
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
impl Container for Failing {
    fn location(&self) -> &str {
        "failing"
    }
    async fn put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        self.fail(Operation::Put)?;
        self.inner.put(name, content).await
    }
    async fn get(&self, name: &BlobName) -> Result<Bytes, ContainerError> {
        self.fail(Operation::Get)?;
        self.inner.get(name).await
    }
    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        self.fail(Operation::List)?;
        self.inner.list(prefix, from, at_most).await
    }
    async fn delete(&self, name: &BlobName) -> Result<(), ContainerError> {
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
    let observer: RetryObserver = Arc::new(move |event| {
        let wait = (event.operation, event.attempt, event.delay);
        seen.lock().unwrap().push(wait);
    });
    (
        Retrying::new(failing, policy).with_observer(observer),
        waits,
    )
}

fn name() -> BlobName {
    BlobName::new("blob").unwrap()
}

#[tokio::test(start_paused = true)]
async fn waits_out_what_passes() {
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
    assert!(started.elapsed() >= total, "the waits are not waited");
    assert_eq!(container.get(&name()).await.unwrap(), "x");
}

#[tokio::test(start_paused = true)]
async fn every_operation_is_repeated() {
    let failing = || Failing::first([SERVER]);
    let (container, waits) = watched(failing(), RetryPolicy::default());
    container.delete(&name()).await.unwrap();
    assert_eq!(waits.lock().unwrap().len(), 1);
    let (container, waits) = watched(failing(), RetryPolicy::default());
    container.list("", None, 1).await.unwrap();
    assert_eq!(waits.lock().unwrap().len(), 1);
    let (container, waits) = watched(failing(), RetryPolicy::default());
    assert_eq!(
        container.get(&name()).await.unwrap_err().kind(),
        &ContainerErrorKind::BlobMissing
    );
    assert_eq!(waits.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_stays_wrong_is_not_repeated() {
    let lasting = [
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
    for kind in lasting {
        let (container, waits) = watched(Failing::always(kind.clone()), RetryPolicy::default());
        assert_eq!(container.get(&name()).await.unwrap_err().kind(), &kind);
        assert!(waits.lock().unwrap().is_empty(), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn gives_up_when_patience_ends() {
    let policy = RetryPolicy::default();
    let (container, waits) = watched(Failing::always(SERVER), policy.clone());
    let started = Instant::now();
    let error = container.get(&name()).await.unwrap_err();
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
async fn retry_after_is_the_least_wait_up_to_a_bound() {
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
