//! The values of options.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::SystemTime;

use clap::builder::{PossibleValuesParser, TypedValueParser};

/// The suffixes of sizes; each is 1024 times the previous one.
pub(crate) const SUFFIXES: &str = "KMGTPE";

/// The minimum bandwidth limit.
const MIN_RATE: u64 = 64 << 10;

/// Returns a parser that accepts these names, and returns the value of the name.
pub(crate) fn one_of<T: Clone + Send + Sync>(
    values: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    let names = values.iter().map(|(name, _)| *name);
    PossibleValuesParser::new(names).try_map(move |given| {
        // With `ignore_case`, the parser accepts a name in another case.
        let found = values
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&given));
        found.map(|(_, value)| value.clone()).ok_or("unknown value")
    })
}

/// Returns the name of a value.
pub(crate) fn name_of<T: PartialEq>(values: &[(&str, T)], value: Option<T>) -> Option<String> {
    let (name, _) = values
        .iter()
        .find(|(_, known)| value.as_ref() == Some(known))?;
    Some((*name).to_owned())
}

/// Parses `123`, `10K`, `2MiB`: a number of bytes, with a suffix that is a power of 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let suffix = text.get(digits.len()..).unwrap_or_default();
    let suffix = suffix.strip_suffix("iB").unwrap_or(suffix);
    let invalid = || format!("{text:?} is not a size: give bytes, or a number with K, M, G or T");
    // `u64::from_str` accepts a leading plus.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    let number: u64 = digits.parse().map_err(|_| invalid())?;
    let mut characters = suffix.chars();
    let power = match (characters.next(), characters.next()) {
        (None, _) if text.len() == digits.len() => 0,
        (Some(letter), None) => {
            SUFFIXES
                .find(letter.to_ascii_uppercase())
                .ok_or_else(invalid)? as u32
                + 1
        }
        _ => return Err(invalid()),
    };
    1024u64
        .checked_pow(power)
        .and_then(|unit| number.checked_mul(unit))
        .ok_or_else(|| format!("{text:?} is too large: sizes are below 16E"))
}

pub(crate) fn parse_rate(text: &str) -> Result<NonZeroU64, String> {
    let rate = parse_size(text)?;
    // Below this, an object of 8 MiB could not be sent before the service's timeout.
    NonZeroU64::new(rate)
        .filter(|rate| rate.get() >= MIN_RATE)
        .ok_or_else(|| format!("must be at least {}K", MIN_RATE >> 10))
}

pub(crate) fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err("must be 0 or 1".to_owned()),
    }
}

/// Parses gigabytes such as `12` or `0.5` into bytes.
pub(crate) fn gigabytes(word: &str) -> Result<u64, String> {
    let gigabytes: f64 = word
        .parse()
        .map_err(|_| "expected a number of gigabytes".to_owned())?;
    let bytes = gigabytes * 1e9;
    match (0.0..9e18).contains(&bytes) {
        true => Ok(bytes.round() as u64),
        false => Err("expected a number from 0 to 9 * 10^9".to_owned()),
    }
}

/// Parses `PORT`, `:PORT`, `ADDRESS:PORT` or `[ADDRESS]:PORT`. The default address is 127.0.0.1.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    match port.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        Err(_) => text
            .parse()
            .map_err(|_| "must be PORT or ADDRESS:PORT, such as 9090 or 0.0.0.0:9090".to_owned()),
    }
}

/// A condition on a number: `N` (equal), `+N` (more than) or `-N` (less than).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    Exactly(u64),
    MoreThan(u64),
    LessThan(u64),
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(text), _) => parse_size(text).map(Self::MoreThan),
            (_, Some(text)) => parse_size(text).map(Self::LessThan),
            _ => parse_size(text).map(Self::Exactly),
        }
    }
}

impl Bound {
    pub(crate) fn holds(self, value: u64) -> bool {
        match self {
            Self::Exactly(bound) => value == bound,
            Self::MoreThan(bound) => value > bound,
            Self::LessThan(bound) => value < bound,
        }
    }
}

/// Parses a point in time: a date or a date and time, both in UTC, or an age.
pub(crate) fn parse_time(text: &str) -> Result<SystemTime, String> {
    let parsed = humantime::parse_rfc3339_weak(text)
        .or_else(|_| humantime::parse_rfc3339_weak(&format!("{text} 00:00:00")));
    if let Ok(time) = parsed {
        return Ok(time);
    }
    let age = text.strip_suffix(" ago").unwrap_or(text);
    humantime::parse_duration(age)
        .ok()
        .and_then(|age| SystemTime::now().checked_sub(age))
        .ok_or_else(|| {
            "must be a date (2026-01-31), date and time (2026-01-31T12:00:00Z) or age (30days, 2h)"
                .to_owned()
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn sizes_are_parsed() {
        assert_eq!(parse_size("0"), Ok(0));
        assert_eq!(parse_size("16384"), Ok(16384));
        assert_eq!(parse_size("10K"), Ok(10240));
        assert_eq!(parse_size("2m"), Ok(2 << 20));
        assert_eq!(parse_size("3GiB"), Ok(3 << 30));
        assert_eq!(parse_size("15E"), Ok(15 << 60));
        for word in [
            "", "K", "1X", "1KB", "-1", "+1", "1.5K", "1 K", "16E", "iB", "5iB", "\u{fc}",
        ] {
            assert!(
                parse_size(word).is_err(),
                "{word:?}: {:?}",
                parse_size(word)
            );
        }
    }

    #[test]
    fn times_are_parsed() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(parse_time("1970-01-02").unwrap(), at(86_400));
        assert_eq!(parse_time("1970-01-02 00:00:01").unwrap(), at(86_401));
        assert_eq!(parse_time("1970-01-02T00:00:01Z").unwrap(), at(86_401));
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        for word in ["1h", "60min", "1h ago"] {
            let off = parse_time(word).unwrap().duration_since(hour_ago).unwrap();
            assert!(off < Duration::from_secs(60), "{word}: {off:?}");
        }
        for word in ["", "yesterday", "1970-13-01", "5", "99999999999999years"] {
            assert!(parse_time(word).is_err(), "{word}");
        }
    }

    #[test]
    fn bounds_are_parsed_and_hold() {
        let parse = Bound::from_str;
        let holds = |word: &str, value| parse(word).unwrap().holds(value);
        assert!(holds("1K", 1024) && !holds("1K", 1025));
        assert!(holds("+1K", 1025) && !holds("+1K", 1024));
        assert!(holds("-1K", 1023) && !holds("-1K", 1024));
        assert!(parse("++1").is_err() && parse("+").is_err());
    }

    #[test]
    fn gigabytes_are_numbers() {
        assert_eq!(gigabytes("12"), Ok(12_000_000_000));
        assert_eq!(gigabytes("0.5"), Ok(500_000_000));
        for word in ["", "x", "-1", "nan", "inf", "1e10"] {
            assert!(gigabytes(word).is_err(), "{word}");
        }
    }

    #[test]
    fn the_default_address_is_this_host() {
        for (word, expected) in [
            ("9090", "127.0.0.1:9090"),
            (":9090", "127.0.0.1:9090"),
            ("0.0.0.0:9090", "0.0.0.0:9090"),
            ("[::1]:9090", "[::1]:9090"),
        ] {
            assert_eq!(
                parse_address(word).map(|address| address.to_string()),
                Ok(expected.to_owned())
            );
        }
        for word in ["", "host:9090", "99999", "1.2.3.4"] {
            assert!(parse_address(word).is_err(), "{word}");
        }
    }
}
