//! Sizes with suffixes: parsing, and display as in du(1).

/// The suffixes; each is 1024 times the previous one.
const SUFFIXES: &str = "KMGTPE";

/// Parses `123`, `10K`, `2MiB`: a number of bytes, with a suffix that is a power of 1024.
pub(super) fn parse(text: &str) -> Result<u64, String> {
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

/// `999`, `1.5K`, `20M`: rounded up, as du(1) does, so that a size never appears smaller than it is.
pub(super) fn human(bytes: u64) -> String {
    let mut unit = 1u64;
    let mut shown = None;
    for suffix in SUFFIXES.chars() {
        let fits = match unit {
            1 => bytes < 1024,
            // 1023.1 of a unit is rounded up to 1024.
            unit => bytes.div_ceil(unit) < 1024,
        };
        if fits {
            break;
        }
        unit = unit.saturating_mul(1024);
        shown = Some(suffix);
    }
    let Some(suffix) = shown else {
        return bytes.to_string();
    };
    // 16 EiB times 10 exceeds 64 bits.
    let tenths = (u128::from(bytes) * 10).div_ceil(u128::from(unit));
    match tenths < 100 {
        true => format!("{}.{}{suffix}", tenths / 10, tenths % 10),
        false => format!("{}{suffix}", bytes.div_ceil(unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed() {
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("16384"), Ok(16384));
        assert_eq!(parse("10K"), Ok(10240));
        assert_eq!(parse("2m"), Ok(2 << 20));
        assert_eq!(parse("3GiB"), Ok(3 << 30));
        assert_eq!(parse("15E"), Ok(15 << 60));
        for word in [
            "", "K", "1X", "1KB", "-1", "+1", "1.5K", "1 K", "16E", "iB", "5iB", "\u{fc}",
        ] {
            assert!(parse(word).is_err(), "{word:?}: {:?}", parse(word));
        }
    }

    #[test]
    fn sizes_are_shown_as_du_shows_them() {
        for (bytes, shown) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (1025, "1.1K"),
            (10239, "10K"),
            (10 << 10, "10K"),
            ((10 << 10) + 1, "11K"),
            ((1023 << 10) + 1, "1.0M"),
            (1 << 20, "1.0M"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(human(bytes), shown, "{bytes}");
        }
    }
}
