//! Whatever single requests run into, the container ends as that of an undisturbed load.
//! docs/reliability.md, "Faults on the wire", names these tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use clfsload::container::Operation;
use support::fault_proxy::{Call, Fault, FaultProxy, Script};
use support::wire::Wire;

/// Does `fault` to the first put of every `every`-th object.
fn now_and_then(every: u64, fault: Fault) -> Script {
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

/// A load in which `fault` comes now and then; it must end well, and repeat what failed, once each.
fn rides_out(fault: Fault, wording: &str) -> FaultProxy {
    let wire = Wire::new();
    let proxy = wire.proxy(now_and_then(16, fault.clone()));
    let ran = wire.begin(&proxy, &[]).expect(0);
    wire.assert_identical();
    let disturbed = proxy.disturbed();
    assert!(disturbed.len() >= 16, "{} faults only", disturbed.len());
    assert_eq!(proxy.puts(), wire.objects() + disturbed.len());
    for (blob, tries) in proxy.tries() {
        let failed = disturbed.iter().any(|call| call.blob == blob);
        assert_eq!(tries, 1 + usize::from(failed), "{blob}");
    }
    // Told at once, but not once for each.
    let told = ran.stderr.matches("waiting and trying again").count();
    assert!(ran.stderr.contains(wording), "no {wording:?} in {ran:#?}");
    assert!((1..=3).contains(&told), "{ran:#?}");
    assert!(
        ran.stdout.contains("the container responds again after"),
        "{ran:#?}"
    );
    println!(
        "{fault:?}: {} faults, {} puts of {} objects, identical",
        disturbed.len(),
        proxy.puts(),
        wire.objects()
    );
    proxy
}

#[test]
fn errors_of_the_service() {
    rides_out(Fault::refusal(500, "InternalError"), "the service failed");
}

/// A load in which the service turns every fourth object away once: told once, and no outage.
fn slows_down(fault: Fault) {
    let wire = Wire::new();
    let proxy = wire.proxy(now_and_then(4, fault.clone()));
    let ran = wire.begin(&proxy, &[]).expect(0);
    wire.assert_identical();
    let disturbed = proxy.disturbed();
    assert!(disturbed.len() >= 60, "{} faults only", disturbed.len());
    assert_eq!(proxy.puts(), wire.objects() + disturbed.len());
    for (blob, tries) in proxy.tries() {
        let refused = disturbed.iter().any(|call| call.blob == blob);
        assert_eq!(tries, 1 + usize::from(refused), "{blob}");
    }
    let told = ran.stderr.matches("the service asks for fewer requests");
    assert_eq!(told.count(), 1, "{ran:#?}");
    assert!(!ran.stderr.contains("trying again"), "{ran:#?}");
    assert!(!ran.stdout.contains("answers again"), "{ran:#?}");
    println!(
        "{fault:?}: {} faults, {} puts of {} objects, identical",
        disturbed.len(),
        proxy.puts(),
        wire.objects()
    );
}

#[test]
fn a_busy_service() {
    slows_down(Fault::refusal(503, "ServerBusy"));
}

#[test]
fn a_busy_service_that_names_a_wait() {
    let started = std::time::Instant::now();
    slows_down(Fault::wait(503, "ServerBusy", 2));
    assert!(started.elapsed() >= Duration::from_secs(2), "not waited");
}

#[test]
fn too_many_requests() {
    slows_down(Fault::wait(429, "TooManyRequests", 1));
}

#[test]
fn an_overloaded_partition() {
    slows_down(Fault::refusal(500, "OperationTimedOut"));
}

/// One object is turned away again and again while all others go through: an outage of this request.
#[test]
fn a_service_that_stays_busy_for_one_object() {
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
    let ran = wire.begin(&proxy, &[]).expect(0);
    wire.assert_identical();
    assert_eq!(proxy.disturbed().len(), 6);
    let told = ran.stderr.matches("the service is throttling requests");
    assert_eq!(told.count(), 1, "{ran:#?}");
    assert!(
        ran.stdout.contains("the container responds again after"),
        "{ran:#?}"
    );
}

#[test]
fn resets_in_the_middle_of_the_content() {
    rides_out(Fault::CutRequest, "the connection broke");
}

#[test]
fn resets_before_the_answer() {
    rides_out(Fault::ResetBeforeAnswer, "the connection broke");
}

#[test]
fn lost_answers() {
    let proxy = rides_out(Fault::LostAnswer, "the connection broke");
    // The service stored these all the same; the second put replaced them.
    assert!(
        proxy
            .disturbed()
            .iter()
            .all(|call| call.status == Some(201))
    );
}

#[test]
fn answers_that_never_come() {
    let wire = Wire::new();
    let proxy = wire.proxy(now_and_then(40, Fault::Silence));
    let ran = wire.begin(&proxy, &["--answer-timeout", "4000"]).expect(0);
    wire.assert_identical();
    assert!(
        ran.stderr.contains("the request timed out"),
        "{ran:#?}"
    );
    let tries = proxy.tries();
    for call in proxy.disturbed() {
        assert!(tries[&call.blob] >= 2, "{call:?}");
    }
    // Azurite may be slower than that itself when the machine is busy.
    let repeated = proxy.puts() - wire.objects();
    let silenced = proxy.disturbed().len();
    assert!(
        silenced >= 6 && repeated >= silenced,
        "{repeated} of {silenced}"
    );
    println!("silence: {silenced} faults, {repeated} repeated, identical");
}

#[test]
fn answers_that_trickle() {
    let wire = Wire::new();
    let pause = Duration::from_millis(300);
    let slow = Fault::SlowAnswer { pieces: 8, pause };
    let proxy = wire.proxy(now_and_then(16, slow));
    let ran = wire.begin(&proxy, &[]).expect(0);
    wire.assert_identical();
    // Slow is no failure.
    assert_eq!(proxy.puts(), wire.objects());
    assert!(proxy.disturbed().len() >= 16);
    assert!(!ran.stderr.contains("trying again"), "{ran:#?}");
}

#[test]
fn connections_that_close_behind_the_answer() {
    let wire = Wire::new();
    let proxy = wire.proxy(now_and_then(4, Fault::CloseAfterAnswer));
    wire.begin(&proxy, &[]).expect(0);
    wire.assert_identical();
    // A request may meet the close and go once more; none does twice.
    let tries = proxy.tries();
    assert!(tries.values().all(|tries| *tries <= 2), "{tries:?}");
    assert_eq!(tries.len(), wire.objects());
}

#[test]
fn everything_at_random() {
    for seed in [1, 2, 3] {
        let wire = Wire::new();
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        let proxy = wire.proxy(Box::new(move |call: &Call| {
            let mut random = random.lock().unwrap();
            // Any request but no more than three times the same.
            if random.u32(..100) >= 20 || call.attempt > 3 {
                return None;
            }
            Some(match random.u32(..8) {
                0 => Fault::refusal(500, "InternalError"),
                1 => Fault::refusal(503, "ServerBusy"),
                2 => Fault::wait(503, "ServerBusy", 1),
                3 => Fault::wait(429, "TooManyRequests", 1),
                4 => Fault::CutRequest,
                5 => Fault::ResetBeforeAnswer,
                6 => Fault::LostAnswer,
                _ => Fault::CloseAfterAnswer,
            })
        }));
        wire.begin(&proxy, &[]).expect(0);
        wire.assert_identical();
        let disturbed = proxy.disturbed().len();
        assert!(disturbed > 30, "{disturbed}");
        assert_eq!(
            proxy.tries().into_keys().collect::<BTreeSet<_>>(),
            wire.undisturbed.keys().cloned().collect::<BTreeSet<_>>()
        );
        println!("seed {seed}: {disturbed} faults, {} puts", proxy.puts());
    }
}

/// A load in which one put, and only it, is answered with a refusal that time does not heal.
fn comes_to_rest(fault: Fault, wording: &str) {
    let wire = Wire::new();
    let puts = Mutex::new(0);
    let proxy = wire.proxy(Box::new(move |call| {
        let mut puts = puts.lock().unwrap();
        *puts += u32::from(call.operation == Operation::Put);
        (*puts == 100 && call.operation == Operation::Put).then(|| fault.clone())
    }));
    let ran = wire.begin(&proxy, &[]).expect(1);
    let disturbed = proxy.disturbed();
    assert_eq!(disturbed.len(), 1);
    let blob = &disturbed[0].blob;
    assert_eq!(proxy.tries()[blob], 1, "it was tried again");
    let object = format!("could not write the blob {blob} of {}", proxy.endpoint());
    for said in [&*object, wording, "run the same command without --new"] {
        assert!(ran.stderr.contains(said), "no {said:?} in {ran:#?}");
    }
    // One sentence for it, and nothing of waiting.
    assert_eq!(ran.stderr.matches("could not").count(), 1, "{ran:#?}");
    assert!(
        !ran.stderr.contains("trying") && !ran.stderr.contains("tried"),
        "{ran:#?}"
    );
    let before = proxy.puts();
    wire.resume(&proxy, &[]).expect(0);
    wire.assert_identical();
    assert!(
        proxy.tries().values().all(|tries| *tries <= 2),
        "{:?}",
        proxy.tries()
    );
    println!(
        "{wording}: 1 try, {before} puts, then {}",
        proxy.puts() - before
    );
}

#[test]
fn a_token_that_is_not_accepted() {
    let refused = Fault::Refusal {
        status: 403,
        code: "AuthenticationFailed",
        detail: "<AuthenticationErrorDetail>Signature did not match.</AuthenticationErrorDetail>",
        retry_after: None,
    };
    comes_to_rest(refused, "the service rejected the SAS token");
}

#[test]
fn a_permission_that_is_missing() {
    comes_to_rest(
        Fault::refusal(403, "AuthorizationPermissionMismatch"),
        "does not permit this: it needs read, write, delete and list",
    );
}

#[test]
fn a_container_that_is_gone() {
    comes_to_rest(
        Fault::refusal(404, "ContainerNotFound"),
        "the container does not exist: create it",
    );
}

#[test]
fn a_lease_in_the_way() {
    comes_to_rest(Fault::refusal(412, "LeaseIdMissing"), "break the lease");
}

#[test]
fn an_immutability_policy_in_the_way() {
    comes_to_rest(
        Fault::refusal(409, "BlobImmutableDueToPolicy"),
        "lift the policy",
    );
}

#[test]
fn a_request_that_is_too_large() {
    comes_to_rest(
        Fault::refusal(413, "RequestBodyTooLarge"),
        "look for a proxy",
    );
}

#[test]
fn a_refusal_at_the_very_start() {
    let wire = Wire::new();
    let proxy = wire.proxy(Box::new(|call| {
        (call.number == 1).then(|| Fault::refusal(404, "ContainerNotFound"))
    }));
    let ran = wire
        .begin(&proxy, &[])
        .refused(1, "the container does not exist");
    assert_eq!(proxy.calls().len(), 1);
    // Nothing was begun, so there is nothing to go on with.
    assert!(!ran.stderr.contains("without --new"), "{ran:#?}");
    assert!(!wire.state().exists());
    wire.begin(&proxy, &[]).expect(0);
    wire.assert_identical();
}
