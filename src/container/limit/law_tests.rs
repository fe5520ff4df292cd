//! The law against simulated services, in steps of ten milliseconds that take no time.

use super::*;

/// One step.
const STEP: f64 = 0.01;

/// A service, the way to it and the client, as fluids.
#[derive(Debug, Clone)]
struct World {
    /// The answer time of a service at rest.
    delay: f64,
    /// Requests a second that client and service can handle, whichever can do less.
    capacity: f64,
    /// Requests a second that the source has to offer.
    source: f64,
    /// Bytes of a request, and bytes a second that the line carries.
    bytes: f64,
    line: f64,
    /// Requests a second above which the service turns requests away, and how they are counted.
    cap: Option<Cap>,
    /// No request gets through: each fails at once, or gets no answer in time.
    down: bool,
    mute: bool,
    /// Requests that share the line with more others than this have no answer in time.
    patience: f64,
    /// The share of requests that is turned away whatever their number, and one more each so many seconds.
    strays: f64,
    stray_every: Option<f64>,
    /// How much throughput varies from one tenth of a second to the next, either way.
    noise: f64,
}

#[derive(Debug, Clone, Copy)]
enum Cap {
    /// A bucket that is filled at a rate and holds that of so many seconds.
    Bucket { rate: f64, seconds: f64 },
    /// So many in each second of the clock.
    Window { rate: f64 },
    /// Nothing is taken.
    Nothing,
}

impl Default for World {
    fn default() -> Self {
        World {
            delay: 0.01,
            capacity: 15_000.0,
            source: f64::INFINITY,
            bytes: 3_000.0,
            line: f64::INFINITY,
            cap: None,
            down: false,
            mute: false,
            patience: f64::INFINITY,
            strays: 0.0,
            stray_every: None,
            noise: 0.0,
        }
    }
}

impl World {
    /// What the best fixed limit brings.
    fn best(&self) -> f64 {
        let concurrency = MOST as f64 / self.delay.max(1e-4);
        let able = concurrency.min(self.capacity).min(self.line / self.bytes);
        match self.cap {
            Some(Cap::Bucket { rate, .. } | Cap::Window { rate }) => able.min(rate),
            Some(Cap::Nothing) => 0.0,
            None => able,
        }
        .min(self.source)
    }
}

const MOST: usize = 1024;

/// A law at work.
struct Run {
    world: World,
    law: Law,
    random: fastrand::Rng,
    time: f64,
    factor: f64,
    tokens: f64,
    window: (u64, f64),
    /// Requests carried out and turned away in each second.
    seconds: Vec<(f64, f64)>,
}

#[derive(Default)]
struct Sums {
    tried: f64,
    waited: f64,
    metered: f64,
    answered: f64,
    throttled: f64,
    failed: f64,
    timed_out: f64,
    time: f64,
}

impl Run {
    fn new(world: World, seed: u64) -> Run {
        Run {
            world,
            law: Law::new(Bounds {
                least: 4,
                start: 64,
                most: MOST,
            }),
            random: fastrand::Rng::with_seed(seed),
            time: 0.0,
            factor: 1.0,
            tokens: 0.0,
            window: (0, 0.0),
            seconds: Vec::new(),
        }
    }

    fn limit(&self) -> usize {
        self.law.settings().concurrency
    }

    /// So many requests come in a step; returns those that are taken.
    fn taken(&mut self, offered: f64) -> f64 {
        match self.world.cap {
            None => offered,
            Some(Cap::Nothing) => 0.0,
            Some(Cap::Bucket { rate, seconds }) => {
                self.tokens = (self.tokens + rate * STEP).min(rate * seconds.max(STEP));
                let taken = offered.min(self.tokens);
                self.tokens -= taken;
                taken
            }
            Some(Cap::Window { rate }) => {
                let second = self.time as u64;
                if self.window.0 != second {
                    self.window = (second, 0.0);
                }
                let taken = offered.min(rate - self.window.1);
                self.window.1 += taken;
                taken
            }
        }
    }

    /// So many of the requests of a step are turned away by chance.
    fn strays(&mut self, requests: f64) -> f64 {
        let mut strays = 0.0;
        if let Some(every) = self.world.stray_every
            && (self.time / every) as u64 != ((self.time - STEP) / every) as u64
        {
            strays += 1.0;
        }
        // Poisson, by the product of uniform numbers; the mean is far below one.
        let none = (-requests * self.world.strays).exp();
        let mut product = self.random.f64();
        while product > none {
            strays += 1.0;
            product *= self.random.f64();
        }
        strays
    }

    fn step(&mut self, sums: &mut Sums) {
        if ((self.time / STEP) as u64).is_multiple_of(10) {
            let wave = self.random.f64() * 2.0 - 1.0;
            self.factor = 1.0 + self.world.noise * wave;
        }
        let settings = self.law.settings();
        let world = &self.world;
        let by_limit = settings.concurrency as f64 / world.delay.max(1e-4);
        let able = by_limit
            .min(world.capacity * self.factor)
            .min(world.line / world.bytes);
        let wanted = world.source.min(settings.pace.unwrap_or(f64::INFINITY));
        let offered = able.min(wanted) * STEP;
        sums.tried += offered;
        if able < wanted {
            sums.waited += offered;
            sums.time += settings.concurrency as f64 * STEP;
        } else {
            // Where the pace holds requests up, they hold places meanwhile.
            if wanted < world.source {
                sums.waited += offered;
                sums.metered += offered;
            }
            sums.time += offered * world.delay;
        }
        let crowd = settings.concurrency as f64;
        let (answered, throttled) = match world.down || world.mute {
            true if world.down => {
                sums.failed += offered;
                (0.0, 0.0)
            }
            // All places are in use until their time is up, some each second.
            true => {
                sums.timed_out += crowd * STEP / 10.0;
                (0.0, 0.0)
            }
            false if crowd > world.patience => {
                // The more share the line, the fewer of them are answered.
                let answered = offered * world.patience / crowd / 2.0;
                sums.timed_out += offered - answered;
                (answered, 0.0)
            }
            false => {
                let taken = self.taken(offered);
                let strays = self.strays(taken).min(taken);
                (taken - strays, offered - taken + strays)
            }
        };
        sums.answered += answered;
        sums.throttled += throttled;
        let second = self.time as usize;
        self.seconds
            .resize(self.seconds.len().max(second + 1), (0.0, 0.0));
        self.seconds[second].0 += answered;
        self.seconds[second].1 += throttled;
        self.time += STEP;
    }

    fn run(&mut self, seconds: f64) {
        let end = self.time + seconds;
        while self.time < end {
            let settings = self.law.settings();
            let opened = self.time + settings.settle.as_secs_f64();
            while self.time < opened {
                self.step(&mut Sums::default());
            }
            let (mut sums, began) = (Sums::default(), self.time);
            loop {
                self.step(&mut sums);
                let elapsed = self.time - began;
                let over = elapsed >= settings.epoch.as_secs_f64()
                    && (sums.answered + sums.throttled >= 200.0 || elapsed >= 2.0);
                if over {
                    break;
                }
            }
            let answer_time = sums.time / sums.tried.max(1.0);
            self.law.epoch(&Measured {
                elapsed: Duration::from_secs_f64(self.time - began),
                tried: sums.tried as u64,
                waited: sums.waited as u64,
                metered: sums.metered as u64,
                answered: sums.answered as u64,
                bytes: (sums.answered * self.world.bytes) as u64,
                answer_time: Duration::from_secs_f64(answer_time),
                throttled: sums.throttled.ceil() as u64,
                timed_out: sums.timed_out.ceil() as u64,
                failed: sums.failed as u64,
            });
        }
    }

    /// Carried out in a second, from one second to another.
    fn throughput(&self, from: usize, to: usize) -> f64 {
        let sum: f64 = self.seconds[from..to].iter().map(|second| second.0).sum();
        sum / (to - from) as f64
    }

    /// The share of requests that were turned away.
    fn turned_away(&self, from: usize, to: usize) -> f64 {
        let seconds = &self.seconds[from..to];
        let (taken, not): (f64, f64) = seconds.iter().fold((0.0, 0.0), |sum, second| {
            (sum.0 + second.0, sum.1 + second.1)
        });
        not / (taken + not)
    }
}

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
    run.world.down = true;
    run.run(10.0);
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
