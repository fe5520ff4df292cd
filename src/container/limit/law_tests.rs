//! The law against simulated services.

use super::super::simulated::{Cap, MOST, Run, World};
use super::*;

#[test]
fn within_a_fifth_of_the_best_limit_at_any_answer_time() {
    for delay in [0.0, 0.002, 0.01, 0.05, 0.1] {
        for noise in [0.0, 0.1, 0.2] {
            for seed in 0..8 {
                let world = World {
                    delay,
                    noise,
                    ..World::default()
                };
                let best = world.best();
                let mut run = Run::new(world, seed);
                run.run(300.0);
                let (soon, later) = (run.throughput(5, 15), run.throughput(15, 300));
                let what =
                    format!("{delay} s, noise {noise}, seed {seed}: {soon}, {later} of {best}");
                assert!(soon > 0.8 * best && later > 0.85 * best, "{what}");
            }
        }
    }
}

#[test]
fn no_more_requests_than_bring_something() {
    let loopback = World {
        delay: 0.0,
        noise: 0.15,
        ..World::default()
    };
    let thin_line = World {
        delay: 0.01,
        bytes: 200_000.0,
        line: 100e6,
        noise: 0.15,
        ..World::default()
    };
    let near = World {
        delay: 0.005,
        noise: 0.15,
        ..World::default()
    };
    for world in [loopback, thin_line, near] {
        for seed in 0..16 {
            let mut run = Run::new(world.clone(), seed);
            let mut highest = 0;
            for _ in 0..300 {
                run.run(1.0);
                highest = highest.max(run.limit());
            }
            assert!(highest <= 300, "{highest} with seed {seed} in {world:?}");
        }
    }
}

#[test]
fn settles_under_the_rate_of_a_service_that_throttles() {
    let caps = |rate| {
        [
            Cap::Bucket { rate, seconds: 0.0 },
            Cap::Bucket { rate, seconds: 0.2 },
            Cap::Bucket { rate, seconds: 1.0 },
            Cap::Window { rate },
        ]
    };
    for (rate, delay) in [
        (500.0, 0.01),
        (2_000.0, 0.01),
        (5_000.0, 0.0),
        (5_000.0, 0.05),
    ] {
        for cap in caps(rate) {
            let world = World {
                delay,
                cap: Some(cap),
                noise: 0.1,
                ..World::default()
            };
            let mut run = Run::new(world, 1);
            run.run(600.0);
            let (throughput, away) = (run.throughput(30, 600), run.turned_away(30, 600));
            let what = format!("{cap:?} at {delay} s: {throughput}, {away} turned away");
            assert!(throughput > 0.85 * rate, "{what}");
            assert!(away < 0.002, "{what}");
            // No oscillation: what is sent stays near what is taken, but for the seconds in which a
            // bucket lets a burst through.
            let strays = run.seconds[60..600]
                .iter()
                .filter(|second| (second.0 / throughput - 1.0).abs() > 0.15)
                .count();
            assert!(strays <= 10, "{what}, {strays} seconds far off");
        }
    }
}

#[test]
fn a_rate_that_is_no_longer_bounded_is_found_again() {
    for (rate, after) in [(500.0, 60.0), (2_000.0, 60.0), (2_000.0, 600.0)] {
        let world = World {
            cap: Some(Cap::Bucket { rate, seconds: 0.0 }),
            ..World::default()
        };
        let mut run = Run::new(world, 1);
        run.run(after);
        run.world.cap = None;
        run.run(180.0);
        let end = run.time as usize - 1;
        let throughput = run.throughput(end - 20, end);
        assert!(throughput > 0.8 * run.world.best(), "{rate}: {throughput}");
        // It is lifted once it is of no use, so that nothing is told of it for ever.
        run.run(120.0);
        assert_eq!(run.law.settings().pace, None);
    }
}

#[test]
fn a_lower_rate_is_followed_within_seconds() {
    let cap = |rate| Some(Cap::Bucket { rate, seconds: 0.0 });
    let world = World {
        cap: cap(8_000.0),
        ..World::default()
    };
    let mut run = Run::new(world, 1);
    run.run(60.0);
    run.world.cap = cap(300.0);
    let from = run.time as usize;
    run.run(60.0);
    let (away, throughput) = (
        run.turned_away(from + 6, from + 60),
        run.throughput(from + 6, from + 60),
    );
    assert!(away < 0.02 && throughput > 240.0, "{away}, {throughput}");
}

#[test]
fn an_outage_leaves_the_limits_as_they_were() {
    let world = World {
        delay: 0.05,
        ..World::default()
    };
    let best = world.best();
    let mut run = Run::new(world.clone(), 1);
    run.run(30.0);
    let limits = |run: &Run| (run.limit(), run.law.settings().pace);
    let before = limits(&run);
    run.world.down = true;
    run.run(10.0);
    assert_eq!(limits(&run), before);
    run.world.down = false;
    let from = run.time as usize + 1;
    run.run(20.0);
    assert!(run.throughput(from + 1, from + 15) > 0.8 * best);

    // A line that swallows everything for a minute halves the limit, but not for long.
    let mut run = Run::new(world.clone(), 1);
    run.run(30.0);
    run.world.mute = true;
    run.run(60.0);
    assert_eq!(run.limit(), 4);
    run.world.mute = false;
    let from = run.time as usize + 1;
    run.run(40.0);
    let throughput = run.throughput(from + 10, from + 30);
    assert!(throughput > 0.8 * best, "{throughput}");

    // A service that fails over answers 503 to everything for a while.
    let mut run = Run::new(world, 1);
    run.run(30.0);
    run.world.cap = Some(Cap::Nothing);
    run.run(30.0);
    run.world.cap = None;
    let from = run.time as usize;
    run.run(60.0);
    let throughput = run.throughput(from + 25, from + 50);
    assert!(throughput > 0.8 * best, "{throughput}");
}

#[test]
fn a_slow_source_teaches_nothing() {
    let world = World {
        delay: 0.05,
        ..World::default()
    };
    let best = world.best();
    let mut run = Run::new(world, 1);
    run.run(20.0);
    let found = run.limit();
    run.world.source = 100.0;
    run.run(600.0);
    assert_eq!(run.limit(), found);
    run.world.source = 0.0;
    run.run(600.0);
    assert_eq!(run.limit(), found);
    run.world.source = f64::INFINITY;
    let from = run.time as usize + 1;
    run.run(30.0);
    assert!(run.throughput(from, from + 25) > 0.8 * best);
}

#[test]
fn a_stray_refusal_on_a_quiet_day_does_not_slow_the_busy_one() {
    let world = World {
        delay: 0.01,
        source: 50.0,
        ..World::default()
    };
    let mut run = Run::new(world, 1);
    run.run(10.0);
    run.world.cap = Some(Cap::Bucket {
        rate: 40.0,
        seconds: 0.0,
    });
    run.run(1.0);
    run.world.cap = None;
    run.run(30.0);
    run.world.source = f64::INFINITY;
    let from = run.time as usize;
    run.run(60.0);
    let throughput = run.throughput(from + 30, from + 59);
    assert!(throughput > 0.8 * run.world.best(), "{throughput}");
}

#[test]
fn refusals_that_have_nothing_to_do_with_the_rate_cost_little() {
    let hours = 6;
    for capacity in [200.0, 10_000.0] {
        for (strays, stray_every) in [(1e-5, None), (1e-4, None), (1e-3, None), (0.0, Some(60.0))] {
            // Once with no pace so far, once with one whose ceiling has gone.
            for cap in [
                None,
                Some(Cap::Bucket {
                    rate: capacity / 2.0,
                    seconds: 0.0,
                }),
            ] {
                let world = World {
                    capacity,
                    strays,
                    stray_every,
                    cap,
                    noise: 0.1,
                    ..World::default()
                };
                let mut run = Run::new(world, 1);
                run.run(60.0);
                run.world.cap = None;
                run.run(300.0);
                run.run(f64::from(hours) * 3600.0);
                let end = run.time as usize;
                let whole = run.throughput(360, end - 1) / capacity;
                let last = run.throughput(end - 600, end - 1) / capacity;
                let what = format!("{capacity}/s, {strays}, {stray_every:?}: {whole}, {last}");
                assert!(whole > 0.85 && last > 0.85, "{what}");
            }
        }
    }
}

#[test]
fn requests_that_time_out_halve_the_limit_down_to_a_few() {
    let mut law = Law::new(Bounds {
        least: 4,
        start: 64,
        most: MOST,
    });
    let nothing_comes_through = Measured {
        elapsed: Duration::from_secs(2),
        tried: 10,
        waited: 10,
        timed_out: 10,
        ..Measured::default()
    };
    let limits: Vec<usize> = (0..6)
        .map(|_| law.epoch(&nothing_comes_through).concurrency)
        .collect();
    assert_eq!(limits, [32, 16, 8, 4, 4, 4]);
}

#[test]
fn a_line_too_thin_for_many_requests_gets_few() {
    // 20 MB/s for objects of 2 MB.
    let world = World {
        bytes: 2e6,
        line: 20e6,
        patience: 16.0,
        ..World::default()
    };
    for seed in 0..8 {
        let mut run = Run::new(world.clone(), seed);
        run.run(600.0);
        assert!(run.limit() <= 16, "{}", run.limit());
        let throughput = run.throughput(60, 600);
        assert!(throughput > 0.9 * 10.0, "{throughput}");
    }
}

#[test]
fn a_fixed_limit_stays() {
    let mut run = Run::new(World::default(), 1);
    run.law = Law::new(Bounds {
        least: 10,
        start: 10,
        most: 10,
    });
    for _ in 0..60 {
        run.run(1.0);
        assert_eq!(run.limit(), 10);
    }
    assert!((run.throughput(10, 60) - 1000.0).abs() < 10.0);
}
