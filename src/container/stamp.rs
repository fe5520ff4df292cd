//! What shows that a blob is the one that was read before.

use sha2::{Digest, Sha256};

/// A digest of a blob's name and of what its container says about the version of its content: the
/// ETag in Azure; size, mtime, ctime and inode number in a folder.
///
/// Equal stamps mean the same content, up to one chance in 2^64. A blob that was written again has
/// another stamp, even if its bytes are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp(u64);

impl Stamp {
    /// Digests the blob's name and the parts of its version.
    pub fn of(name: &str, version: &[&[u8]]) -> Self {
        let parts = std::iter::once(name.as_bytes()).chain(version.iter().copied());
        Self::digest(parts)
    }

    /// Joins stamps, or what was computed from stamps, into one.
    pub(crate) fn join(numbers: &[u64]) -> Self {
        let numbers: Vec<[u8; 8]> = numbers.iter().map(|number| number.to_le_bytes()).collect();
        Self::digest(numbers.iter().map(<[u8; 8]>::as_slice))
    }

    fn digest<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // With the length, so that no two lists of parts are one text.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let (first, _) = digest.split_at(8);
        // `split_at` gave eight bytes.
        Self(first.try_into().map_or(0, u64::from_le_bytes))
    }

    /// The stamp as a number, for a database.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The stamp of such a number.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_counts_and_where_it_ends() {
        let stamps = [
            Stamp::of("name", &[b"ab", b"c"]),
            Stamp::of("name", &[b"a", b"bc"]),
            Stamp::of("name", &[b"abc"]),
            Stamp::of("nam", &[b"e", b"abc"]),
            Stamp::of("other", &[b"ab", b"c"]),
        ];
        for (number, stamp) in stamps.iter().enumerate() {
            assert!(!stamps[..number].contains(stamp), "{number}");
            assert_eq!(Stamp::from_bits(stamp.to_bits()), *stamp);
        }
        assert_eq!(stamps[0], Stamp::of("name", &[b"ab", b"c"]));
        assert_ne!(Stamp::join(&[1, 2]), Stamp::join(&[2, 1]));
    }
}
