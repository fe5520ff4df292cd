//! Faults of single requests. The container always equals that of an undisturbed load.
//! docs/reliability.md, "Faults on the wire", names these tests.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use crate::support::fault_proxy::{Call, Fault, FaultProxy, Script};
use crate::support::wire::Wire;
use clfsload::container::Operation;

/// Returns a script that injects `fault` into the first upload of every `every`-th object.
fn every_nth(every: u64, fault: Fault) -> Script {
    let puts = Mutex::new(0u64);
    Box::new(move |call| {
        if call.operation != Operation::Put || call.attempt > 1 {
            return None;
        }
        let mut puts = puts.lock().unwrap();
        *puts += 1;
        puts.is_multiple_of(every).then(|| fault.clone())
    })
}

/// Loads with repeated faults. The load must succeed and retry each failed upload once.
fn assert_retried(fault: Fault, wording: &str) -> FaultProxy {
    let wire = Wire::new();
    let proxy = wire.proxy(every_nth(16, fault.clone()));
    let ran = wire.start(&proxy, &[]).expect(0);
    wire.assert_identical();
    let faults = proxy.faults();
    assert!(faults.len() >= 16, "{} faults only", faults.len());
    assert_eq!(proxy.puts(), wire.objects() + faults.len());
    for (blob, puts) in proxy.puts_by_blob() {
        let failed = faults.iter().any(|call| call.blob == blob);
        assert_eq!(puts, 1 + usize::from(failed), "{blob}");
    }
    // Reported immediately, but not for each fault.
    let reports = ran.stderr.matches("retrying for up to").count();
    assert!(ran.stderr.contains(wording), "no {wording:?} in {ran:#?}");
    assert!((1..=3).contains(&reports), "{ran:#?}");
    assert!(
        ran.stdout.contains("the container responds again after"),
        "{ran:#?}"
    );
    println!(
        "{fault:?}: {} faults, {} uploads of {} objects, identical",
        faults.len(),
        proxy.puts(),
        wire.objects()
    );
    proxy
}

#[test]
fn errors_of_the_service_are_retried() {
    assert_retried(Fault::refusal(500, "InternalError"), "the service failed");
}

/// Runs a load in which the service throttles every fourth object once. This is reported once, and not as an outage.
fn assert_throttled(fault: Fault) {
    let wire = Wire::new();
    let proxy = wire.proxy(every_nth(4, fault.clone()));
    let ran = wire.start(&proxy, &[]).expect(0);
    wire.assert_identical();
    let faults = proxy.faults();
    assert!(faults.len() >= 60, "{} faults only", faults.len());
    assert_eq!(proxy.puts(), wire.objects() + faults.len());
    for (blob, puts) in proxy.puts_by_blob() {
        let is_throttled = faults.iter().any(|call| call.blob == blob);
        assert_eq!(puts, 1 + usize::from(is_throttled), "{blob}");
    }
    let reports = ran.stderr.matches("the service throttles: limited");
    assert_eq!(reports.count(), 1, "{ran:#?}");
    assert!(!ran.stderr.contains("retrying for up to"), "{ran:#?}");
    assert!(!ran.stdout.contains("responds again"), "{ran:#?}");
    println!(
        "{fault:?}: {} faults, {} uploads of {} objects, identical",
        faults.len(),
        proxy.puts(),
        wire.objects()
    );
}

#[test]
fn a_busy_service_is_retried_and_reported_once() {
    assert_throttled(Fault::refusal(503, "ServerBusy"));
}

#[test]
fn retry_after_of_a_busy_service_is_respected() {
    let started = std::time::Instant::now();
    assert_throttled(Fault::retry_after(503, "ServerBusy", 2));
    assert!(started.elapsed() >= Duration::from_secs(2), "no wait");
}

#[test]
fn too_many_requests_are_retried_and_reported_once() {
    assert_throttled(Fault::retry_after(429, "TooManyRequests", 1));
}

#[test]
fn an_overloaded_partition_is_retried_and_reported_once() {
    assert_throttled(Fault::refusal(500, "OperationTimedOut"));
}

/// One object is throttled repeatedly while all others succeed. This is an outage of that request.
#[test]
fn a_service_that_stays_busy_for_one_object_is_an_outage() {
    let wire = Wire::new();
    let first = Mutex::new(None);
    let proxy = wire.proxy(Box::new(move |call: &Call| {
        if call.operation != Operation::Put || call.attempt > 6 {
            return None;
        }
        let mut first = first.lock().unwrap();
        let chosen = first.get_or_insert_with(|| call.blob.clone());
        (*chosen == call.blob).then(|| Fault::refusal(503, "ServerBusy"))
    }));
    let ran = wire.start(&proxy, &[]).expect(0);
    wire.assert_identical();
    assert_eq!(proxy.faults().len(), 6);
    let reports = ran.stderr.matches("the service is throttling requests");
    assert_eq!(reports.count(), 1, "{ran:#?}");
    assert!(
        ran.stdout.contains("the container responds again after"),
        "{ran:#?}"
    );
}

#[test]
fn resets_during_the_content_are_retried() {
    assert_retried(Fault::ResetDuringRequest, "the connection broke");
}

#[test]
fn resets_before_the_response_are_retried() {
    assert_retried(Fault::ResetBeforeResponse, "the connection broke");
}

#[test]
fn lost_responses_are_retried() {
    let proxy = assert_retried(Fault::LostResponse, "the connection broke");
    // The service stored these blobs, and the second upload replaced them.
    assert!(proxy.faults().iter().all(|call| call.status == Some(201)));
}

#[test]
fn responses_that_never_arrive_are_retried() {
    let wire = Wire::new();
    let proxy = wire.proxy(every_nth(40, Fault::NoResponse));
    let ran = wire.start(&proxy, &["--answer-timeout", "4000"]).expect(0);
    wire.assert_identical();
    assert!(ran.stderr.contains("the request timed out"), "{ran:#?}");
    let puts = proxy.puts_by_blob();
    for call in proxy.faults() {
        assert!(puts[&call.blob] >= 2, "{call:?}");
    }
    // Azurite itself may be slower than the timeout on a busy machine.
    let retried = proxy.puts() - wire.objects();
    let faults = proxy.faults().len();
    assert!(faults >= 6 && retried >= faults, "{retried} of {faults}");
    println!("no response: {faults} faults, {retried} retried, identical");
}

#[test]
fn slow_responses_are_not_failures() {
    let wire = Wire::new();
    let pause = Duration::from_millis(300);
    let slow = Fault::SlowResponse { pieces: 8, pause };
    let proxy = wire.proxy(every_nth(16, slow));
    let ran = wire.start(&proxy, &[]).expect(0);
    wire.assert_identical();
    // Slow responses are not failures.
    assert_eq!(proxy.puts(), wire.objects());
    assert!(proxy.faults().len() >= 16);
    assert!(!ran.stderr.contains("retrying for up to"), "{ran:#?}");
}

#[test]
fn connections_that_close_after_the_response_cause_at_most_one_retry() {
    let wire = Wire::new();
    let proxy = wire.proxy(every_nth(4, Fault::CloseAfterResponse));
    wire.start(&proxy, &[]).expect(0);
    wire.assert_identical();
    // A request on a closing connection is sent again, at most once.
    let puts = proxy.puts_by_blob();
    assert!(puts.values().all(|puts| *puts <= 2), "{puts:?}");
    assert_eq!(puts.len(), wire.objects());
}

#[test]
fn random_faults_do_not_change_the_container() {
    for seed in [1, 2, 3] {
        let wire = Wire::new();
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        let proxy = wire.proxy(Box::new(move |call: &Call| {
            let mut random = random.lock().unwrap();
            // Any request, but at most the first three attempts.
            if random.u32(..100) >= 20 || call.attempt > 3 {
                return None;
            }
            Some(match random.u32(..8) {
                0 => Fault::refusal(500, "InternalError"),
                1 => Fault::refusal(503, "ServerBusy"),
                2 => Fault::retry_after(503, "ServerBusy", 1),
                3 => Fault::retry_after(429, "TooManyRequests", 1),
                4 => Fault::ResetDuringRequest,
                5 => Fault::ResetBeforeResponse,
                6 => Fault::LostResponse,
                _ => Fault::CloseAfterResponse,
            })
        }));
        wire.start(&proxy, &[]).expect(0);
        wire.assert_identical();
        let faults = proxy.faults().len();
        assert!(faults > 30, "{faults}");
        assert_eq!(
            proxy.puts_by_blob().into_keys().collect::<BTreeSet<_>>(),
            wire.undisturbed.keys().cloned().collect::<BTreeSet<_>>()
        );
        println!("seed {seed}: {faults} faults, {} uploads", proxy.puts());
    }
}

/// Loads with one upload that fails permanently. The load must pause, and a resume must complete it.
fn assert_paused(fault: Fault, wording: &str) {
    let wire = Wire::new();
    let puts = Mutex::new(0);
    let proxy = wire.proxy(Box::new(move |call| {
        let mut puts = puts.lock().unwrap();
        *puts += u32::from(call.operation == Operation::Put);
        (*puts == 100 && call.operation == Operation::Put).then(|| fault.clone())
    }));
    let ran = wire.start(&proxy, &[]).expect(1);
    let faults = proxy.faults();
    assert_eq!(faults.len(), 1);
    let blob = &faults[0].blob;
    assert_eq!(proxy.puts_by_blob()[blob], 1, "it was retried");
    let object = format!("could not write the blob {blob} of {}", proxy.endpoint());
    for text in [
        &*object,
        wording,
        "resume with the same command without --new",
    ] {
        assert!(ran.stderr.contains(text), "no {text:?} in {ran:#?}");
    }
    // There is one message about the failure, and none about retries.
    assert_eq!(ran.stderr.matches("could not").count(), 1, "{ran:#?}");
    assert!(
        !ran.stderr.contains("trying") && !ran.stderr.contains("tried"),
        "{ran:#?}"
    );
    let before = proxy.puts();
    wire.resume(&proxy, &[]).expect(0);
    wire.assert_identical();
    assert!(
        proxy.puts_by_blob().values().all(|puts| *puts <= 2),
        "{:?}",
        proxy.puts_by_blob()
    );
    println!(
        "{wording}: 1 attempt, {before} uploads, then {}",
        proxy.puts() - before
    );
}

#[test]
fn a_rejected_token_pauses_the_load() {
    let refused = Fault::Refusal {
        status: 403,
        code: "AuthenticationFailed",
        detail: "<AuthenticationErrorDetail>Signature did not match.</AuthenticationErrorDetail>",
        retry_after: None,
    };
    assert_paused(refused, "the service rejected the SAS token");
}

#[test]
fn a_missing_permission_pauses_the_load() {
    assert_paused(
        Fault::refusal(403, "AuthorizationPermissionMismatch"),
        "does not permit this: it needs read, write, delete and list",
    );
}

#[test]
fn a_missing_container_pauses_the_load() {
    assert_paused(
        Fault::refusal(404, "ContainerNotFound"),
        "the container does not exist: create it",
    );
}

#[test]
fn a_lease_pauses_the_load() {
    assert_paused(Fault::refusal(412, "LeaseIdMissing"), "break the lease");
}

#[test]
fn an_immutability_policy_pauses_the_load() {
    assert_paused(
        Fault::refusal(409, "BlobImmutableDueToPolicy"),
        "lift the policy",
    );
}

#[test]
fn a_request_that_is_too_large_pauses_the_load() {
    assert_paused(
        Fault::refusal(413, "RequestBodyTooLarge"),
        "look for a proxy",
    );
}

#[test]
fn an_error_of_the_first_request_starts_no_transfer() {
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|call| {
        (call.number == 1).then(|| Fault::refusal(404, "ContainerNotFound"))
    }));
    let ran = wire
        .start(&proxy, &[])
        .refused(1, "the container does not exist");
    assert_eq!(proxy.calls().len(), 1);
    // No transfer was started, so there is none to resume.
    assert!(!ran.stderr.contains("without --new"), "{ran:#?}");
    assert!(!wire.state().exists());
    wire.start(&proxy, &[]).expect(0);
    wire.assert_identical();
}
