//! The limiter at work, in tokio's paused time: what is allowed is what reaches the container.

mod service;

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::*;
use crate::container::notice::NoticeObserver;
use crate::container::retry::{RetryPolicy, Retrying};
use crate::monitor::Level;
use service::Service;

const ADAPTIVE: Concurrency = Concurrency::Adaptive { most: 1024 };

fn limiter(concurrency: Concurrency) -> Arc<Limiter> {
    Arc::new(Limiter::new(concurrency, None, Arc::default()))
}

/// Puts as fast as it may with as many objects as are allowed, until what is returned is dropped.
/// No more than `most` requests are ever allowed.
fn load(
    container: impl Container,
    limiter: &Arc<Limiter>,
    most: usize,
    bytes: usize,
) -> JoinSet<()> {
    let container = Arc::new(container);
    let body = Bytes::from(vec![0; bytes]);
    let mut tasks = JoinSet::new();
    for number in 0..(2 * most).max(32) {
        let (container, limiter, body) =
            (Arc::clone(&container), Arc::clone(limiter), body.clone());
        tasks.spawn(async move {
            let name = BlobName::new("name").unwrap();
            loop {
                if number < limiter.objects().load(SeqCst) {
                    // What fails for good ends a run; here it is the end of one object.
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

/// What comes through in a second, in the next so many.
async fn throughput(service: &Service, seconds: u64) -> f64 {
    let before = service.taken.load(SeqCst);
    sleep(Duration::from_secs(seconds)).await;
    (service.taken.load(SeqCst) - before) as f64 / seconds as f64
}

#[tokio::test(start_paused = true)]
async fn throughput_follows_concurrency() {
    let service = Service::new(Duration::from_millis(50), 0);
    let limiter = limiter(ADAPTIVE);
    let _load = load(retrying(&service, &limiter), &limiter, 1024, 100);
    sleep(Duration::from_secs(5)).await;
    let found = throughput(&service, 2).await;
    // 1,024 at a time in 50 ms, or 51 with the milliseconds of timers.
    assert!(found > 16_000.0, "{found}");
    assert_eq!(service.most_inside.load(SeqCst), 1024);
}

#[tokio::test(start_paused = true)]
async fn a_fixed_number_is_never_exceeded() {
    let service = Service::new(Duration::from_millis(10), 0);
    let limiter = limiter(Concurrency::Fixed(NonZeroUsize::new(7).unwrap()));
    let _load = load(retrying(&service, &limiter), &limiter, 7, 100);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(service.most_inside.load(SeqCst), 7);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_throttles_gets_what_it_takes_and_recovers() {
    let service = Service::new(Duration::from_millis(50), 150);
    let figures = Arc::<LimiterFigures>::default();
    let concurrency = Concurrency::Adaptive { most: 16 };
    let limiter = Arc::new(Limiter::new(concurrency, None, Arc::clone(&figures)));
    let told = Arc::<Mutex<Vec<String>>>::default();
    let observer: NoticeObserver = {
        let told = Arc::clone(&told);
        Arc::new(move |notice| {
            if notice.level() > Level::Debug {
                told.lock().unwrap().push(notice.to_string());
            }
        })
    };
    limiter.set_notices(Arc::clone(&observer));
    let container = retrying(&service, &limiter).with_notices(observer);
    let _load = load(container, &limiter, 16, 100);
    sleep(Duration::from_secs(20)).await;
    let before = service.turned_away.load(SeqCst);
    let taken = throughput(&service, 200).await;
    let away = service.turned_away.load(SeqCst) - before;
    assert!(taken > 0.85 * 150.0, "{taken}");
    assert!((away as f64) < 0.01 * taken * 200.0, "{away}");
    let pace = figures.pace.load(SeqCst);
    assert!((128..=172).contains(&pace), "{pace}");
    assert_eq!(
        figures.throttled.load(SeqCst),
        service.turned_away.load(SeqCst)
    );
    // One word for it, and none for each of those that were repeated.
    assert_eq!(told.lock().unwrap().len(), 1, "{:#?}", told.lock().unwrap());
    assert!(told.lock().unwrap()[0].contains("asks for fewer requests"));

    service.rate.store(0, SeqCst);
    sleep(Duration::from_secs(120)).await;
    let free = throughput(&service, 2).await;
    assert!(free > 250.0, "{free}");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(figures.pace.load(SeqCst), 0);
    let last = told.lock().unwrap().last().cloned().unwrap();
    assert!(last.contains("as many requests as there are"), "{last}");
}

/// In real time, which does not wait for the thread of the observer.
#[tokio::test]
async fn an_observer_that_blocks_holds_nothing_up() {
    let service = Service::new(Duration::from_millis(50), 150);
    let limiter = limiter(Concurrency::Adaptive { most: 16 });
    let meanwhile = Arc::new(Mutex::new(None));
    let observer: NoticeObserver = {
        let (service, meanwhile) = (Arc::clone(&service), Arc::clone(&meanwhile));
        Arc::new(move |_| {
            let before = service.taken.load(SeqCst);
            std::thread::sleep(Duration::from_secs(2));
            *meanwhile.lock().unwrap() = Some(service.taken.load(SeqCst) - before);
        })
    };
    limiter.set_notices(observer);
    let _load = load(retrying(&service, &limiter), &limiter, 16, 100);
    let began = Instant::now();
    let taken = loop {
        sleep(Duration::from_millis(100)).await;
        if let Some(taken) = *meanwhile.lock().unwrap() {
            break taken;
        }
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "nothing was told"
        );
    };
    assert!(taken > 75, "{taken}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_costs_its_own_time_only() {
    let service = Service::new(Duration::from_millis(50), 0);
    let limiter = limiter(Concurrency::Adaptive { most: 128 });
    let _load = load(retrying(&service, &limiter), &limiter, 128, 100);
    sleep(Duration::from_secs(10)).await;
    let before = throughput(&service, 2).await;
    service.down.store(true, SeqCst);
    sleep(Duration::from_secs(10)).await;
    service.down.store(false, SeqCst);
    // The calls that failed wait for up to 12 seconds by then.
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
    // After a rest no more than a second's worth goes at once; a body larger than that goes too.
    sleep(Duration::from_secs(60)).await;
    let container = retrying(&service, &limiter);
    let began = Instant::now();
    let large = PutBody::object(vec![0; 8 << 20]);
    container
        .put(&BlobName::new("large").unwrap(), large)
        .await
        .unwrap();
    let took = began.elapsed().as_secs_f64();
    assert!((6.9..7.2).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_tokens_costs_no_patience() {
    // Each try waits for 700 s, longer than the patience.
    for (refusals, passes) in [(1, true), (2, true), (3, false)] {
        let service = Service::new(Duration::from_millis(10), 0);
        service.refusals.store(refusals, SeqCst);
        let rate = NonZeroU64::new(1000);
        let limiter = Arc::new(Limiter::new(ADAPTIVE, rate, Arc::default()));
        let container = retrying(&service, &limiter);
        let began = Instant::now();
        let content = PutBody::object(vec![0; 700_000]);
        let outcome = container
            .put(&BlobName::new("name").unwrap(), content)
            .await;
        assert_eq!(outcome.is_ok(), passes, "{refusals}: {outcome:?}");
        let waited = 700 * (refusals + u64::from(passes)) - 2;
        assert!(began.elapsed().as_secs() >= waited, "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_paid_for_before_there_is_a_place() {
    let service = Service::new(Duration::from_millis(1), 0);
    let concurrency = Concurrency::Fixed(NonZeroUsize::new(4).unwrap());
    let limiter = Arc::new(Limiter::new(
        concurrency,
        NonZeroU64::new(1_000_000),
        Arc::default(),
    ));
    let container = Arc::new(Limited::new(Arc::clone(&service), Arc::clone(&limiter)));
    let mut stuck = Vec::new();
    for _ in 0..4 {
        stuck.push(limiter.place(0).await.unwrap());
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
    drop(stuck);
    // A second's worth lies ready, and one more comes in each.
    let seconds = [1, 5, 8];
    for (after, of) in seconds.into_iter().zip([0, 1, 5]) {
        sleep(Duration::from_secs(after - of)).await;
        let taken = service.taken.load(SeqCst);
        let allowed = 10 * (after + 1);
        assert!(
            (allowed - 4..=allowed).contains(&taken),
            "{after} s: {taken}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_bandwidth_limit_says_nothing_of_concurrency() {
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
async fn waiting_for_a_place_costs_no_patience() {
    let service = Service::new(Duration::from_secs(700), 0);
    let limiter = limiter(Concurrency::Fixed(NonZeroUsize::new(1).unwrap()));
    let container = Arc::new(retrying(&service, &limiter));
    let name = BlobName::new("name").unwrap();
    let first = {
        let (container, name) = (Arc::clone(&container), name.clone());
        tokio::spawn(async move { container.delete(&name).await })
    };
    sleep(Duration::from_millis(1)).await;
    // They take 525 s together, after a wait of 700 s.
    service.refusals.store(3, SeqCst);
    container.delete(&name).await.unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(service.turned_away.load(SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_smaller_limit_holds_once_what_is_on_its_way_is_back() {
    let service = Service::new(Duration::from_millis(100), 0);
    // The law leaves a fixed limit alone, so that only this test moves it.
    let limiter = limiter(Concurrency::Fixed(NonZeroUsize::new(64).unwrap()));
    let _load = load(retrying(&service, &limiter), &limiter, 64, 100);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(service.inside.load(SeqCst), 64);
    limiter.resize(64, 8);
    sleep(Duration::from_millis(101)).await;
    assert_eq!(service.inside.load(SeqCst), 8);
    // Grown again before all surplus places were back.
    limiter.resize(8, 100);
    limiter.resize(100, 8);
    limiter.resize(8, 20);
    sleep(Duration::from_millis(101)).await;
    assert_eq!(service.inside.load(SeqCst), 20);
}

#[tokio::test(start_paused = true)]
async fn a_closed_limiter_refuses_those_who_wait() {
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
    assert_eq!((done, service.taken.load(SeqCst)), (1, 1));
}
