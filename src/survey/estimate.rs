//! What a load would take: requests, bytes, time.

use std::time::Duration;

/// Puts of a load, one for each object, by what they hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Puts {
    /// Inodes of files, symlinks, devices, fifos and sockets.
    pub inodes: u64,
    /// Inodes of directories, the root among them.
    pub directories: u64,
    /// Segments of files: up to 8 MiB each.
    pub file_segments: u64,
    /// Segments of directories: up to 256 KiB each.
    pub directory_segments: u64,
    /// Indirect blocks of files and directories.
    pub indirect_blocks: u64,
    /// The bucket object.
    pub bucket: u64,
    /// The log.
    pub log: u64,
}

impl Puts {
    /// All of them.
    pub fn total(&self) -> u64 {
        let kinds = [
            self.inodes,
            self.directories,
            self.file_segments,
            self.directory_segments,
            self.indirect_blocks,
            self.bucket,
            self.log,
        ];
        kinds.into_iter().fold(0, u64::saturating_add)
    }
}

/// What a load would take.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Estimate {
    /// Requests that write.
    pub puts: Puts,
    /// Bytes of all objects but the log, as they are stored.
    pub bytes: u64,
    /// With a chance of 95 % the bytes are that near; 0 where all was measured.
    pub margin: u64,
    /// The same bytes without compression.
    pub uncompressed: u64,
    /// Bytes that were read from the source for that.
    pub bytes_sampled: u64,
    /// Bytes of the state database.
    pub database: u64,
}

impl Estimate {
    /// How long the upload takes with so many bytes a second.
    pub fn upload_time(&self, bytes_per_second: u64) -> Duration {
        // A number beyond what a Duration holds is beyond everything anyway.
        let seconds = self.bytes as f64 / bytes_per_second.max(1) as f64;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// `bits` Gbit/s in bytes a second.
pub fn gigabits(bits: u64) -> u64 {
    bits.saturating_mul(125_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gigabit_carries_125_megabytes() {
        let estimate = Estimate {
            bytes: 4_500_000_000_000,
            ..Estimate::default()
        };
        let hours = |bits| estimate.upload_time(gigabits(bits)).as_secs() / 3600;
        assert_eq!((hours(1), hours(10)), (10, 1));
        assert_eq!(
            Estimate::default().upload_time(gigabits(25)),
            Duration::ZERO
        );
        assert!(estimate.upload_time(0) > Duration::from_secs(1));
    }

    #[test]
    fn every_kind_is_a_put() {
        let puts = Puts {
            inodes: 1,
            directories: 20,
            file_segments: 300,
            directory_segments: 4000,
            indirect_blocks: 50_000,
            bucket: 600_000,
            log: 7_000_000,
        };
        assert_eq!(puts.total(), 7_654_321);
    }
}
