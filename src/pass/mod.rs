//! A pass over the entries: takes them by ascending id, has them encoded and uploaded, and
//! settles what became of them.
//!
//! Three parts work at the same time: one thread takes entries from the state, several encode,
//! and the caller's thread gathers outcomes and stores them in batches. An entry is settled only
//! when the container has confirmed all its objects.

mod attempt;
mod encoder_thread;
mod ledger;
mod queue;
mod settler;
mod taker;

use std::sync::atomic::AtomicU64;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crate::crew::Crew;
use crate::encode::{EncodeContext, LargeFile, ReadContent};
use crate::entry::{Entry, SourceAttributes};
use crate::events::Monitor;
use crate::problem::{Problem, ProblemLimit};
use crate::progress::Progress;
use crate::state::{Pass, State, StateError};
use crate::stop::{StopFlag, StopOnPanic};
use crate::upload::{Delivered, Receipt, ReceiptEnd, Uploader};

pub use attempt::WhenChanged;
pub use queue::OPEN_FILES;

use attempt::Attempt;
use encoder_thread::Encoders;
use ledger::Ledger;
use queue::WorkQueue;

/// What a pass works with.
pub struct PassRun<'a> {
    /// Which pass.
    pub pass: Pass,
    /// Where entries come from and outcomes go.
    pub state: &'a State,
    /// What encoders share.
    pub context: &'a Arc<EncodeContext>,
    /// Where objects go.
    pub uploader: &'a Arc<Uploader>,
    /// The most threads that encode; there are fewer while the source answers quickly.
    pub threads: usize,
    /// Whether entries that failed in an earlier run are tried again.
    pub retry_problems: bool,
    /// What to do with files that change while they are read.
    pub when_changed: WhenChanged,
    /// Stops the run when too many entries fail.
    pub limit: &'a ProblemLimit,
    /// Asks whether more entries can come, and waits for them.
    pub more: &'a dyn MoreEntries,
    /// Looked at between two pieces of work.
    pub stop: &'a StopFlag,
    /// Figures.
    pub progress: &'a Progress,
    /// Hears of problems.
    pub monitor: &'a dyn Monitor,
}

/// Where entries come from while a pass runs.
pub trait MoreEntries: Sync {
    /// Waits until there may be more entries than there were. False when there are no more to
    /// come than are there now.
    fn wait(&self) -> bool;
}

/// No more than there are.
pub struct NoMore;

impl MoreEntries for NoMore {
    fn wait(&self) -> bool {
        false
    }
}

/// An entry on its way.
#[derive(Debug, Clone)]
struct Task {
    entry: Entry,
    attempt: Attempt,
    /// It failed in an earlier run.
    failed_before: bool,
}

/// A large file on its way.
struct LargeTask {
    file: LargeFile,
    attempt: Attempt,
    failed_before: bool,
    receipt: Arc<Receipt<OutcomeSender>>,
    /// The first reason why it cannot be loaded.
    failure: OnceLock<Verdict>,
    /// See [`Sealed::read_ahead`].
    read: AtomicU64,
}

/// What the encoder said of an entry.
#[derive(Debug, Clone)]
enum Verdict {
    /// Read whole.
    Whole(ReadContent),
    /// Not what the scan saw: these are its attributes now, and with them it is tried again.
    Changed(SourceAttributes, Attempt),
    /// It cannot be loaded.
    Problem(Problem),
    /// The run is stopping; the entry stays outstanding.
    Abandoned,
}

/// All that an encoder tells of an entry.
struct Sealed {
    verdict: Verdict,
    /// Bytes of a large file, which [`Progress::under_way`] holds until the entry is settled.
    read_ahead: u64,
}

impl From<Verdict> for Sealed {
    fn from(verdict: Verdict) -> Self {
        Sealed {
            verdict,
            read_ahead: 0,
        }
    }
}

/// What the settler hears.
enum Message {
    /// An entry and what became of it.
    Outcome(Box<Outcome>),
    /// The taker has taken the last entry.
    AllTaken,
}

struct Outcome {
    task: Task,
    sealed: Sealed,
    delivered: Delivered,
    /// From the moment that a thread took it to the last answer.
    took: Duration,
}

/// Sends the outcome of an entry to the settler.
struct OutcomeSender {
    task: Task,
    began: Instant,
    messages: Sender<Message>,
}

impl ReceiptEnd for OutcomeSender {
    type Verdict = Sealed;

    fn end(self, sealed: Sealed, delivered: Delivered) {
        let outcome = Outcome {
            task: self.task,
            sealed,
            delivered,
            took: self.began.elapsed(),
        };
        // The settler goes only after a failure of the state; the outcome is then not stored,
        // and the entry is taken again by the next run.
        drop(self.messages.send(Message::Outcome(Box::new(outcome))));
    }
}

/// The first error that ends a pass.
#[derive(Debug, Default)]
struct Failure(Mutex<Option<StateError>>);

impl Failure {
    fn set(&self, error: StateError, stop: &StopFlag) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
        stop.request();
    }

    fn into_result(self) -> Result<(), StateError> {
        match self.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

struct CloseOnPanic<'a>(&'a WorkQueue);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close(true);
        }
    }
}

impl PassRun<'_> {
    /// Runs the pass to its end, or until the run is asked to stop.
    ///
    /// # Errors
    /// When the state cannot be read or written.
    pub fn run(&self) -> Result<(), StateError> {
        let reader = self.state.reader()?;
        let ledger = Mutex::new(Ledger::resume(reader.progress(self.pass)?));
        let queue = WorkQueue::default();
        let failure = Failure::default();
        let encoders = Encoders {
            run: self,
            queue: &queue,
            crew: Crew::new(self.threads),
            failure: &failure,
        };
        let encoders = &encoders;
        let fail = |error| failure.set(error, self.stop);
        std::thread::scope(|threads| {
            // However this ends, the other threads must not wait for it.
            let _stop = StopOnPanic(self.stop);
            let _close = CloseOnPanic(&queue);
            let (messages, outcomes) = std::sync::mpsc::channel();
            for _ in 0..encoders.crew.few() {
                encoder_thread::recruit(threads, encoders, messages.clone()).unwrap_or_else(fail);
            }
            let more = messages.clone();
            let take = || {
                let _stop = StopOnPanic(self.stop);
                taker::take(self, reader, &ledger, &queue).unwrap_or_else(fail);
                // The settler is there until all senders are gone, this one too.
                drop(messages.send(Message::AllTaken));
                drop(messages);
            };
            if let Err(error) = Builder::new().spawn_scoped(threads, take) {
                fail(StateError::Exhausted(error));
            }
            // It takes its sender along: the settler hears the end when that is gone too.
            let recruit = move || {
                // Without another thread it goes on with those that there are.
                drop(encoder_thread::recruit(threads, encoders, more.clone()));
            };
            let recruit: Box<dyn Fn()> = Box::new(recruit);
            settler::settle(self, &outcomes, &ledger, &queue, recruit).unwrap_or_else(fail);
            queue.close(self.stop.is_requested());
        });
        failure.into_result()
    }
}
