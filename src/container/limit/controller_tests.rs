//! The controller against simulated services.

use super::super::simulated::{MAX_CONCURRENCY, Scenario, Simulation, Throttle};
use super::*;

#[test]
fn throughput_is_near_the_optimum_at_any_latency() {
    for latency in [0.0, 0.002, 0.01, 0.05, 0.1] {
        for noise in [0.0, 0.1, 0.2] {
            for seed in 0..8 {
                let scenario = Scenario {
                    latency,
                    noise,
                    ..Scenario::default()
                };
                let best = scenario.best_throughput();
                let mut simulation = Simulation::new(scenario, seed);
                simulation.run(300.0);
                let early = simulation.throughput(5, 15);
                let late = simulation.throughput(15, 300);
                let context =
                    format!("{latency} s, noise {noise}, seed {seed}: {early}, {late} of {best}");
                assert!(early > 0.8 * best && late > 0.85 * best, "{context}");
            }
        }
    }
}

#[test]
fn the_limit_stays_low_where_more_requests_gain_nothing() {
    let loopback = Scenario {
        latency: 0.0,
        noise: 0.15,
        ..Scenario::default()
    };
    let slow_line = Scenario {
        latency: 0.01,
        request_bytes: 200_000.0,
        line_rate: 100e6,
        noise: 0.15,
        ..Scenario::default()
    };
    let same_region = Scenario {
        latency: 0.005,
        noise: 0.15,
        ..Scenario::default()
    };
    for scenario in [loopback, slow_line, same_region] {
        for seed in 0..16 {
            let mut simulation = Simulation::new(scenario.clone(), seed);
            let mut highest = 0;
            for _ in 0..300 {
                simulation.run(1.0);
                highest = highest.max(simulation.limit());
            }
            assert!(highest <= 300, "{highest} with seed {seed} in {scenario:?}");
        }
    }
}

#[test]
fn the_rate_settles_just_below_the_ceiling_of_a_throttling_service() {
    let throttles = |rate| {
        [
            Throttle::Bucket { rate, seconds: 0.0 },
            Throttle::Bucket { rate, seconds: 0.2 },
            Throttle::Bucket { rate, seconds: 1.0 },
            Throttle::Window { rate },
        ]
    };
    for (rate, latency) in [
        (500.0, 0.01),
        (2_000.0, 0.01),
        (5_000.0, 0.0),
        (5_000.0, 0.05),
    ] {
        for throttle in throttles(rate) {
            let scenario = Scenario {
                latency,
                throttle: Some(throttle),
                noise: 0.1,
                ..Scenario::default()
            };
            let mut simulation = Simulation::new(scenario, 1);
            simulation.run(600.0);
            let throughput = simulation.throughput(30, 600);
            let throttled = simulation.throttled_share(30, 600);
            let context =
                format!("{throttle:?} at {latency} s: {throughput}, {throttled} throttled");
            assert!(throughput > 0.85 * rate, "{context}");
            assert!(throttled < 0.002, "{context}");
            // The throughput must not oscillate, except in the seconds in which a bucket allows a burst.
            let outliers = simulation.seconds[60..600]
                .iter()
                .filter(|second| (second.completed / throughput - 1.0).abs() > 0.15)
                .count();
            assert!(outliers <= 10, "{context}, {outliers} seconds far off");
        }
    }
}

#[test]
fn throughput_recovers_after_throttling_ends() {
    for (rate, after) in [(500.0, 60.0), (2_000.0, 60.0), (2_000.0, 600.0)] {
        let scenario = Scenario {
            throttle: Some(Throttle::Bucket { rate, seconds: 0.0 }),
            ..Scenario::default()
        };
        let mut simulation = Simulation::new(scenario, 1);
        simulation.run(after);
        simulation.scenario.throttle = None;
        simulation.run(180.0);
        let end = simulation.time as usize - 1;
        let throughput = simulation.throughput(end - 20, end);
        let best = simulation.scenario.best_throughput();
        assert!(throughput > 0.8 * best, "{rate}: {throughput}");
        // The unused limit is lifted, so that the end of the throttling is reported.
        simulation.run(120.0);
        assert_eq!(simulation.controller.settings().rate, None);
    }
}

#[test]
fn the_rate_follows_a_lower_ceiling_within_seconds() {
    let throttle = |rate| Some(Throttle::Bucket { rate, seconds: 0.0 });
    let scenario = Scenario {
        throttle: throttle(8_000.0),
        ..Scenario::default()
    };
    let mut simulation = Simulation::new(scenario, 1);
    simulation.run(60.0);
    simulation.scenario.throttle = throttle(300.0);
    let from = simulation.time as usize;
    simulation.run(60.0);
    let throttled = simulation.throttled_share(from + 6, from + 60);
    let throughput = simulation.throughput(from + 6, from + 60);
    assert!(
        throttled < 0.02 && throughput > 240.0,
        "{throttled}, {throughput}"
    );
}

#[test]
fn the_limits_survive_an_outage() {
    let scenario = Scenario {
        latency: 0.05,
        ..Scenario::default()
    };
    let best = scenario.best_throughput();
    let mut simulation = Simulation::new(scenario.clone(), 1);
    simulation.run(30.0);
    let limits =
        |simulation: &Simulation| (simulation.limit(), simulation.controller.settings().rate);
    let before = limits(&simulation);
    simulation.scenario.fails = true;
    simulation.run(10.0);
    assert_eq!(limits(&simulation), before);
    simulation.scenario.fails = false;
    let from = simulation.time as usize + 1;
    simulation.run(20.0);
    assert!(simulation.throughput(from + 1, from + 15) > 0.8 * best);

    // A line that drops everything for a minute lowers the limit, but not for long.
    let mut simulation = Simulation::new(scenario.clone(), 1);
    simulation.run(30.0);
    simulation.scenario.is_silent = true;
    simulation.run(60.0);
    assert_eq!(simulation.limit(), 4);
    simulation.scenario.is_silent = false;
    let from = simulation.time as usize + 1;
    simulation.run(40.0);
    let throughput = simulation.throughput(from + 10, from + 30);
    assert!(throughput > 0.8 * best, "{throughput}");

    // During a failover the service responds 503 to all requests.
    let mut simulation = Simulation::new(scenario, 1);
    simulation.run(30.0);
    simulation.scenario.throttle = Some(Throttle::All);
    simulation.run(30.0);
    simulation.scenario.throttle = None;
    let from = simulation.time as usize;
    simulation.run(60.0);
    let throughput = simulation.throughput(from + 25, from + 50);
    assert!(throughput > 0.8 * best, "{throughput}");
}

#[test]
fn a_slow_source_does_not_change_the_limit() {
    let scenario = Scenario {
        latency: 0.05,
        ..Scenario::default()
    };
    let best = scenario.best_throughput();
    let mut simulation = Simulation::new(scenario, 1);
    simulation.run(20.0);
    let limit = simulation.limit();
    simulation.scenario.source_rate = 100.0;
    simulation.run(600.0);
    assert_eq!(simulation.limit(), limit);
    simulation.scenario.source_rate = 0.0;
    simulation.run(600.0);
    assert_eq!(simulation.limit(), limit);
    simulation.scenario.source_rate = f64::INFINITY;
    let from = simulation.time as usize + 1;
    simulation.run(30.0);
    assert!(simulation.throughput(from, from + 25) > 0.8 * best);
}

#[test]
fn throttling_at_a_low_rate_does_not_limit_a_later_high_rate() {
    let scenario = Scenario {
        latency: 0.01,
        source_rate: 50.0,
        ..Scenario::default()
    };
    let mut simulation = Simulation::new(scenario, 1);
    simulation.run(10.0);
    simulation.scenario.throttle = Some(Throttle::Bucket {
        rate: 40.0,
        seconds: 0.0,
    });
    simulation.run(1.0);
    simulation.scenario.throttle = None;
    simulation.run(30.0);
    simulation.scenario.source_rate = f64::INFINITY;
    let from = simulation.time as usize;
    simulation.run(60.0);
    let throughput = simulation.throughput(from + 30, from + 59);
    let best = simulation.scenario.best_throughput();
    assert!(throughput > 0.8 * best, "{throughput}");
}

#[test]
fn stray_throttling_costs_little_throughput() {
    let hours = 6;
    for capacity in [200.0, 10_000.0] {
        for (stray_share, stray_interval) in
            [(1e-5, None), (1e-4, None), (1e-3, None), (0.0, Some(60.0))]
        {
            // Once without a rate limit at first, once with one whose ceiling has gone.
            for throttle in [
                None,
                Some(Throttle::Bucket {
                    rate: capacity / 2.0,
                    seconds: 0.0,
                }),
            ] {
                let scenario = Scenario {
                    capacity,
                    stray_share,
                    stray_interval,
                    throttle,
                    noise: 0.1,
                    ..Scenario::default()
                };
                let mut simulation = Simulation::new(scenario, 1);
                simulation.run(60.0);
                simulation.scenario.throttle = None;
                simulation.run(300.0);
                simulation.run(f64::from(hours) * 3600.0);
                let end = simulation.time as usize;
                let total = simulation.throughput(360, end - 1) / capacity;
                let last = simulation.throughput(end - 600, end - 1) / capacity;
                let context =
                    format!("{capacity}/s, {stray_share}, {stray_interval:?}: {total}, {last}");
                assert!(total > 0.85 && last > 0.85, "{context}");
            }
        }
    }
}

#[test]
fn timeouts_halve_the_limit_down_to_the_min() {
    let mut controller = Controller::new(Bounds {
        min: 4,
        start: 64,
        max: MAX_CONCURRENCY,
    });
    let all_time_out = Measurement {
        elapsed: Duration::from_secs(2),
        attempts: 10,
        waited_for_permit: 10,
        timed_out: 10,
        ..Measurement::default()
    };
    let limits: Vec<usize> = (0..6)
        .map(|_| controller.end_epoch(&all_time_out).concurrency)
        .collect();
    assert_eq!(limits, [32, 16, 8, 4, 4, 4]);
}

#[test]
fn the_limit_is_low_on_a_slow_line() {
    // 20 MB/s for objects of 2 MB.
    let scenario = Scenario {
        request_bytes: 2e6,
        line_rate: 20e6,
        max_sharing: 16.0,
        ..Scenario::default()
    };
    for seed in 0..8 {
        let mut simulation = Simulation::new(scenario.clone(), seed);
        simulation.run(600.0);
        assert!(simulation.limit() <= 16, "{}", simulation.limit());
        let throughput = simulation.throughput(60, 600);
        assert!(throughput > 0.9 * 10.0, "{throughput}");
    }
}

#[test]
fn a_fixed_limit_does_not_change() {
    let mut simulation = Simulation::new(Scenario::default(), 1);
    simulation.controller = Controller::new(Bounds {
        min: 10,
        start: 10,
        max: 10,
    });
    for _ in 0..60 {
        simulation.run(1.0);
        assert_eq!(simulation.limit(), 10);
    }
    assert!((simulation.throughput(10, 60) - 1000.0).abs() < 10.0);
}
