//! Notices about calls that fail and are retried.

use super::*;

type Lines = Arc<Mutex<Vec<(Duration, String)>>>;

/// Returns a container and its notices with their times, except those about single attempts.
fn observed(
    policy: RetryPolicy,
    stop: &Arc<StopFlag>,
    failing: Failing,
) -> (Arc<Retrying<Failing>>, Lines) {
    let lines = Lines::default();
    let seen = Arc::clone(&lines);
    let started = Instant::now();
    let notices: NoticeObserver = Arc::new(move |notice| {
        if !matches!(notice, Notice::AttemptFailed { .. }) {
            let line = (started.elapsed(), notice.to_string());
            seen.lock().unwrap().push(line);
        }
    });
    let container = Retrying::new(failing, policy)
        .with_notices(notices)
        .with_stop(Arc::clone(stop));
    (Arc::new(container), lines)
}

#[tokio::test(start_paused = true)]
async fn many_failing_calls_are_reported_as_one_outage() {
    // 64 calls at a time fail for about ten minutes, then all of them succeed.
    let stop = Arc::default();
    let failing = Failing::first(std::iter::repeat_n(RESET, 64 * 25));
    let policy = RetryPolicy {
        patience: Duration::from_secs(3600),
        ..RetryPolicy::default()
    };
    let (container, lines) = observed(policy, &stop, failing);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let container = Arc::clone(&container);
        calls.spawn(async move { container.put(&name(), PutBody::object("x")).await.unwrap() });
    }
    while calls.join_next().await.is_some() {}
    let lines = lines.lock().unwrap();
    let (last, between) = lines.split_last().unwrap();
    assert!(
        between[0]
            .1
            .contains("the connection broke; retrying for up to 1 h 0 min")
    );
    assert!(between.len() > 5, "{lines:#?}");
    for pair in between.windows(2) {
        assert!(
            pair[1].0 - pair[0].0 >= Duration::from_secs(30),
            "{lines:#?}"
        );
        assert!(
            pair[1].1.contains("(64 waiting to be retried)"),
            "{lines:#?}"
        );
    }
    assert!(
        last.1
            .ends_with("64 requests were retried, with 1,600 failed attempts in total"),
        "{last:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn short_outages_are_reported_rarely() {
    let stop = Arc::default();
    let failing = Failing::first([]);
    let (container, lines) = observed(RetryPolicy::default(), &stop, failing);
    for _ in 0..600 {
        container.inner.kinds.lock().unwrap().push_back(SERVER);
        container.put(&name(), PutBody::object("x")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // Six minutes: one start and one end in each half minute.
    let lines = lines.lock().unwrap();
    assert!(
        (20..=28).contains(&lines.len()),
        "{}: {lines:#?}",
        lines.len()
    );
}

#[tokio::test(start_paused = true)]
async fn throttling_is_an_outage_only_if_it_persists() {
    let busy = ContainerErrorKind::Throttled { retry_after: None };
    for (times, notices) in [(THROTTLED_ATTEMPTS - 1, 0), (THROTTLED_ATTEMPTS, 2)] {
        let failing = Failing::first(std::iter::repeat_n(busy.clone(), times as usize));
        let (container, lines) = observed(RetryPolicy::default(), &Arc::default(), failing);
        container.put(&name(), PutBody::object("x")).await.unwrap();
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), notices, "{lines:#?}");
    }
}
