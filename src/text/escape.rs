//! Untrusted paths as text on one line.

use std::fmt;

use super::hex::write_escaped;

/// Returns the path of an entry for messages: "." for the source itself, whose path is empty.
pub(crate) fn below_source(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"." } else { path }
}

/// Returns whether a character is a control character, a line separator, or one of the marks that change the
/// direction of writing, which can make a name look like another.
pub(crate) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// A path for display on one line: hidden characters and bytes that are not UTF-8 as `\xNN`, each backslash doubled.
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    character if is_hidden(character) => {
                        write_escaped(f, character.encode_utf8(&mut [0; 4]).as_bytes())?;
                    }
                    character => write!(f, "{character}")?,
                }
            }
            write_escaped(f, chunk.invalid())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_on_their_line() {
        let shown = Escaped(b"a\nb\\c\xff\xc3\xa4\x1b[0m").to_string();
        assert_eq!(shown, "a\\x0ab\\\\c\\xff\u{e4}\\x1b[0m");
        assert_eq!(
            Escaped("\u{202e}gpj.exe".as_bytes()).to_string(),
            "\\xe2\\x80\\xaegpj.exe"
        );
    }
}
