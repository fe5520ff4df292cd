//! Single steps of the limit.

use super::*;

const BOUNDS: Bounds = Bounds {
    least: 4,
    start: 64,
    most: 1024,
};

/// An epoch of half a second in which the limit held requests up.
fn busy(limit: usize, throughput: f64) -> Measured {
    let seconds = 0.5;
    let count = (throughput * seconds) as u64;
    Measured {
        elapsed: Duration::from_secs_f64(seconds),
        tried: count.max(limit as u64),
        waited: count.max(limit as u64),
        answered: count,
        answer_time: Duration::from_millis(10),
        ..Measured::default()
    }
}

#[test]
fn a_bad_epoch_does_not_end_the_doubling() {
    let mut climb = Climb::new(BOUNDS);
    for epoch in 0..12 {
        let limit = climb.limit();
        let measured = busy(limit, limit as f64 * 100.0);
        let failed = if epoch == 2 { measured.answered + 1 } else { 0 };
        climb.epoch(&Measured { failed, ..measured });
    }
    assert_eq!(climb.limit(), BOUNDS.most);
}

#[test]
fn lower_limits_cost_three_hundredths_in_all() {
    // Each step down costs 2 %, each up brings 2 % of what is not enough to be kept.
    let throughput = |limit: usize| 10_000.0 * (limit as f64 / 1024.0).powf(0.05);
    let mut climb = Climb::new(BOUNDS);
    climb.base = 1024;
    climb.limit = 1024;
    climb.hold();
    for _ in 0..20_000 {
        climb.epoch(&busy(climb.limit(), throughput(climb.limit())));
    }
    let left = throughput(climb.base) / 10_000.0;
    assert!((0.95..0.99).contains(&left), "{left} at {}", climb.base);
}
