//! Human-readable numbers, sizes, rates and time spans.

use std::time::Duration;

use clfs_format::FileType;

/// Returns a number with thousands separators.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Returns a number with its noun: "1 entry", "2 entries".
pub(crate) fn counted(number: u64, one: &str, several: &str) -> String {
    let noun = if number == 1 { one } else { several };
    format!("{} {noun}", count(number))
}

/// Returns a size in the largest unit that fits, with one decimal.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut shown = "B";
    for unit in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        shown = unit;
    }
    match shown {
        "B" => format!("{bytes} B"),
        unit => format!("{value:.1} {unit}"),
    }
}

/// Returns the name of a class of file sizes with the maximum `up_to`; `below` is that of the previous class.
pub(crate) fn size_class(up_to: Option<u64>, below: Option<u64>) -> String {
    // The bounds are integers in their units.
    let rounded = |bytes| size(bytes).replace(".0 ", " ");
    match (up_to, below) {
        (Some(0), _) => "empty".to_owned(),
        (Some(bytes), _) => format!("up to {}", rounded(bytes)),
        (None, below) => format!("over {}", rounded(below.unwrap_or_default())),
    }
}

/// The names of a type of entries.
pub(crate) struct TypeNames {
    /// In JSON.
    pub(crate) code: &'static str,
    /// In text: singular and plural.
    pub(crate) one: &'static str,
    pub(crate) several: &'static str,
}

/// Returns the names of a type of entries.
pub(crate) fn type_names(file_type: FileType) -> TypeNames {
    let (code, one, several) = match file_type {
        FileType::Directory => ("directory", "directory", "directories"),
        FileType::Regular => ("file", "file", "files"),
        FileType::Symlink => ("symlink", "symlink", "symlinks"),
        FileType::Block => ("block", "block device", "block devices"),
        FileType::Character => ("character", "character device", "character devices"),
        FileType::Socket => ("socket", "socket", "sockets"),
        FileType::Fifo => ("fifo", "fifo", "fifos"),
    };
    TypeNames { code, one, several }
}

/// Returns a rate per second, with one decimal below 10.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate > 0.0 && rate < 9.95 => format!("{rate:.1}"),
        rate => count(rate.round() as u64),
    }
}

/// Returns a time span in its two largest units.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10 => format!("{:.1} s", time.as_secs_f64()),
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, 1..=9) => format!("{minutes} min {} s", seconds % 60),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_the_largest_unit() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn thousands_are_separated() {
        for (number, shown) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), shown);
        }
        assert_eq!(counted(1, "entry", "entries"), "1 entry");
        assert_eq!(counted(1024, "entry", "entries"), "1,024 entries");
    }

    #[test]
    fn rates_and_spans_are_rounded() {
        for (number, shown) in [
            (0.0, "0"),
            (0.25, "0.2"),
            (9.9, "9.9"),
            (9.97, "10"),
            (12_345.6, "12,346"),
        ] {
            assert_eq!(rate(number), shown);
        }
        for (seconds, shown) in [
            (0.04, "0.0 s"),
            (9.96, "10.0 s"),
            (59.9, "59 s"),
            (61.0, "1 min 1 s"),
            (1800.0, "30 min"),
            (4000.0, "1 h 6 min"),
            (200_000.0, "2 d 7 h"),
        ] {
            assert_eq!(span(Duration::from_secs_f64(seconds)), shown);
        }
    }
}
