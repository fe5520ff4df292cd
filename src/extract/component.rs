//! One component of a path, fit for a system call.

use std::ffi::{CStr, CString};

use clfs_format::limits::NAME_BYTES;

/// What names of files that are being written begin with.
const TEMPORARY_PREFIX: &[u8] = b".clfsload-";
/// And what they end with; eight hexadecimal digits stand between.
const TEMPORARY_SUFFIX: &[u8] = b".tmp";
const TEMPORARY_DIGITS: usize = 8;

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

    /// A name for a file that is being written. It does not come from the file's own name, which may
    /// have 255 bytes already.
    pub(super) fn temporary() -> Self {
        let digits = format!("{:0width$x}", fastrand::u32(..), width = TEMPORARY_DIGITS);
        let name = [TEMPORARY_PREFIX, digits.as_bytes(), TEMPORARY_SUFFIX].concat();
        // There is no NUL in it.
        Self(CString::new(name).unwrap_or_default())
    }

    /// Whether it is a name such as [`Component::temporary`] makes.
    pub(super) fn is_temporary(&self) -> bool {
        let digits = self
            .as_bytes()
            .strip_prefix(TEMPORARY_PREFIX)
            .and_then(|rest| rest.strip_suffix(TEMPORARY_SUFFIX));
        digits.is_some_and(|digits| {
            let hex = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
            digits.len() == TEMPORARY_DIGITS && digits.iter().all(hex)
        })
    }

    /// Another name that begins with this one and ends with `suffix`; the middle is cut when both
    /// together are too long.
    pub(super) fn with_suffix(&self, suffix: &str) -> Option<Self> {
        let keep = NAME_BYTES.saturating_sub(suffix.len());
        let kept = self.as_bytes().get(..keep).unwrap_or(self.as_bytes());
        Self::new(&[kept, suffix.as_bytes()].concat())
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
    fn only_our_own_names_are_temporary() {
        assert!(Component::temporary().is_temporary());
        for name in [
            ".clfsload-0123abcd.tmp.x",
            ".clfsload-0123abc.tmp",
            ".clfsload-0123abcde.tmp",
            ".clfsload-0123ABCD.tmp",
            ".clfsload-0123abcg.tmp",
            "x.clfsload-0123abcd.tmp",
            ".tmp",
        ] {
            let component = Component::new(name.as_bytes()).unwrap();
            assert!(!component.is_temporary(), "{name}");
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
