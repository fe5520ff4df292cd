//! One blob that always fails while others can be read, and an unavailable service.

use std::sync::atomic::AtomicU32;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Returns the error of a call for a blob's name or a listing's prefix, if it fails.
type Fault = Box<dyn Fn(&str) -> Option<ContainerErrorKind> + Send + Sync>;

struct Picky {
    inner: InMemory,
    fault: Fault,
}

impl fmt::Debug for Picky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Picky")
    }
}

impl Picky {
    fn check(&self, operation: Operation, of: &str) -> Result<(), ContainerError> {
        match (self.fault)(of) {
            Some(kind) => Err(ContainerError::new(kind, operation, "picky").with_blob(of)),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Wrapper for Picky {
    fn wrapped(&self) -> &dyn Container {
        &self.inner
    }

    async fn on_get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        self.check(Operation::Get, name.as_str())?;
        self.inner.get(name, at_most).await
    }

    async fn on_list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        self.check(Operation::List, prefix)?;
        self.inner.list(prefix, from, at_most).await
    }
}

fn blob(name: &str) -> BlobName {
    BlobName::new(name).unwrap()
}

/// Returns a container with the blobs `good` and `bad`, after one read of `good`, which `fault` must allow.
async fn subject(
    fault: impl Fn(&str) -> Option<ContainerErrorKind> + Send + Sync + 'static,
) -> Retrying<Picky> {
    let picky = Picky {
        inner: InMemory::new(),
        fault: Box::new(fault),
    };
    for name in ["good", "bad"] {
        let name = blob(name);
        picky.put(&name, PutBody::object("x")).await.unwrap();
    }
    let container = Retrying::new(picky, RetryPolicy::default()).with_blob_patience(MINUTE);
    container.get(&blob("good"), MAX).await.unwrap();
    container
}

fn only_bad(kind: ContainerErrorKind) -> impl Fn(&str) -> Option<ContainerErrorKind> {
    move |of| (of == "bad").then(|| kind.clone())
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_always_fails_is_abandoned_while_others_are_read() {
    for kind in [SERVER, RESET] {
        let attempts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&attempts);
        let always = only_bad(kind);
        let container = subject(move |of| {
            let fault = always(of);
            counted.fetch_add(u32::from(fault.is_some()), Relaxed);
            fault
        });
        let container = container.await;
        let started = Instant::now();
        // There is no other call in progress.
        let error = container.get(&blob("bad"), MAX).await.unwrap_err();
        assert!(error.is_of_one_blob(), "{error}");
        let text = error.to_string();
        assert!(text.contains("blob bad"), "{text}");
        assert!(
            text.ends_with("other requests succeeded meanwhile"),
            "{text}"
        );
        assert!(attempts.load(Relaxed) >= 5, "{attempts:?} attempts");
        let took = started.elapsed();
        assert!((MINUTE..2 * MINUTE).contains(&took), "{took:?}");
        assert_eq!(container.get(&blob("good"), MAX).await.unwrap(), "x");
    }
}

#[tokio::test(start_paused = true)]
async fn after_several_blobs_the_next_is_abandoned_sooner() {
    let container = subject(only_bad(SERVER)).await;
    for _ in 0..8 {
        container.get(&blob("bad"), MAX).await.unwrap_err();
    }
    let started = Instant::now();
    let error = container.get(&blob("bad"), MAX).await.unwrap_err();
    assert!(error.is_of_one_blob(), "{error}");
    let took = started.elapsed();
    assert!((MINUTE / 6..MINUTE).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_listing_of_one_object_is_abandoned_and_of_the_container_is_not() {
    let container = subject(|of| (of.starts_with('b')).then_some(SERVER)).await;
    let started = Instant::now();
    let error = container.list("bad", None, 10).await.unwrap_err();
    assert!(error.is_of_one_blob(), "{error}");
    assert!(started.elapsed() < 2 * MINUTE);
    let started = Instant::now();
    let error = container.list("b", None, 10).await.unwrap_err();
    assert!(!error.is_of_one_blob(), "{error}");
    assert!(started.elapsed() >= 10 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_service_is_not_the_fault_of_a_blob() {
    let is_away = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&is_away);
    let container = subject(move |_| now.load(Relaxed).then_some(SERVER)).await;
    is_away.store(true, Relaxed);
    let started = Instant::now();
    let error = container.get(&blob("bad"), MAX).await.unwrap_err();
    assert!(!error.is_of_one_blob(), "{error}");
    assert!(started.elapsed() >= 10 * MINUTE, "{:?}", started.elapsed());
}

/// After a long outage, the blob fails a few more times while others can be read: it is not abandoned.
#[tokio::test(start_paused = true)]
async fn attempts_during_an_outage_do_not_count_against_a_blob() {
    let started = Arc::new(Mutex::new(None::<Instant>));
    let (since, late) = (Arc::clone(&started), AtomicU32::new(0));
    let container = subject(move |of| {
        let since = (*since.lock().unwrap())?;
        let away = since.elapsed() < 5 * MINUTE;
        let late = !away && of == "bad" && late.fetch_add(1, Relaxed) < 4;
        (away || late).then_some(SERVER)
    });
    let container = container.await;
    *started.lock().unwrap() = Some(Instant::now());
    assert_eq!(container.get(&blob("bad"), MAX).await.unwrap(), "x");
}

/// The blob fails three times, then the service is away, then the blob fails three times more.
#[tokio::test(start_paused = true)]
async fn an_outage_resets_the_count_of_a_blob() {
    let (tries, good) = (AtomicU32::new(0), AtomicBool::new(false));
    let outage = Arc::new(Mutex::new(None::<Instant>));
    let container = subject(move |of| {
        let mut outage = outage.lock().unwrap();
        let is_away = outage.is_some_and(|since| since.elapsed() < 2 * MINUTE);
        if of != "bad" {
            // The first read is that of `subject`.
            return (good.swap(true, Relaxed) && is_away).then_some(SERVER);
        }
        if is_away {
            return Some(SERVER);
        }
        let failed = tries.fetch_add(1, Relaxed);
        if failed == 3 {
            *outage = Some(Instant::now());
        }
        // The fourth try is the first one of the outage.
        (failed < 7).then_some(SERVER)
    });
    let container = container.await;
    assert_eq!(container.get(&blob("bad"), MAX).await.unwrap(), "x");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_blob_has_the_full_patience() {
    let throttled = ContainerErrorKind::Throttled { retry_after: None };
    let container = subject(only_bad(throttled)).await;
    let started = Instant::now();
    let error = container.get(&blob("bad"), MAX).await.unwrap_err();
    assert!(started.elapsed() >= 10 * MINUTE, "{:?}", started.elapsed());
    assert!(error.is_of_one_blob(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_connection_is_not_the_fault_of_a_blob() {
    for failure in [NetworkFailure::Connect, NetworkFailure::Dns] {
        let container = subject(only_bad(ContainerErrorKind::Network(failure))).await;
        let error = container.get(&blob("bad"), MAX).await.unwrap_err();
        assert!(!error.is_of_one_blob(), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_single_attempt_another_blob_is_probed() {
    let policy = RetryPolicy {
        patience: Duration::ZERO,
        ..RetryPolicy::default()
    };
    for (all, of_one) in [(false, true), (true, false)] {
        let is_away = Arc::new(AtomicBool::new(false));
        let now = Arc::clone(&is_away);
        let mut container = subject(move |of| {
            let fails = now.load(Relaxed) && (all || of == "bad");
            fails.then_some(SERVER)
        })
        .await;
        container.policy = policy.clone();
        is_away.store(true, Relaxed);
        let error = container.get(&blob("bad"), MAX).await.unwrap_err();
        assert_eq!(error.is_of_one_blob(), of_one, "{error}");
    }
}
