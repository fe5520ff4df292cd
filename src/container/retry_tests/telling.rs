//! What people are told of calls that fail and are repeated.

use super::*;
use crate::events::Level;

type Told = Arc<Mutex<Vec<(Duration, String)>>>;

/// A container that always fails, and what its notices say and when.
fn told(
    policy: RetryPolicy,
    stop: &Arc<StopFlag>,
    failing: Failing,
) -> (Arc<Retrying<Failing>>, Told) {
    let told = Told::default();
    let seen = Arc::clone(&told);
    let started = Instant::now();
    let notices: NoticeObserver = Arc::new(move |notice| {
        // What people are told.
        if notice.level() > Level::Debug {
            let line = (started.elapsed(), notice.to_string());
            seen.lock().unwrap().push(line);
        }
    });
    let container = Retrying::new(failing, policy)
        .with_notices(notices)
        .with_stop(Arc::clone(stop));
    (Arc::new(container), told)
}

#[tokio::test(start_paused = true)]
async fn many_calls_tell_of_one_outage() {
    // 64 calls at a time fail for about ten minutes, then all of them succeed.
    let stop = Arc::default();
    let failing = Failing::first(std::iter::repeat_n(RESET, 64 * 25));
    let patient = RetryPolicy {
        patience: Duration::from_secs(3600),
        ..RetryPolicy::default()
    };
    let (container, told) = told(patient, &stop, failing);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let container = Arc::clone(&container);
        calls.spawn(async move { container.put(&name(), PutBody::object("x")).await.unwrap() });
    }
    while calls.join_next().await.is_some() {}
    let told = told.lock().unwrap();
    let (last, between) = told.split_last().unwrap();
    assert!(
        between[0]
            .1
            .contains("the connection broke; waiting and trying again, for 1 h 0 min")
    );
    assert!(between.len() > 5, "{told:#?}");
    for pair in between.windows(2) {
        assert!(
            pair[1].0 - pair[0].0 >= Duration::from_secs(30),
            "{told:#?}"
        );
        assert!(
            pair[1].1.starts_with("64 requests still wait for"),
            "{told:#?}"
        );
    }
    assert!(
        last.1
            .ends_with("64 requests were repeated, with 1600 failed tries in all"),
        "{last:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn faults_that_come_and_go_are_told_of_rarely() {
    let stop = Arc::default();
    let failing = Failing::first([]);
    let (container, told) = told(RetryPolicy::default(), &stop, failing);
    for _ in 0..600 {
        container.inner.kinds.lock().unwrap().push_back(SERVER);
        container.put(&name(), PutBody::object("x")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // Six minutes: a beginning and an end every half one.
    let told = told.lock().unwrap();
    assert!((20..=28).contains(&told.len()), "{}: {told:#?}", told.len());
}

#[tokio::test(start_paused = true)]
async fn what_throttles_is_an_outage_only_if_it_lasts() {
    let busy = ContainerErrorKind::Throttled { retry_after: None };
    for (times, notices) in [(THROTTLED_TRIES - 1, 0), (THROTTLED_TRIES, 2)] {
        let failing = Failing::first(std::iter::repeat_n(busy.clone(), times as usize));
        let (container, told) = told(RetryPolicy::default(), &Arc::default(), failing);
        container.put(&name(), PutBody::object("x")).await.unwrap();
        let told = told.lock().unwrap();
        assert_eq!(told.len(), notices, "{told:#?}");
    }
}
