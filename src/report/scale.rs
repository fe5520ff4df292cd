//! Scales: where an axis has its ticks, and what stands beside them.

use crate::amount::count;

/// From 0 in equal steps of 1, 2 or 5 times a power of ten to the first that is not below `most`;
/// about five, and none smaller than `least_step`.
pub(super) fn steps(most: f64, least_step: f64) -> Vec<f64> {
    if !(most.is_finite() && most > 0.0) {
        return vec![0.0, least_step.max(1.0)];
    }
    let rough = (most / 5.0).max(f64::MIN_POSITIVE * 1e10);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        // A quotient may lie a little above the number that it stands for.
        .find(|step| *step >= rough * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
        .max(least_step);
    let number = (most / step - 1e-9).ceil().max(1.0) as u32;
    (0..=number).map(|n| f64::from(n) * step).collect()
}

/// A tick of an axis that goes up to `most`.
pub(super) fn tick(value: f64, most: f64) -> String {
    let short = |value: f64, unit: &str| {
        let text = format!("{value:.1}");
        format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
    };
    match most {
        _ if value <= 0.0 => "0".to_owned(),
        most if most >= 1e9 => short(value / 1e9, " G"),
        most if most >= 1e6 => short(value / 1e6, " M"),
        most if most >= 1e4 => short(value / 1e3, " k"),
        most if most >= 5.0 => count(value.round() as u64),
        most if most >= 0.5 => short(value, ""),
        _ => format!("{value:.2e}").replace(".00", ""),
    }
}

/// A unit for bytes, and how many it has, that suits numbers up to `most`. The least is KiB.
pub(super) fn byte_unit(most: f64) -> (&'static str, f64) {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut bytes = 1024.0;
    for unit in UNITS {
        // Up to 1,024 and a little more: ticks below 1 read badly.
        if most < bytes * 1200.0 {
            return (unit, bytes);
        }
        bytes *= 1024.0;
    }
    ("PiB", bytes)
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Ticks of an axis of time, in milliseconds, and what stands beside them: at most seven.
pub(super) fn time_ticks(length: u64) -> Vec<(u64, String)> {
    const STEPS: [u64; 22] = [
        SECOND,
        2 * SECOND,
        5 * SECOND,
        10 * SECOND,
        15 * SECOND,
        30 * SECOND,
        MINUTE,
        2 * MINUTE,
        5 * MINUTE,
        10 * MINUTE,
        15 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        2 * DAY,
        5 * DAY,
        10 * DAY,
        30 * DAY,
    ];
    let step = STEPS.into_iter().find(|step| length / step <= 6);
    let step = step.unwrap_or((length / 6 / DAY + 1).saturating_mul(DAY));
    let (unit, name) = match step {
        step if step < MINUTE => (SECOND, "s"),
        step if step < HOUR => (MINUTE, "min"),
        step if step < DAY => (HOUR, "h"),
        _ => (DAY, "d"),
    };
    (0..=length / step)
        .map(|n| match n * step {
            0 => (0, "0".to_owned()),
            at => (at, format!("{} {name}", at / unit)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_reach_the_highest_value_and_are_few() {
        assert_eq!(steps(0.0, 1.0), [0.0, 1.0]);
        assert_eq!(steps(7.0, 1.0), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(steps(2.0, 1.0), [0.0, 1.0, 2.0]);
        for wrong in [f64::NAN, f64::INFINITY, -3.0] {
            assert_eq!(steps(wrong, 0.0), [0.0, 1.0]);
        }
        for most in [
            1e-9, 0.3, 0.99, 1.0, 64.0, 100.0, 101.0, 12_345.6, 5e12, 1e300,
        ] {
            let steps = steps(most, 0.0);
            let last = steps[steps.len() - 1];
            assert!((2..=6).contains(&steps.len()), "{most}: {steps:?}");
            assert!(last >= most * (1.0 - 1e-9), "{most}: {steps:?}");
            assert!(last <= most * 2.01, "{most}: {steps:?}");
        }
    }

    #[test]
    fn ticks_are_short() {
        let ticks = |most: f64| -> Vec<String> {
            let steps = steps(most, 0.0);
            let last = steps[steps.len() - 1];
            steps.iter().map(|step| tick(*step, last)).collect()
        };
        assert_eq!(ticks(1024.0), ["0", "500", "1,000", "1,500"]);
        assert_eq!(ticks(13_628.0), ["0", "5 k", "10 k", "15 k"]);
        assert_eq!(ticks(2.0), ["0", "0.5", "1", "1.5", "2"]);
        assert_eq!(ticks(1.0), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(
            ticks(230_000.0),
            ["0", "50 k", "100 k", "150 k", "200 k", "250 k"]
        );
        for most in [1e-7, 0.04, 3e11, 7e6, 99_999.0, 10_000.0, 9_999.0] {
            for tick in ticks(most) {
                assert!(tick.len() <= 5, "{most}: {tick}");
            }
        }
    }

    #[test]
    fn bytes_have_a_unit_that_suits() {
        assert_eq!(byte_unit(0.0), ("KiB", 1024.0));
        assert_eq!(byte_unit(2e6).0, "MiB");
        assert_eq!(byte_unit(1e300).0, "PiB");
    }

    #[test]
    fn ticks_of_time_are_few_and_round() {
        let shown = |length| -> Vec<String> {
            time_ticks(length)
                .into_iter()
                .map(|(_, shown)| shown)
                .collect()
        };
        assert_eq!(shown(0), ["0"]);
        assert_eq!(shown(41_500), ["0", "10 s", "20 s", "30 s", "40 s"]);
        assert_eq!(
            shown(3 * DAY),
            ["0", "12 h", "24 h", "36 h", "48 h", "60 h", "72 h"]
        );
        for length in [999, MINUTE, HOUR + 1, 5 * DAY, 400 * DAY, u64::MAX] {
            let ticks = time_ticks(length);
            assert!(ticks.len() <= 7, "{length}: {ticks:?}");
            assert!(ticks.iter().all(|(at, _)| *at <= length));
        }
    }
}
