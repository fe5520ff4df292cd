//! The limiter against a simulated service, in tokio's paused time.

mod service;

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::*;
use crate::container::notice::{Notice, NoticeObserver};
use crate::container::retry::{RetryPolicy, Retrying};
use service::Service;

const ADAPTIVE: Concurrency = Concurrency::Adaptive { max: 1024 };

fn limiter(concurrency: Concurrency) -> Arc<Limiter> {
    Arc::new(Limiter::new(concurrency, None, Arc::default()))
}

/// Uploads as fast as the limiter allows, until the returned tasks are dropped. `max` is the maximum number
/// of requests that the limiter ever allows.
fn load(
    container: impl Container,
    limiter: &Arc<Limiter>,
    max: usize,
    bytes: usize,
) -> JoinSet<()> {
    let container = Arc::new(container);
    let body = Bytes::from(vec![0; bytes]);
    let mut tasks = JoinSet::new();
    for number in 0..(2 * max).max(32) {
        let (container, limiter, body) =
            (Arc::clone(&container), Arc::clone(limiter), body.clone());
        tasks.spawn(async move {
            let name = BlobName::new("name").unwrap();
            loop {
                if number < limiter.object_limit().load(SeqCst) {
                    // A real load would stop at a permanent error; this one continues.
                    let _ = container.put(&name, PutBody::object(body.clone())).await;
                } else {
                    sleep(Duration::from_millis(500)).await;
                }
            }
        });
    }
    tasks
}

fn retrying(service: &Arc<Service>, limiter: &Arc<Limiter>) -> Retrying<Limited<Arc<Service>>> {
    let limited = Limited::new(Arc::clone(service), Arc::clone(limiter));
    Retrying::new(limited, RetryPolicy::default())
}

/// Returns the mean number of requests per second over the next `seconds`.
async fn throughput(service: &Service, seconds: u64) -> f64 {
    let before = service.accepted.load(SeqCst);
    sleep(Duration::from_secs(seconds)).await;
    (service.accepted.load(SeqCst) - before) as f64 / seconds as f64
}

#[tokio::test(start_paused = true)]
async fn throughput_follows_concurrency() {
    let service = Service::new(Duration::from_millis(50), 0);
    let limiter = limiter(ADAPTIVE);
    let _load = load(retrying(&service, &limiter), &limiter, 1024, 100);
    sleep(Duration::from_secs(5)).await;
    let throughput = throughput(&service, 2).await;
    // 1,024 requests take 50 ms, or 51 ms with the resolution of timers.
    assert!(throughput > 16_000.0, "{throughput}");
    assert_eq!(service.max_concurrent.load(SeqCst), 1024);
}

#[tokio::test(start_paused = true)]
async fn a_fixed_limit_is_never_exceeded() {
    let service = Service::new(Duration::from_millis(10), 0);
    let limiter = limiter(Concurrency::Fixed(NonZeroUsize::new(7).unwrap()));
    let _load = load(retrying(&service, &limiter), &limiter, 7, 100);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(service.max_concurrent.load(SeqCst), 7);
}

#[tokio::test(start_paused = true)]
async fn the_rate_follows_a_throttling_service_and_recovers() {
    let service = Service::new(Duration::from_millis(50), 150);
    let figures = Arc::<LimiterFigures>::default();
    let concurrency = Concurrency::Adaptive { max: 16 };
    let limiter = Arc::new(Limiter::new(concurrency, None, Arc::clone(&figures)));
    let notices = Arc::<Mutex<Vec<String>>>::default();
    let observer: NoticeObserver = {
        let notices = Arc::clone(&notices);
        Arc::new(move |notice| {
            if !matches!(notice, Notice::AttemptFailed { .. }) {
                notices.lock().unwrap().push(notice.to_string());
            }
        })
    };
    limiter.set_notices(Arc::clone(&observer));
    let container = retrying(&service, &limiter).with_notices(observer);
    let _load = load(container, &limiter, 16, 100);
    sleep(Duration::from_secs(20)).await;
    let before = service.throttled.load(SeqCst);
    let accepted = throughput(&service, 200).await;
    let throttled = service.throttled.load(SeqCst) - before;
    assert!(accepted > 0.85 * 150.0, "{accepted}");
    assert!((throttled as f64) < 0.01 * accepted * 200.0, "{throttled}");
    let pace = figures.pace.load(SeqCst);
    assert!((128..=172).contains(&pace), "{pace}");
    assert_eq!(
        figures.throttled.load(SeqCst),
        service.throttled.load(SeqCst)
    );
    // One notice for the throttling, and none for each retry.
    assert_eq!(
        notices.lock().unwrap().len(),
        1,
        "{:#?}",
        notices.lock().unwrap()
    );
    assert!(notices.lock().unwrap()[0].contains("the service throttles"));

    service.rate.store(0, SeqCst);
    sleep(Duration::from_secs(120)).await;
    let unlimited = throughput(&service, 2).await;
    assert!(unlimited > 250.0, "{unlimited}");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(figures.pace.load(SeqCst), 0);
    let last = notices.lock().unwrap().last().cloned().unwrap();
    assert!(last.contains("no longer throttles"), "{last}");
}

/// Runs in real time, because paused time would advance while the observer blocks.
#[tokio::test]
async fn a_blocking_observer_does_not_delay_requests() {
    let service = Service::new(Duration::from_millis(50), 150);
    let limiter = limiter(Concurrency::Adaptive { max: 16 });
    let accepted = Arc::new(Mutex::new(None));
    let observer: NoticeObserver = {
        let (service, accepted) = (Arc::clone(&service), Arc::clone(&accepted));
        Arc::new(move |_| {
            let before = service.accepted.load(SeqCst);
            std::thread::sleep(Duration::from_secs(2));
            *accepted.lock().unwrap() = Some(service.accepted.load(SeqCst) - before);
        })
    };
    limiter.set_notices(observer);
    let _load = load(retrying(&service, &limiter), &limiter, 16, 100);
    let start = Instant::now();
    let accepted = loop {
        sleep(Duration::from_millis(100)).await;
        if let Some(accepted) = *accepted.lock().unwrap() {
            break accepted;
        }
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "the observer received no notice"
        );
    };
    assert!(accepted > 75, "{accepted}");
}

#[tokio::test(start_paused = true)]
async fn throughput_recovers_after_an_outage() {
    let service = Service::new(Duration::from_millis(50), 0);
    let limiter = limiter(Concurrency::Adaptive { max: 128 });
    let _load = load(retrying(&service, &limiter), &limiter, 128, 100);
    sleep(Duration::from_secs(10)).await;
    let before = throughput(&service, 2).await;
    service.is_down.store(true, SeqCst);
    sleep(Duration::from_secs(10)).await;
    service.is_down.store(false, SeqCst);
    // By then the backoff of the failed calls is up to 12 s.
    sleep(Duration::from_secs(15)).await;
    let after = throughput(&service, 2).await;
    assert!(after > 0.9 * before, "{before}, then {after}");
}

#[tokio::test(start_paused = true)]
async fn the_bandwidth_limit_holds() {
    let service = Service::new(Duration::from_millis(10), 0);
    let rate = NonZeroU64::new(1 << 20);
    let limiter = Arc::new(Limiter::new(ADAPTIVE, rate, Arc::default()));
    let load = load(retrying(&service, &limiter), &limiter, 64, 100_000);
    sleep(Duration::from_secs(5)).await;
    let bytes = throughput(&service, 60).await * 100_000.0;
    assert!((bytes / f64::from(1 << 20) - 1.0).abs() < 0.03, "{bytes}");
    drop(load);
    // After an idle minute the burst is one second's bytes, and a larger body is sent too.
    sleep(Duration::from_secs(60)).await;
    let container = retrying(&service, &limiter);
    let start = Instant::now();
    let large = PutBody::object(vec![0; 8 << 20]);
    container
        .put(&BlobName::new("large").unwrap(), large)
        .await
        .unwrap();
    let took = start.elapsed().as_secs_f64();
    assert!((6.9..7.2).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_tokens_does_not_count_against_the_retry_timeout() {
    // Each attempt waits for 700 s, longer than the retry timeout.
    for (rejections, succeeds) in [(1, true), (2, true), (3, false)] {
        let service = Service::new(Duration::from_millis(10), 0);
        service.rejections.store(rejections, SeqCst);
        let rate = NonZeroU64::new(1000);
        let limiter = Arc::new(Limiter::new(ADAPTIVE, rate, Arc::default()));
        let container = retrying(&service, &limiter);
        let start = Instant::now();
        let content = PutBody::object(vec![0; 700_000]);
        let outcome = container
            .put(&BlobName::new("name").unwrap(), content)
            .await;
        assert_eq!(outcome.is_ok(), succeeds, "{rejections}: {outcome:?}");
        let waited = 700 * (rejections + u64::from(succeeds)) - 2;
        assert!(start.elapsed().as_secs() >= waited, "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn no_tokens_are_taken_without_a_permit() {
    let service = Service::new(Duration::from_millis(1), 0);
    let concurrency = Concurrency::Fixed(NonZeroUsize::new(4).unwrap());
    let limiter = Arc::new(Limiter::new(
        concurrency,
        NonZeroU64::new(1_000_000),
        Arc::default(),
    ));
    let container = Arc::new(Limited::new(Arc::clone(&service), Arc::clone(&limiter)));
    let mut permits = Vec::new();
    for _ in 0..4 {
        permits.push(limiter.acquire(0).await.unwrap());
    }
    let mut puts = JoinSet::new();
    for _ in 0..100 {
        let container = Arc::clone(&container);
        puts.spawn(async move {
            let content = PutBody::object(vec![0; 100_000]);
            container
                .put(&BlobName::new("name").unwrap(), content)
                .await
        });
    }
    sleep(Duration::from_secs(60)).await;
    drop(permits);
    // The bucket holds the tokens of one second and is refilled with as many each second.
    let seconds = [1, 5, 8];
    for (after, before) in seconds.into_iter().zip([0, 1, 5]) {
        sleep(Duration::from_secs(after - before)).await;
        let accepted = service.accepted.load(SeqCst);
        let allowed = 10 * (after + 1);
        assert!(
            (allowed - 4..=allowed).contains(&accepted),
            "{after} s: {accepted}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_bandwidth_limit_does_not_change_concurrency() {
    let service = Service::new(Duration::from_millis(10), 0);
    let figures = Arc::<LimiterFigures>::default();
    let rate = NonZeroU64::new(10_000_000);
    let limiter = Arc::new(Limiter::new(ADAPTIVE, rate, Arc::clone(&figures)));
    let _load = load(retrying(&service, &limiter), &limiter, 1024, 100_000);
    for _ in 0..600 {
        sleep(Duration::from_millis(100)).await;
        assert_eq!(figures.concurrency.load(SeqCst), 64);
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_permit_does_not_count_against_the_retry_timeout() {
    let service = Service::new(Duration::from_secs(700), 0);
    let limiter = limiter(Concurrency::Fixed(NonZeroUsize::new(1).unwrap()));
    let container = Arc::new(retrying(&service, &limiter));
    let name = BlobName::new("name").unwrap();
    let first = {
        let (container, name) = (Arc::clone(&container), name.clone());
        tokio::spawn(async move { container.delete(&name).await })
    };
    sleep(Duration::from_millis(1)).await;
    // The attempts take 525 s in total, after a wait of 700 s.
    service.rejections.store(3, SeqCst);
    container.delete(&name).await.unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(service.throttled.load(SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_lower_limit_holds_after_the_requests_in_flight_finish() {
    let service = Service::new(Duration::from_millis(100), 0);
    // The controller does not change a fixed limit, so only this test does.
    let limiter = limiter(Concurrency::Fixed(NonZeroUsize::new(64).unwrap()));
    let _load = load(retrying(&service, &limiter), &limiter, 64, 100);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(service.concurrent.load(SeqCst), 64);
    limiter.resize(64, 8);
    sleep(Duration::from_millis(101)).await;
    assert_eq!(service.concurrent.load(SeqCst), 8);
    // The limit grows again before all surplus permits are released.
    limiter.resize(8, 100);
    limiter.resize(100, 8);
    limiter.resize(8, 20);
    sleep(Duration::from_millis(101)).await;
    assert_eq!(service.concurrent.load(SeqCst), 20);
}

#[tokio::test(start_paused = true)]
async fn a_closed_limiter_fails_waiting_requests() {
    let service = Service::new(Duration::from_secs(1), 0);
    let limiter = limiter(Concurrency::Fixed(NonZeroUsize::new(1).unwrap()));
    let container = Arc::new(Limited::new(Arc::clone(&service), Arc::clone(&limiter)));
    let mut calls = JoinSet::new();
    for _ in 0..3 {
        let container = Arc::clone(&container);
        calls.spawn(async move { container.delete(&BlobName::new("name").unwrap()).await });
    }
    sleep(Duration::from_millis(500)).await;
    limiter.close();
    let mut done = 0;
    while let Some(outcome) = calls.join_next().await {
        match outcome.unwrap() {
            Ok(()) => done += 1,
            Err(error) => assert!(error.to_string().contains("not sent"), "{error}"),
        }
    }
    assert_eq!((done, service.accepted.load(SeqCst)), (1, 1));
}
