//! Files by size.

/// The maximum size of each class except the last, in bytes. A file of up to 16 KiB is one object; a segment
/// has 8 MiB (format.md §6).
const BOUNDS: [u64; SizeHistogram::CLASSES - 1] = [
    0,
    1 << 10,
    16 << 10,
    128 << 10,
    1 << 20,
    8 << 20,
    64 << 20,
    1 << 30,
    16 << 30,
    128 << 30,
    1 << 40,
];

/// The number and the bytes of files by size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SizeHistogram {
    classes: [(u64, u64); SizeHistogram::CLASSES],
}

/// Files of one class of sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeClass {
    /// The maximum size in bytes; none for the last class.
    pub up_to: Option<u64>,
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl SizeHistogram {
    const CLASSES: usize = 12;

    /// Adds `files` files of `size` bytes.
    pub fn add(&mut self, size: u64, files: u64) {
        let class = BOUNDS.partition_point(|bound| *bound < size);
        if let Some((count, bytes)) = self.classes.get_mut(class) {
            *count = count.saturating_add(files);
            *bytes = bytes.saturating_add(size.saturating_mul(files));
        }
    }

    /// Returns all classes, the smallest sizes first.
    pub fn classes(&self) -> impl Iterator<Item = SizeClass> {
        let bounds = BOUNDS.into_iter().map(Some).chain([None]);
        bounds
            .zip(self.classes)
            .map(|(up_to, (files, bytes))| SizeClass {
                up_to,
                files,
                bytes,
            })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_size_belongs_to_the_first_class_that_it_does_not_exceed() {
        for (number, bound) in BOUNDS.into_iter().enumerate() {
            let mut histogram = SizeHistogram::default();
            histogram.add(bound, 2);
            histogram.add(bound + 1, 1);
            let found: Vec<SizeClass> = histogram.classes().collect();
            assert_eq!(found[number].up_to, Some(bound));
            assert_eq!((found[number].files, found[number].bytes), (2, 2 * bound));
            let next = &found[number + 1];
            assert_eq!((next.files, next.bytes), (1, bound + 1));
            assert_eq!(found.iter().map(|class| class.files).sum::<u64>(), 3);
        }
    }

    #[test]
    fn sums_do_not_overflow() {
        let mut histogram = SizeHistogram::default();
        histogram.add(u64::MAX, 3);
        let last = histogram.classes().last().unwrap();
        assert_eq!((last.up_to, last.files, last.bytes), (None, 3, u64::MAX));
    }
}
