//! Stamps, which identify versions of blobs.

use sha2::{Digest, Sha256};

/// A digest of a blob's name and its version: the ETag in Azure; size, mtime, ctime and inode number in a folder.
///
/// Equal stamps mean equal content, with an error probability of 2^-64. A blob that was written again has another stamp,
/// even if its bytes are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp(u64);

impl Stamp {
    /// Creates the stamp of a blob from its name and the parts of its version.
    pub fn of(name: &str, version: &[&[u8]]) -> Self {
        let parts = std::iter::once(name.as_bytes()).chain(version.iter().copied());
        Self::digest(parts)
    }

    /// Combines stamps, or numbers derived from stamps, into one.
    pub(crate) fn join(numbers: &[u64]) -> Self {
        let numbers: Vec<[u8; 8]> = numbers.iter().map(|number| number.to_le_bytes()).collect();
        Self::digest(numbers.iter().map(<[u8; 8]>::as_slice))
    }

    fn digest<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // The length makes the list of parts unambiguous.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let (first, _) = digest.split_at(8);
        // `split_at` returned eight bytes.
        Self(first.try_into().map_or(0, u64::from_le_bytes))
    }

    /// Returns the stamp as a number for a database.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// Creates the stamp from a number of [`Stamp::to_bits`].
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_their_boundaries_count() {
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
