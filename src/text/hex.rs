//! Bytes in hexadecimal.

use std::fmt;

/// Bytes as lowercase hexadecimal digits, two for each byte.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Writes each byte as `\xNN`.
pub(crate) fn write_escaped(f: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    bytes
        .iter()
        .try_for_each(|byte| write!(f, "\\x{}", Hex(&[*byte])))
}

/// Returns the bytes in hexadecimal if they are not UTF-8: their text in JSON is not exact then.
pub(crate) fn hex_unless_text(bytes: &[u8]) -> Option<String> {
    match std::str::from_utf8(bytes) {
        Ok(_) => None,
        Err(_) => Some(Hex(bytes).to_string()),
    }
}
