//! One blob that always fails while others can be read, and a service that is away.

use std::sync::atomic::AtomicU32;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Says why a call fails, or lets it through: by the blob's name, or a listing's prefix.
type Why = Box<dyn Fn(&str) -> Option<ContainerErrorKind> + Send + Sync>;

struct Picky {
    inner: InMemory,
    why: Why,
}

impl fmt::Debug for Picky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Picky")
    }
}

impl Picky {
    fn judge(&self, operation: Operation, of: &str) -> Result<(), ContainerError> {
        match (self.why)(of) {
            Some(kind) => Err(ContainerError::new(kind, operation, "picky").with_blob(of)),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Container for Picky {
    fn location(&self) -> &str {
        "picky"
    }
    async fn put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        self.inner.put(name, content).await
    }
    async fn get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        self.judge(Operation::Get, name.as_str())?;
        self.inner.get(name, at_most).await
    }
    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        self.judge(Operation::List, prefix)?;
        self.inner.list(prefix, from, at_most).await
    }
    async fn delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        self.inner.delete(name).await
    }
}

fn blob(name: &str) -> BlobName {
    BlobName::new(name).unwrap()
}

/// A container with the blobs `good` and `bad`, of which `good` was read once, since `why` allows that.
async fn subject(
    why: impl Fn(&str) -> Option<ContainerErrorKind> + Send + Sync + 'static,
) -> Retrying<Picky> {
    let picky = Picky {
        inner: InMemory::new(),
        why: Box::new(why),
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
async fn a_blob_that_always_fails_is_given_up_while_others_are_read() {
    for kind in [SERVER, RESET] {
        let tries = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&tries);
        let always = only_bad(kind);
        let container = subject(move |of| {
            let why = always(of);
            counted.fetch_add(u32::from(why.is_some()), Relaxed);
            why
        });
        let container = container.await;
        let started = Instant::now();
        // Nothing else is under way.
        let error = container.get(&blob("bad"), MAX).await.unwrap_err();
        assert!(error.is_of_one_blob(), "{error}");
        let text = error.to_string();
        assert!(text.contains("blob bad"), "{text}");
        assert!(
            text.ends_with("other requests succeeded meanwhile"),
            "{text}"
        );
        assert!(tries.load(Relaxed) >= 5, "{tries:?} tries");
        let took = started.elapsed();
        assert!((MINUTE..2 * MINUTE).contains(&took), "{took:?}");
        assert_eq!(container.get(&blob("good"), MAX).await.unwrap(), "x");
    }
}

#[tokio::test(start_paused = true)]
async fn after_several_a_blob_is_given_up_sooner() {
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
async fn the_names_of_one_object_are_given_up_and_the_names_of_all_are_not() {
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
async fn a_service_that_stays_away_is_no_fault_of_a_blob() {
    let away = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&away);
    let container = subject(move |_| now.load(Relaxed).then_some(SERVER)).await;
    away.store(true, Relaxed);
    let started = Instant::now();
    let error = container.get(&blob("bad"), MAX).await.unwrap_err();
    assert!(!error.is_of_one_blob(), "{error}");
    assert!(started.elapsed() >= 10 * MINUTE, "{:?}", started.elapsed());
}

/// Long away, then the blob fails a few times more while others can be read: it is not given up.
#[tokio::test(start_paused = true)]
async fn tries_during_an_outage_do_not_count_against_a_blob() {
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
async fn a_blob_that_is_throttled_has_the_whole_patience() {
    let throttled = ContainerErrorKind::Throttled { retry_after: None };
    let container = subject(only_bad(throttled)).await;
    let started = Instant::now();
    let error = container.get(&blob("bad"), MAX).await.unwrap_err();
    assert!(started.elapsed() >= 10 * MINUTE, "{:?}", started.elapsed());
    assert!(error.is_of_one_blob(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn no_connection_is_no_fault_of_a_blob() {
    for failure in [NetworkFailure::Connect, NetworkFailure::Dns] {
        let container = subject(only_bad(ContainerErrorKind::Network(failure))).await;
        let error = container.get(&blob("bad"), MAX).await.unwrap_err();
        assert!(!error.is_of_one_blob(), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_one_try_the_blob_is_compared_with_another() {
    let policy = RetryPolicy {
        patience: Duration::ZERO,
        ..RetryPolicy::default()
    };
    for (all, of_one) in [(false, true), (true, false)] {
        let away = Arc::new(AtomicBool::new(false));
        let now = Arc::clone(&away);
        let mut container = subject(move |of| {
            let fails = now.load(Relaxed) && (all || of == "bad");
            fails.then_some(SERVER)
        })
        .await;
        container.policy = policy.clone();
        away.store(true, Relaxed);
        let error = container.get(&blob("bad"), MAX).await.unwrap_err();
        assert_eq!(error.is_of_one_blob(), of_one, "{error}");
    }
}
