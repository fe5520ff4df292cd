//! Quoting of names in output: raw, masked, or in shell syntax.

use crate::text::is_hidden;

/// How a name is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameStyle {
    /// The exact bytes, for programs.
    Raw,
    /// As GNU ls on a terminal: names with characters that are special to a shell are in quotes, hidden characters are
    /// written as `$'\n'`. Pasted into a shell, the result is the name.
    ShellEscape,
    /// For a terminal without quotes: hidden characters are replaced by `?`.
    Masked,
}

impl NameStyle {
    /// Returns the style for the output: quotes only on a terminal, and no control characters on a terminal.
    pub(crate) fn suited(terminal: bool, zero: bool, literal: bool) -> Self {
        match (terminal, zero, literal) {
            (_, true, _) | (false, ..) => Self::Raw,
            (true, false, true) => Self::Masked,
            (true, false, false) => Self::ShellEscape,
        }
    }

    /// Appends a name or a path.
    pub(crate) fn append(self, line: &mut Vec<u8>, name: &[u8]) {
        match self {
            Self::Raw => line.extend_from_slice(name),
            Self::ShellEscape => shell_escape(line, name),
            Self::Masked => {
                for piece in pieces(name) {
                    match piece {
                        Piece::Shown(text) => line.extend_from_slice(text.as_bytes()),
                        Piece::Hidden(bytes) => line.resize(line.len() + bytes.len(), b'?'),
                    }
                }
            }
        }
    }
}

/// A part of a name.
enum Piece<'a> {
    /// A character that can be printed on a terminal.
    Shown(&'a str),
    /// A hidden character, or bytes that are not UTF-8.
    Hidden(&'a [u8]),
}

fn pieces(name: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    name.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid();
        let characters = valid.char_indices().map(move |(at, character)| {
            let text = valid.get(at..at + character.len_utf8()).unwrap_or_default();
            match is_hidden(character) {
                true => Piece::Hidden(text.as_bytes()),
                false => Piece::Shown(text),
            }
        });
        let invalid = match chunk.invalid() {
            [] => None,
            bytes => Some(Piece::Hidden(bytes)),
        };
        characters.chain(invalid)
    })
}

fn shell_escape(line: &mut Vec<u8>, name: &[u8]) {
    let escapes = pieces(name).any(|piece| matches!(piece, Piece::Hidden(_)));
    let apostrophe = name.contains(&b'\'');
    if !escapes && !apostrophe && !needs_quotes(name) {
        line.extend_from_slice(name);
    } else if !escapes && apostrophe && name.iter().all(|byte| harmless(*byte)) {
        line.push(b'"');
        line.extend_from_slice(name);
        line.push(b'"');
    } else {
        quote(line, name);
    }
}

/// Appends the name in single quotes, with hidden bytes as `$'…'`.
fn quote(line: &mut Vec<u8>, name: &[u8]) {
    line.push(b'\'');
    let mut escaping = false;
    for piece in pieces(name) {
        match piece {
            Piece::Shown("'") => {
                line.extend_from_slice(b"'\\''");
                escaping = false;
            }
            Piece::Shown(text) => {
                if std::mem::take(&mut escaping) {
                    line.extend_from_slice(b"''");
                }
                line.extend_from_slice(text.as_bytes());
            }
            Piece::Hidden(bytes) => {
                if !std::mem::replace(&mut escaping, true) {
                    line.extend_from_slice(b"'$'");
                }
                for byte in bytes {
                    escape(line, *byte);
                }
            }
        }
    }
    line.push(b'\'');
}

fn escape(line: &mut Vec<u8>, byte: u8) {
    let letter = match byte {
        0x07 => b'a',
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0b => b'v',
        0x0c => b'f',
        b'\r' => b'r',
        _ => {
            line.extend_from_slice(format!("\\{byte:03o}").as_bytes());
            return;
        }
    };
    line.extend_from_slice(&[b'\\', letter]);
}

/// Returns whether a shell would interpret characters of a name that has no control characters.
fn needs_quotes(name: &[u8]) -> bool {
    match name {
        [] | [b'#' | b'~', ..] | [b'{'] | [b'}'] => true,
        _ => name
            .iter()
            .any(|byte| b" !\"$&()*;<=>?[\\^`|".contains(byte)),
    }
}

/// Returns whether a byte has no special meaning in double quotes, in which an apostrophe needs no escape.
fn harmless(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b" '%+,-./:@]_".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(style: NameStyle, name: &[u8]) -> String {
        let mut line = Vec::new();
        style.append(&mut line, name);
        String::from_utf8_lossy(&line).into_owned()
    }

    #[test]
    fn names_are_quoted_as_by_gnu_ls() {
        // The output of `ls --quoting-style=shell-escape` of coreutils 9.1 in a UTF-8 locale.
        for (name, shown) in [
            (&b"plain-1.txt"[..], "plain-1.txt"),
            (b"\xc3\xbcml", "\u{fc}ml"),
            (b"a b", "'a b'"),
            (b"a\nb", "'a'$'\\n''b'"),
            (b"\n", "''$'\\n'"),
            (b"\x1b[31mred", "''$'\\033''[31mred'"),
            (b"\xff\xfe", "''$'\\377\\376'"),
            (b"not-utf8-\xff\xfe", "'not-utf8-'$'\\377\\376'"),
            (b"it's", "\"it's\""),
            (b"it's $5", "'it'\\''s $5'"),
            (b"\n'", "''$'\\n'\\'''"),
            (b"#a", "'#a'"),
            (b"a#b~", "a#b~"),
            (b"{", "'{'"),
            (b"a{b}", "a{b}"),
            (b"-l", "-l"),
            (b"a\\b", "'a\\b'"),
        ] {
            assert_eq!(printed(NameStyle::ShellEscape, name), shown);
        }
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(printed(NameStyle::Masked, b"a\x1b[0m\xff\nb"), "a?[0m??b");
        assert_eq!(printed(NameStyle::Masked, "a\u{202e}b".as_bytes()), "a???b");
        for style in [NameStyle::ShellEscape, NameStyle::Masked] {
            for byte in (0..=255u8).filter(|byte| !(b' '..=b'~').contains(byte)) {
                let mut line = Vec::new();
                style.append(&mut line, &[b'a', byte]);
                assert!(line.iter().all(|byte| (b' '..=b'~').contains(byte)));
            }
        }
        assert_eq!(printed(NameStyle::Raw, b"a\nb"), "a\nb");
    }

    #[test]
    fn quotes_are_only_for_terminals() {
        use NameStyle::*;
        assert_eq!(NameStyle::suited(true, false, false), ShellEscape);
        assert_eq!(NameStyle::suited(true, false, true), Masked);
        assert_eq!(NameStyle::suited(true, true, false), Raw);
        assert_eq!(NameStyle::suited(false, false, false), Raw);
        assert_eq!(NameStyle::suited(false, false, true), Raw);
    }
}
