//! A source that fails on demand: a tree in memory, mounted with FUSE, with fault rules.
//!
//! rustix makes system calls directly, so a preloaded library would not intercept them. A FUSE file system
//! receives the calls of every process.

mod fault;
mod filesystem;
mod tree;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, Errno, MountOption, SessionACL};

pub use fault::{Act, Call, Fault};
use filesystem::Mounted;
use tree::{Body, Tree};

/// A fault with the inode, directory and name to which its path resolved.
struct Rule {
    number: u64,
    place: (u64, Vec<u8>),
    fault: Fault,
}

type Reply = Box<dyn FnOnce(Result<(), Errno>) + Send>;

#[derive(Default)]
struct Held {
    replies: Vec<Reply>,
    ever: usize,
}

/// A delayed reply.
type DelayedReply = Box<dyn FnOnce() + Send>;

/// The queue and the counts of delayed replies to lookups.
#[derive(Default)]
struct Slow {
    replies: Option<Sender<(Instant, DelayedReply)>>,
    delay: Duration,
    inside: usize,
    max_inside: usize,
}

struct Shared {
    slow: Mutex<Slow>,
    tree: Mutex<Tree>,
    rules: Mutex<Vec<Rule>>,
    held: Mutex<Held>,
    calls: Mutex<HashMap<(u64, Call), u64>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn tree(&self) -> MutexGuard<'_, Tree> {
        locked(&self.tree)
    }

    fn look_up(
        self: &Arc<Self>,
        parent: u64,
        name: &[u8],
        reply: impl FnOnce(Result<(), Errno>) + Send + 'static,
    ) {
        let number = self.tree().child(parent, name);
        if let Some(number) = number {
            self.count(number, Call::Lookup);
        }
        self.apply_rules(Call::Lookup, 0, self.delayed(reply), |rule| {
            rule.place.0 == parent && rule.place.1 == name
        });
    }

    /// Delays the reply by the source's delay. Other requests are served meanwhile.
    fn delayed(
        self: &Arc<Self>,
        reply: impl FnOnce(Result<(), Errno>) + Send + 'static,
    ) -> impl FnOnce(Result<(), Errno>) + Send + 'static {
        let shared = Arc::clone(self);
        move |outcome| {
            let mut slow = locked(&shared.slow);
            let Some(replies) = slow.replies.clone() else {
                drop(slow);
                return reply(outcome);
            };
            slow.inside += 1;
            slow.max_inside = slow.max_inside.max(slow.inside);
            let due = Instant::now() + slow.delay;
            drop(slow);
            let counted = Arc::clone(&shared);
            let reply = move || {
                locked(&counted.slow).inside -= 1;
                reply(outcome);
            };
            replies.send((due, Box::new(reply))).unwrap();
        }
    }

    fn serve(
        &self,
        number: u64,
        call: Call,
        at: u64,
        reply: impl FnOnce(Result<(), Errno>) + Send + 'static,
    ) {
        self.count(number, call);
        self.apply_rules(call, at, reply, |rule| rule.number == number);
    }

    fn count(&self, number: u64, call: Call) {
        *locked(&self.calls).entry((number, call)).or_default() += 1;
    }

    fn apply_rules(
        &self,
        call: Call,
        at: u64,
        reply: impl FnOnce(Result<(), Errno>) + Send + 'static,
        meant: impl Fn(&Rule) -> bool,
    ) {
        let mut outcome = Ok(());
        for rule in locked(&self.rules).iter_mut() {
            if !(meant(rule) && rule.fault.call == call && at >= rule.fault.at) {
                continue;
            }
            if rule.fault.skip > 0 {
                rule.fault.skip -= 1;
                continue;
            }
            if rule.fault.times == 0 {
                continue;
            }
            rule.fault.times -= 1;
            match rule.fault.act {
                Act::Fail(errno) => outcome = Err(errno),
                Act::Hang => {
                    let mut held = locked(&self.held);
                    held.ever += 1;
                    held.replies.push(Box::new(reply));
                    return;
                }
                Act::Resize(size) => self.tree().resize(rule.number, size),
                Act::Change => self.tree().touch(rule.number),
                Act::Append(by) => self.tree().append(rule.number, by),
                Act::Renumber(to) => self.tree().show_number(rule.number, to),
                Act::Target(to) => self.tree().set_target(rule.number, to),
                Act::Remove => self.tree().remove(rule.place.0, &rule.place.1),
                Act::BecomeDirectory => self.tree().replace_by_directory(rule.number),
            }
        }
        reply(outcome);
    }

    /// Returns the position of the next fault after `at`.
    fn next_fault(&self, number: u64, call: Call, at: u64) -> u64 {
        let rules = locked(&self.rules);
        let ahead = rules
            .iter()
            .filter(|rule| rule.number == number && rule.fault.call == call)
            .map(|rule| rule.fault.at)
            .filter(|fault| *fault > at);
        ahead.min().unwrap_or(u64::MAX)
    }
}

/// A mounted tree. It is unmounted on drop.
pub struct FaultySource {
    path: PathBuf,
    shared: Arc<Shared>,
    session: Option<BackgroundSession>,
}

impl FaultySource {
    /// Returns true if FUSE file systems can be mounted here; skips the test otherwise.
    #[track_caller]
    pub fn is_possible() -> bool {
        if !super::mounts::possible() {
            return false;
        }
        let device = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse");
        if let Err(error) = &device {
            super::skip::skip(&format!("/dev/fuse: {error}"));
        }
        device.is_ok()
    }

    /// Mounts an empty tree.
    pub fn mount(at: &Path) -> Self {
        let shared = Arc::new(Shared {
            slow: Mutex::default(),
            tree: Mutex::new(Tree::new()),
            rules: Mutex::default(),
            held: Mutex::default(),
            calls: Mutex::default(),
        });
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("server:/export".to_owned())];
        config.acl = SessionACL::All;
        let session = fuser::spawn_mount(Mounted(Arc::clone(&shared)), at, &config).unwrap();
        FaultySource {
            path: at.to_path_buf(),
            shared,
            session: Some(session),
        }
    }

    /// Adds a file and its missing parent directories.
    pub fn file(&self, path: impl AsRef<[u8]>, size: u64) {
        self.shared.tree().add(path.as_ref(), Body::File { size });
    }

    /// Adds a symlink.
    pub fn symlink(&self, path: &str, target: &[u8]) {
        let body = Body::Symlink(target.to_vec());
        self.shared.tree().add(path.as_bytes(), body);
    }

    /// Adds an empty directory.
    pub fn directory(&self, path: &str) {
        let body = Body::Directory(BTreeMap::new());
        self.shared.tree().add(path.as_bytes(), body);
    }

    /// Adds a hard link `to` to the file.
    pub fn link(&self, path: &str, to: &str) {
        self.shared.tree().link(path.as_bytes(), to.as_bytes());
    }

    /// Sets an extended attribute of an entry. An attribute with an empty value is listed but cannot be read.
    pub fn set_xattr(&self, path: &str, name: &str, value: &[u8]) {
        let mut tree = self.shared.tree();
        let (number, ..) = tree.resolve(path.as_bytes()).unwrap();
        tree.set_xattr(number, name, value.to_vec());
    }

    /// Adds a fault on an existing path.
    pub fn fault(&self, fault: Fault) {
        let place = self.shared.tree().resolve(&fault.path);
        let (number, directory, name) = place.expect("a fault on a path that is not there");
        locked(&self.shared.rules).push(Rule {
            number,
            place: (directory, name),
            fault,
        });
    }

    /// Delays the reply to each lookup, however many run concurrently.
    pub fn slow_down(&self, delay: Duration) {
        let (replies, waiting) = channel::<(Instant, DelayedReply)>();
        // All have the same delay, so they are due in the order of their arrival.
        std::thread::spawn(move || {
            for (due, reply) in waiting {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                reply();
            }
        });
        let mut slow = locked(&self.shared.slow);
        slow.replies = Some(replies);
        slow.delay = delay;
    }

    /// Returns the maximum number of concurrent lookups since [`slow_down`](Self::slow_down).
    pub fn max_concurrent_lookups(&self) -> usize {
        locked(&self.shared.slow).max_inside
    }

    /// Removes all faults. Removed names reappear; changed files stay changed.
    pub fn heal(&self) {
        locked(&self.shared.rules).clear();
        self.shared.tree().restore();
        self.release();
    }

    /// Runs `look` on the tree without faults and with all removed names.
    pub fn without_faults<T>(&self, look: impl FnOnce() -> T) -> T {
        let rules = std::mem::take(&mut *locked(&self.shared.rules));
        let removed = self.shared.tree().restore();
        let seen = look();
        let mut tree = self.shared.tree();
        for (directory, name) in removed {
            tree.remove(directory, &name);
        }
        *locked(&self.shared.rules) = rules;
        seen
    }

    /// Removes a name until [`heal`](Self::heal).
    pub fn remove(&self, path: &str) {
        let mut tree = self.shared.tree();
        let (_, directory, name) = tree.resolve(path.as_bytes()).unwrap();
        tree.remove(directory, &name);
    }

    /// Changes the size of a file.
    pub fn resize(&self, path: &str, to: u64) {
        let mut tree = self.shared.tree();
        let (number, ..) = tree.resolve(path.as_bytes()).unwrap();
        tree.resize(number, to);
    }

    /// Returns the true inode number of the entry at `path`.
    pub fn number(&self, path: &str) -> u64 {
        self.shared.tree().resolve(path.as_bytes()).unwrap().0
    }

    /// Shows a false inode number for the entry at `path`.
    pub fn show_number(&self, path: &str, shown: u64) {
        let mut tree = self.shared.tree();
        let (number, ..) = tree.resolve(path.as_bytes()).unwrap();
        tree.show_number(number, shown);
    }

    /// Changes the times of the entry at `path` and, for a file, the content.
    pub fn touch(&self, path: &str) {
        let mut tree = self.shared.tree();
        let (number, ..) = tree.resolve(path.as_bytes()).unwrap();
        tree.touch(number);
    }

    /// Changes the ctime of an entry.
    pub fn change_ctime(&self, path: &str) {
        let mut tree = self.shared.tree();
        let (number, ..) = tree.resolve(path.as_bytes()).unwrap();
        tree.change_ctime(number);
    }

    /// Returns the size of a file in bytes.
    pub fn size(&self, path: &str) -> u64 {
        let tree = self.shared.tree();
        let (number, ..) = tree.resolve(path.as_bytes()).unwrap();
        tree.attributes(number).size
    }

    /// Completes all calls that hang.
    pub fn release(&self) {
        let held = std::mem::take(&mut locked(&self.shared.held).replies);
        held.into_iter().for_each(|reply| reply(Ok(())));
    }

    /// Returns the number of `call`s on the entry at `path`.
    pub fn calls(&self, path: &str, call: Call) -> u64 {
        let (number, ..) = self.shared.tree().resolve(path.as_bytes()).unwrap();
        let calls = locked(&self.shared.calls);
        calls.get(&(number, call)).copied().unwrap_or(0)
    }

    /// Waits until a call hangs.
    pub fn wait_for_hang(&self) {
        let since = Instant::now();
        while locked(&self.shared.held).ever == 0 {
            assert!(since.elapsed() < Duration::from_secs(60), "nothing hangs");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for FaultySource {
    fn drop(&mut self) {
        self.heal();
        // umount(2) fails with EBUSY while the command of a failed test is still running. Detach lazily instead.
        let mut detach = Command::new("umount");
        detach.arg("-l").arg(&self.path).stderr(Stdio::null());
        drop(detach.status());
        drop(self.session.take());
    }
}
