//! The limits of a load: requests in flight, threads and open files, from the options and from the limits of
//! this process.

use std::num::NonZeroUsize;

use rustix::process::{Resource, getrlimit};

use super::{LoadOptions, Refusal};
use crate::container::limit::{Concurrency, MAX_REQUESTS};
use crate::container::location::ContainerLocation;
use crate::load::pipeline::OPEN_FILES;
use crate::load::scan::OPEN_AHEAD;
use crate::load::upload::{OBJECT_OVERHEAD, UploadLimits};
use crate::source::OPEN_DIRECTORIES;

/// The database, its log and the log's index, for each encoder thread.
const FILES_OF_A_READER: u64 = 3;
/// Standard streams, the writer of the database, logs, temporary files and epoll instances.
const FURTHER_FILES: u64 = 32;

/// Minimum number of requests in flight if few files may be open. The source seldom needs all of its share.
const MIN_REQUESTS: usize = 16;
/// Maximum number of requests in flight to a folder.
pub(super) const FOLDER_REQUESTS: usize = 64;
/// Blocking threads besides those of a folder's requests: for host names, the token file and notices.
pub(super) const FURTHER_BLOCKING: usize = 32;

/// Minimum number of threads of each kind if few files may be open.
const MIN_THREADS: usize = 2;
/// Minimum number of directories that are kept open.
// Evaluated at compile time: 16 is not 0.
const MIN_DIRECTORIES: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// Memory of the smallest object in flight: the overhead, and an inode.
const SMALLEST_OBJECT: u64 = OBJECT_OVERHEAD + 256;

/// The limits of a load.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Requests in flight.
    pub(super) concurrency: Concurrency,
    /// Threads and directories that hold files of source and state open.
    pub(super) holders: Holders,
}

/// The numbers of threads and directories that hold files of source and state open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holders {
    /// Threads that list directories and examine entries.
    pub(super) scan_threads: usize,
    /// Threads that read and encode.
    pub(super) encode_threads: usize,
    /// Directories of the source that are kept open.
    pub(super) directories: NonZeroUsize,
}

impl Holders {
    /// Creates the numbers that the options request.
    fn requested(options: &LoadOptions) -> Self {
        Holders {
            scan_threads: options.scan_threads.max(1),
            encode_threads: options.encode_threads.max(1),
            directories: OPEN_DIRECTORIES,
        }
    }

    /// Returns the files that they may have open: 640 by default.
    fn files(&self) -> u64 {
        // Each scan thread lists one directory, and as many wait. Each encoder has one file.
        let listings = self.scan_threads + self.scan_threads.min(OPEN_AHEAD);
        let encoders = self.encode_threads as u64;
        let directories = self.directories.get() as u64;
        directories + listings as u64 + (FILES_OF_A_READER + 1) * encoders
    }

    /// Returns all files that a load may have open besides its connections: 688 by default.
    fn all_files(&self) -> u64 {
        self.files() + OPEN_FILES as u64 + FURTHER_FILES
    }

    /// Reduces the numbers so that enough files are left for the requests.
    fn within(self, open_files: u64) -> Result<Self, Refusal> {
        let needed = |holders: &Holders| holders.all_files() + MIN_REQUESTS as u64;
        if needed(&self) <= open_files {
            return Ok(self);
        }
        let all = Holders {
            scan_threads: self.scan_threads.min(OPEN_AHEAD),
            ..self
        };
        if needed(&all) <= open_files {
            return Ok(all);
        }
        let minimum = Holders {
            scan_threads: all.scan_threads.min(MIN_THREADS),
            encode_threads: all.encode_threads.min(MIN_THREADS),
            directories: MIN_DIRECTORIES,
        };
        let least = needed(&minimum);
        let Some(left) = open_files.checked_sub(least) else {
            return Err(Refusal::OpenFiles {
                open_files,
                minimum: least,
            });
        };
        // Beyond its minimum, each gets the same fraction of its request.
        let beyond = (all.files() - minimum.files()).max(1);
        let part = |minimum: usize, all: usize| {
            minimum + (((all - minimum) as u64).saturating_mul(left) / beyond) as usize
        };
        let directories = part(minimum.directories.get(), all.directories.get());
        Ok(Holders {
            scan_threads: part(minimum.scan_threads, all.scan_threads),
            encode_threads: part(minimum.encode_threads, all.encode_threads),
            directories: NonZeroUsize::new(directories).unwrap_or(MIN_DIRECTORIES),
        })
    }
}

impl Bounds {
    /// Returns the limits that the options request, reduced to those of this process.
    ///
    /// # Errors
    /// A refusal, if the options request more than memory or open files allow.
    pub(super) fn new(options: &LoadOptions) -> Result<Self, Refusal> {
        let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Bounds::within(options, open_files)
    }

    fn within(options: &LoadOptions, open_files: u64) -> Result<Self, Refusal> {
        if options.limits.bytes < UploadLimits::MIN_BYTES {
            return Err(Refusal::Memory {
                given: options.limits.bytes,
                minimum: UploadLimits::MIN_BYTES,
            });
        }
        let holders = Holders::requested(options).within(open_files)?;
        Ok(Bounds {
            concurrency: concurrency(options, open_files, holders.all_files())?,
            holders,
        })
    }
}

/// Returns the requests that may be in flight while `others` files are open.
fn concurrency(
    options: &LoadOptions,
    open_files: u64,
    others: u64,
) -> Result<Concurrency, Refusal> {
    let possible = usize::try_from(open_files.saturating_sub(others)).unwrap_or(usize::MAX);
    if let Some(given) = options.limits.concurrency {
        let least = (given.get() as u64).saturating_mul(SMALLEST_OBJECT);
        if options.limits.bytes < least {
            return Err(Refusal::MemoryOfRequests {
                given,
                memory: options.limits.bytes,
                minimum: least,
            });
        }
        if given.get() > possible {
            return Err(Refusal::Descriptors {
                given,
                others,
                open_files,
                possible,
            });
        }
        return Ok(Concurrency::Fixed(given));
    }
    let max = match options.container {
        ContainerLocation::Azure { .. } => MAX_REQUESTS,
        // Each upload to a folder blocks a thread until the disk responds; flushes are shared.
        ContainerLocation::Folder { .. } => FOLDER_REQUESTS,
    };
    Ok(Concurrency::Adaptive {
        max: max.min(possible),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn options(container: ContainerLocation) -> LoadOptions {
        LoadOptions::new("state".into(), "source".into(), container)
    }

    fn azure() -> LoadOptions {
        let endpoint = "https://account.blob.core.windows.net";
        options(ContainerLocation::azure(endpoint, "name").unwrap())
    }

    fn max_requests(options: &LoadOptions, open_files: u64) -> usize {
        match Bounds::within(options, open_files).unwrap().concurrency {
            Concurrency::Adaptive { max } => max,
            Concurrency::Fixed(given) => given.get(),
        }
    }

    #[test]
    fn requests_leave_files_for_source_and_state() {
        let mut options = azure();
        assert_eq!(max_requests(&options, u64::MAX), 1024);
        assert_eq!(max_requests(&options, 1024), 1024 - 688);
        assert_eq!(max_requests(&options, 200), 22);
        // An encoder has three files of the state and one of the source.
        options.encode_threads = 4;
        assert_eq!(max_requests(&options, 1024), 1024 - 688 + 60 * 4);
        let path = "/containers/name".into();
        let folder = self::options(ContainerLocation::Folder { path });
        assert_eq!(max_requests(&folder, 1024), 64);
    }

    #[test]
    fn threads_and_directories_leave_files_for_requests() {
        let mut options = azure();
        for threads in [1, 3, 64, 300] {
            (options.scan_threads, options.encode_threads) = (threads, threads);
            for open_files in 92..3000 {
                let holders = Bounds::within(&options, open_files).unwrap().holders;
                assert!(holders.all_files() + 16 <= open_files, "{open_files}");
                assert!(holders.scan_threads >= threads.min(2));
                assert!(holders.encode_threads >= threads.min(2));
                assert!(holders.directories.get() >= 16);
            }
            let holders = Bounds::within(&options, 3000).unwrap().holders;
            assert_eq!(holders, Holders::requested(&options));
        }
        let message = Bounds::within(&options, 91).unwrap_err().to_string();
        assert!(
            message.contains("may open 91 files, but needs at least 92"),
            "{message}"
        );
    }

    #[test]
    fn requests_that_memory_does_not_allow_are_refused() {
        let mut options = azure();
        let mut refused = |given, memory| {
            options.limits.concurrency = NonZeroUsize::new(given);
            options.limits.bytes = memory;
            let refused = Bounds::within(&options, u64::MAX).err();
            refused.map(|refusal| refusal.to_string())
        };
        let message = refused(4096, 32 << 20).unwrap();
        assert!(message.contains("--memory of at least 33M"), "{message}");
        for (given, memory) in [(4096, 33 << 20), (3900, 32 << 20), (4096, 64 << 20)] {
            assert_eq!(refused(given, memory), None);
        }
    }

    #[test]
    fn a_given_number_is_used_or_refused() {
        let mut options = azure();
        let mut fixed = |given, open_files| {
            options.limits.concurrency = NonZeroUsize::new(given);
            Bounds::within(&options, open_files).map(|bounds| bounds.concurrency)
        };
        for (given, open_files) in [(1, 100), (16, 100), (336, 1024), (4096, 5000)] {
            let taken = fixed(given, open_files).unwrap();
            assert_eq!(taken, Concurrency::Fixed(NonZeroUsize::new(given).unwrap()));
        }
        for (given, open_files, message) in [
            (17, 92, "--concurrency of at most 16"),
            (337, 1024, "--concurrency of at most 336"),
            (337, 1024, "in addition to up to 688 of source and state"),
        ] {
            let refused = fixed(given, open_files).unwrap_err().to_string();
            assert!(refused.contains(message), "{refused}");
        }
    }
}
