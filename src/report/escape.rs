//! Escapes untrusted text for the page: markup, and characters that HTML or XML cannot contain.

use std::fmt::{self, Display, Write};
use std::time::{Duration, UNIX_EPOCH};

use crate::text::{Escaped, write_escaped};

/// Text in an element or in a quoted attribute.
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| match character {
            '&' => self.0.write_str("&amp;"),
            '<' => self.0.write_str("&lt;"),
            '>' => self.0.write_str("&gt;"),
            '"' => self.0.write_str("&quot;"),
            '\'' => self.0.write_str("&#39;"),
            '\n' | '\t' => self.0.write_char(character),
            // XML cannot contain these, not even as references (XML 1.0, section 2.2), or they are errors in
            // HTML.
            control if control.is_control() => self.0.write_char('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => self.0.write_char('\u{fffd}'),
            bidi if changes_direction(bidi) => {
                write_escaped(self.0, bidi.encode_utf8(&mut [0; 4]).as_bytes())
            }
            character => self.0.write_char(character),
        })
    }
}

/// Returns whether a character changes the direction of writing (Unicode's annex 9, section 2): with it a name
/// that ends in `gpj.exe` looks like one that ends in `exe.jpg`.
fn changes_direction(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// Untrusted text inside a line. Letters that are written from right to left do not affect the rest of
/// the line.
pub(super) struct IsolatedText<T>(pub(super) T);

impl<T: Display> Display for IsolatedText<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<bdi>{}</bdi>", Text(&self.0))
    }
}

/// A path below the source. The middle of a very long path is omitted.
pub(super) struct TreePath<'a>(pub(super) &'a [u8]);

/// The maximum bytes of a path that is shown completely.
const LONGEST_PATH: usize = 1000;
/// Bytes that are shown of the beginning of a long path, and of its end.
const SHOWN_OF_PATH: usize = 400;

impl Display for TreePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b"" => IsolatedText(".").fmt(f),
            path if path.len() <= LONGEST_PATH => IsolatedText(Escaped(path)).fmt(f),
            path => {
                let (first, rest) = path.split_at(SHOWN_OF_PATH);
                let (omitted, last) = rest.split_at(rest.len() - SHOWN_OF_PATH);
                IsolatedText(Escaped(first)).fmt(f)?;
                write!(f, " <em>… {} bytes …</em> ", omitted.len())?;
                IsolatedText(Escaped(last)).fmt(f)
            }
        }
    }
}

/// A time in milliseconds since 1970, shown as in RFC 3339, in UTC.
pub(super) struct Moment(pub(super) u64);

/// The last second of the year 9999, the last that RFC 3339 can express.
const LAST_SECOND: u64 = 253_402_300_799;

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = (self.0 / 1000).min(LAST_SECOND);
        let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds));
        write!(f, "<time>{time}</time>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_text() {
        let shown = Text("<script>&\"x'</script>").to_string();
        assert_eq!(shown, "&lt;script&gt;&amp;&quot;x&#39;&lt;/script&gt;");
    }

    #[test]
    fn characters_that_xml_forbids_are_replaced() {
        let shown = Text("a\0\x1b[0m\u{85}\u{ffff}\tb\n").to_string();
        assert_eq!(shown, "a\u{fffd}\u{fffd}[0m\u{fffd}\u{fffd}\tb\n");
    }

    #[test]
    fn characters_that_change_the_direction_are_shown() {
        let shown = TreePath("a\u{202e}gpj.exe".as_bytes()).to_string();
        assert_eq!(shown, "<bdi>a\\xe2\\x80\\xaegpj.exe</bdi>");
    }

    #[test]
    fn paths_are_bytes() {
        let shown = TreePath(b"<b>\xff\n/\\").to_string();
        assert_eq!(shown, "<bdi>&lt;b&gt;\\xff\\x0a/\\\\</bdi>");
        assert_eq!(TreePath(b"").to_string(), "<bdi>.</bdi>");
    }

    #[test]
    fn the_middle_of_a_long_path_is_omitted() {
        let complete = TreePath(&[b'a'; LONGEST_PATH]).to_string();
        assert_eq!(complete.matches('a').count(), LONGEST_PATH);
        let path = [vec![b'a'; 3000], vec![b'z'; 2000]].concat();
        let shown = TreePath(&path).to_string();
        assert!(shown.contains("<em>… 4200 bytes …</em>"), "{shown}");
        assert!(shown.starts_with("<bdi>aa") && shown.ends_with("zz</bdi>"));
    }

    #[test]
    fn any_time_is_shown_as_in_rfc_3339() {
        let shown = |at| Moment(at).to_string();
        assert_eq!(shown(0), "<time>1970-01-01T00:00:00Z</time>");
        assert_eq!(shown(u64::MAX), "<time>9999-12-31T23:59:59Z</time>");
    }
}
