//! What a load may have on its way and hold open, by the options and by what this process may.

use std::num::NonZeroUsize;

use rustix::process::{Resource, getrlimit};

use super::{LoadOptions, Refusal};
use crate::container::limit::{Concurrency, MAX_REQUESTS};
use crate::container::location::ContainerLocation;
use crate::pass::OPEN_FILES;
use crate::scan::OPEN_AHEAD;
use crate::source::OPEN_DIRECTORIES;
use crate::upload::{OBJECT_OVERHEAD, UploadLimits};

/// The database, its log and the log's index, for each thread that reads and encodes.
const FILES_OF_A_READER: u64 = 3;
/// Standard streams, the database's writer, logs, scratch files, epolls.
const FURTHER_FILES: u64 = 32;

/// Requests at the same time where hardly any files may be open: the source seldom needs all that it may.
const FEWEST_REQUESTS: usize = 16;
/// Requests at the same time to a folder.
pub(super) const FOLDER_REQUESTS: usize = 64;
/// Threads that may wait beside those of a folder's requests: for names of hosts, the token's file and whoever is told of
/// something.
pub(super) const FURTHER_BLOCKING: usize = 32;

/// Where hardly any files may be open: threads of each kind, and directories that stay open.
const FEWEST_THREADS: usize = 2;
// Evaluated when this is compiled: 16 is not 0.
const FEWEST_DIRECTORIES: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// What the smallest object on its way counts for: what it takes beside its bytes, and an inode.
const SMALLEST_OBJECT: u64 = OBJECT_OVERHEAD + 256;

/// The bounds of a load.
#[derive(Debug)]
pub(super) struct Bounds {
    /// The requests that may be on their way.
    pub(super) concurrency: Concurrency,
    /// Who may hold files of source and state open.
    pub(super) holders: Holders,
}

/// Who holds files of source and state open, beside what each load has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holders {
    /// Threads that list and look.
    pub(super) scan_threads: usize,
    /// Threads that read and encode.
    pub(super) encode_threads: usize,
    /// Directories of the source that are kept open.
    pub(super) directories: NonZeroUsize,
}

impl Holders {
    /// As many as the options ask for.
    fn asked(options: &LoadOptions) -> Self {
        Holders {
            scan_threads: options.scan_threads.max(1),
            encode_threads: options.encode_threads.max(1),
            directories: OPEN_DIRECTORIES,
        }
    }

    /// Files that they may have open: 640 by default.
    fn files(&self) -> u64 {
        // Each thread has one directory in its hands, and as many wait; each encoder has one file.
        let listings = self.scan_threads + self.scan_threads.min(OPEN_AHEAD);
        let encoders = self.encode_threads as u64;
        let directories = self.directories.get() as u64;
        directories + listings as u64 + (FILES_OF_A_READER + 1) * encoders
    }

    /// With all that a load has open beside its connections: 688 by default.
    fn all_files(&self) -> u64 {
        self.files() + OPEN_FILES as u64 + FURTHER_FILES
    }

    /// As many of them as leave the requests their files.
    fn within(self, open_files: u64) -> Result<Self, Refusal> {
        let needed = |holders: &Holders| holders.all_files() + FEWEST_REQUESTS as u64;
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
        let fewest = Holders {
            scan_threads: all.scan_threads.min(FEWEST_THREADS),
            encode_threads: all.encode_threads.min(FEWEST_THREADS),
            directories: FEWEST_DIRECTORIES,
        };
        let least = needed(&fewest);
        let Some(left) = open_files.checked_sub(least) else {
            return Err(Refusal::OpenFiles { open_files, least });
        };
        // Beyond the fewest, each gets the same part of what it would have; less than that, as there
        // is less left than all would take.
        let beyond = (all.files() - fewest.files()).max(1);
        let part = |fewest: usize, all: usize| {
            fewest + (((all - fewest) as u64).saturating_mul(left) / beyond) as usize
        };
        let directories = part(fewest.directories.get(), all.directories.get());
        Ok(Holders {
            scan_threads: part(fewest.scan_threads, all.scan_threads),
            encode_threads: part(fewest.encode_threads, all.encode_threads),
            directories: NonZeroUsize::new(directories).unwrap_or(FEWEST_DIRECTORIES),
        })
    }
}

impl Bounds {
    /// What the options ask for, or less where it is a bound that this process may not reach.
    ///
    /// # Errors
    /// A refusal, when the options ask for what memory or open files do not allow.
    pub(super) fn new(options: &LoadOptions) -> Result<Self, Refusal> {
        let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Bounds::within(options, open_files)
    }

    fn within(options: &LoadOptions, open_files: u64) -> Result<Self, Refusal> {
        if options.limits.bytes < UploadLimits::LEAST_BYTES {
            return Err(Refusal::Memory {
                given: options.limits.bytes,
                least: UploadLimits::LEAST_BYTES,
            });
        }
        let holders = Holders::asked(options).within(open_files)?;
        Ok(Bounds {
            concurrency: concurrency(options, open_files, holders.all_files())?,
            holders,
        })
    }
}

/// The requests that may be on their way beside `others` that are open.
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
                least,
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
    let most = match options.container {
        ContainerLocation::Azure { .. } => MAX_REQUESTS,
        // Each put of a folder is a thread that waits for the disk; flushes are shared.
        ContainerLocation::Folder { .. } => FOLDER_REQUESTS,
    };
    Ok(Concurrency::Adaptive {
        max: most.min(possible),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::container::sas::SasToken;

    fn options(account: &str) -> LoadOptions {
        let token = "sv=2020-12-06&sr=c&sp=rwdl&se=2099-01-01T00:00:00Z&sig=c2ln";
        let token = (!account.starts_with("file:")).then(|| SasToken::parse(token).unwrap());
        let container = ContainerLocation::parse(account, "name", token, None).unwrap();
        LoadOptions::new("state".into(), "source".into(), container)
    }

    fn most(options: &LoadOptions, open_files: u64) -> usize {
        match Bounds::within(options, open_files).unwrap().concurrency {
            Concurrency::Adaptive { max } => max,
            Concurrency::Fixed(given) => given.get(),
        }
    }

    #[test]
    fn requests_leave_the_others_their_files() {
        let mut options = options("account");
        assert_eq!(most(&options, u64::MAX), 1024);
        assert_eq!(most(&options, 1024), 1024 - 688);
        assert_eq!(most(&options, 200), 22);
        // An encoder has three files for what it reads of the state, and one of the source.
        options.encode_threads = 4;
        assert_eq!(most(&options, 1024), 1024 - 688 + 60 * 4);
        assert_eq!(most(&self::options("file:///containers"), 1024), 64);
    }

    #[test]
    fn threads_and_directories_leave_requests_their_files() {
        let mut options = options("account");
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
            assert_eq!(holders, Holders::asked(&options));
        }
        let told = Bounds::within(&options, 91).unwrap_err().to_string();
        assert!(told.contains("may open 91 files, and needs 92"), "{told}");
    }

    #[test]
    fn requests_that_memory_does_not_allow_are_refused() {
        let mut options = options("account");
        let mut refused = |given, memory| {
            options.limits.concurrency = NonZeroUsize::new(given);
            options.limits.bytes = memory;
            let refused = Bounds::within(&options, u64::MAX).err();
            refused.map(|refusal| refusal.to_string())
        };
        let told = refused(4096, 32 << 20).unwrap();
        assert!(told.contains("--memory of at least 33M"), "{told}");
        for (given, memory) in [(4096, 33 << 20), (3900, 32 << 20), (4096, 64 << 20)] {
            assert_eq!(refused(given, memory), None);
        }
    }

    #[test]
    fn a_number_that_is_given_is_taken_or_refused() {
        let mut options = options("account");
        let mut fixed = |given, open_files| {
            options.limits.concurrency = NonZeroUsize::new(given);
            Bounds::within(&options, open_files).map(|bounds| bounds.concurrency)
        };
        for (given, open_files) in [(1, 100), (16, 100), (336, 1024), (4096, 5000)] {
            let taken = fixed(given, open_files).unwrap();
            assert_eq!(taken, Concurrency::Fixed(NonZeroUsize::new(given).unwrap()));
        }
        for (given, open_files, told) in [
            (17, 92, "--concurrency of at most 16"),
            (337, 1024, "--concurrency of at most 336"),
            (337, 1024, "beside up to 688 of source and state"),
        ] {
            let refused = fixed(given, open_files).unwrap_err().to_string();
            assert!(refused.contains(told), "{refused}");
        }
    }
}
