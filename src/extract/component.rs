//! One component of a path, fit for a system call.

use std::ffi::{CStr, CString};

use clfs_format::limits::NAME_BYTES;

use super::temporary::Token;

/// What temporary names begin with; the token of their run, `-`, a number and an end follow.
const TEMPORARY_PREFIX: &[u8] = b".clfsload-";
/// What most temporary names end with.
pub(super) const TEMPORARY_END: &[u8] = b".tmp";

/// A name that names an entry of the directory it is used in and nothing else: not empty, not `.`
/// or `..`, without `/` and NUL, at most 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Component(CString);

impl Component {
    /// Takes a name, unless it could lead elsewhere.
    pub(super) fn new(name: &[u8]) -> Option<Self> {
        if matches!(name, b"" | b"." | b"..") || name.len() > NAME_BYTES || name.contains(&b'/') {
            return None;
        }
        // A NUL inside is refused here.
        CString::new(name).ok().map(Self)
    }

    /// A temporary name, cut at 255 bytes. It does not come from the entry's own name, which may have
    /// 255 bytes already. `end` has no NUL and no `/`.
    pub(super) fn temporary(token: Token, number: u64, end: &[u8]) -> Self {
        let middle = format!("{token}-{number:x}");
        let mut name = [TEMPORARY_PREFIX, middle.as_bytes(), end].concat();
        name.truncate(NAME_BYTES);
        Self(CString::new(name).unwrap_or_default())
    }

    /// The token of a temporary name.
    pub(super) fn token(&self) -> Option<Token> {
        let rest = self.as_bytes().strip_prefix(TEMPORARY_PREFIX)?;
        let (token, number) = rest.split_at_checked(Token::DIGITS)?;
        number.strip_prefix(b"-")?;
        Token::parse(token)
    }

    /// Another name that begins with this one and ends with `suffix`; the middle is cut when both
    /// together are too long.
    pub(super) fn with_suffix(&self, suffix: &str) -> Option<Self> {
        let keep = NAME_BYTES.saturating_sub(suffix.len());
        let kept = self.as_bytes().get(..keep).unwrap_or(self.as_bytes());
        Self::new(&[kept, suffix.as_bytes()].concat())
    }

    /// Whether any file system takes it: letters, digits, `.`, `-` and `_`, no dot at the end, and not long.
    pub(super) fn is_plain(&self) -> bool {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let name = self.as_bytes();
        name.len() <= 100 && !name.ends_with(b".") && name.iter().all(plain)
    }

    pub(super) fn as_c_str(&self) -> &CStr {
        &self.0
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_elsewhere_is_no_component() {
        let long = [b'n'; 256];
        for name in [
            &b""[..],
            b".",
            b"..",
            b"/",
            b"a/b",
            b"/etc",
            b"../x",
            b"a\0b",
            b"\0",
            &long,
        ] {
            assert_eq!(Component::new(name), None, "{name:?}");
        }
        for name in [&b"..."[..], b"..a", b".a", b" ", b"\xff", &[b'n'; 255]] {
            assert_eq!(Component::new(name).unwrap().as_bytes(), name);
        }
    }

    #[test]
    fn only_temporary_names_have_a_token() {
        let token = Token::new();
        for number in [0, 10, u64::MAX] {
            for end in [TEMPORARY_END, &[b'n'; 300]] {
                let name = Component::temporary(token, number, end);
                assert_eq!(name.token(), Some(token));
                assert!(name.as_bytes().len() <= 255);
            }
        }
        for name in [
            ".clfsload-0123456789abcdef.tmp",
            ".clfsload-0123456789abcdef1.tmp",
            ".clfsload-0123456789ABCDEF-1.tmp",
            ".clfsload-0123abcd.tmp",
            "x.clfsload-0123456789abcdef-1.tmp",
            ".tmp",
        ] {
            let component = Component::new(name.as_bytes()).unwrap();
            assert_eq!(component.token(), None, "{name}");
        }
    }

    #[test]
    fn a_suffix_fits_behind_the_longest_name() {
        let long = Component::new(&[b'n'; 255]).unwrap();
        let suffixed = long.with_suffix(".damaged").unwrap();
        assert_eq!(suffixed.as_bytes().len(), 255);
        assert!(suffixed.as_bytes().ends_with(b"n.damaged"));
    }
}
