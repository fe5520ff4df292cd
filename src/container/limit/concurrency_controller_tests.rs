//! The concurrency controller, one epoch at a time.

use super::*;

const BOUNDS: Bounds = Bounds {
    min: 4,
    start: 64,
    max: 1024,
};

/// Returns a measurement over half a second in which all requests waited for a permit.
fn limited(limit: usize, throughput: f64) -> Measurement {
    let seconds = 0.5;
    let count = (throughput * seconds) as u64;
    Measurement {
        elapsed: Duration::from_secs_f64(seconds),
        attempts: count.max(limit as u64),
        waited_for_permit: count.max(limit as u64),
        completed: count,
        response_time: Duration::from_millis(10),
        ..Measurement::default()
    }
}

#[test]
fn a_disturbed_epoch_does_not_stop_the_doubling() {
    let mut controller = ConcurrencyController::new(BOUNDS);
    for epoch in 0..12 {
        let limit = controller.limit();
        let measured = limited(limit, limit as f64 * 100.0);
        let failed = if epoch == 2 {
            measured.completed + 1
        } else {
            0
        };
        controller.end_epoch(&Measurement { failed, ..measured });
    }
    assert_eq!(controller.limit(), BOUNDS.max);
}

#[test]
fn lower_limits_cost_at_most_three_percent_in_total() {
    // Each step down costs 2 %; each step up gains 2 %, too little to be kept.
    let throughput = |limit: usize| 10_000.0 * (limit as f64 / 1024.0).powf(0.05);
    let mut controller = ConcurrencyController::new(BOUNDS);
    controller.base = 1024;
    controller.limit = 1024;
    controller.begin_hold();
    for _ in 0..20_000 {
        let limit = controller.limit();
        controller.end_epoch(&limited(limit, throughput(limit)));
    }
    let left = throughput(controller.base) / 10_000.0;
    assert!(
        (0.95..0.99).contains(&left),
        "{left} at {}",
        controller.base
    );
}
