//! A pass over the entries: reads them from the state by ascending id, encodes and uploads them, and
//! records their outcomes.
//!
//! Three stages run concurrently: the dispatcher thread queues entries from the state, encoder threads
//! encode them, and the caller's thread is the outcome writer, which stores outcomes in batches. An entry
//! is settled only after the container has confirmed all its objects.

mod attempt;
mod checkpoint;
mod dispatcher;
mod encoder_thread;
mod outcome_writer;
mod queue;

use std::sync::atomic::AtomicU64;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crate::entry::{Entry, SourceAttributes};
use crate::events::Monitor;
use crate::load::adaptive_pool::AdaptivePool;
use crate::load::encode::{EncodeContext, LargeFile, ReadContent};
use crate::load::upload::{Completion, CompletionHandler, Delivered, Uploader};
use crate::problem::{Problem, ProblemLimit};
use crate::progress::Progress;
use crate::state::{Pass, State, StateError};
use crate::stop::{StopFlag, StopOnPanic};

pub use attempt::WhenChanged;
pub use queue::OPEN_FILES;

use attempt::Attempt;
use checkpoint::Checkpoint;
use encoder_thread::Encoders;
use queue::WorkQueue;

/// The inputs of a pass.
pub struct PassRun<'a> {
    /// The pass to run.
    pub pass: Pass,
    /// Source of the entries, and destination of their outcomes.
    pub state: &'a State,
    /// The context that encoders share.
    pub context: &'a Arc<EncodeContext>,
    /// Destination of the objects.
    pub uploader: &'a Arc<Uploader>,
    /// Maximum number of encoder threads. Fewer run while the source responds quickly.
    pub threads: usize,
    /// Whether to retry entries that failed in an earlier run.
    pub retry_problems: bool,
    /// What to do with files that change while they are read.
    pub when_changed: WhenChanged,
    /// Stops the run when too many entries fail.
    pub limit: &'a ProblemLimit,
    /// Waits for entries that the scan has not recorded yet.
    pub more: &'a dyn MoreEntries,
    /// Checked between two pieces of work.
    pub stop: &'a StopFlag,
    /// Counters of the run.
    pub progress: &'a Progress,
    /// Receives problems.
    pub monitor: &'a dyn Monitor,
}

/// Waits for entries that are recorded while a pass runs.
pub trait MoreEntries: Sync {
    /// Waits until more entries may have been recorded. Returns false if no more will be recorded.
    fn wait(&self) -> bool;
}

/// All entries are recorded already.
pub struct NoMore;

impl MoreEntries for NoMore {
    fn wait(&self) -> bool {
        false
    }
}

/// An entry in flight.
#[derive(Debug, Clone)]
struct Task {
    entry: Entry,
    attempt: Attempt,
    /// Whether it failed in an earlier run.
    failed_before: bool,
}

/// A large file in flight.
struct LargeTask {
    file: LargeFile,
    attempt: Attempt,
    failed_before: bool,
    completion: Arc<Completion<OutcomeSender>>,
    /// The first failure of one of its segments.
    failure: OnceLock<EncodeOutcome>,
    /// See [`EncodeResult::read_ahead`].
    read: AtomicU64,
}

/// The result of encoding an entry.
#[derive(Debug, Clone)]
enum EncodeOutcome {
    /// It was read completely.
    Complete(ReadContent),
    /// It changed since the scan. It is retried with the current attributes.
    Changed(SourceAttributes, Attempt),
    /// It failed.
    Problem(Problem),
    /// The run is stopping; the entry remains outstanding.
    Abandoned,
}

/// The result of encoding an entry, with what was read of it.
struct EncodeResult {
    outcome: EncodeOutcome,
    /// Bytes of a large file that are part of [`Progress::read_ahead`] until the entry is settled.
    read_ahead: u64,
}

impl From<EncodeOutcome> for EncodeResult {
    fn from(outcome: EncodeOutcome) -> Self {
        EncodeResult {
            outcome,
            read_ahead: 0,
        }
    }
}

/// A message to the outcome writer.
enum Message {
    /// The outcome of an entry.
    Outcome(Box<EntryOutcome>),
    /// The dispatcher has queued the last entry.
    AllTaken,
}

struct EntryOutcome {
    task: Task,
    result: EncodeResult,
    delivered: Delivered,
    /// The time from when a thread took the entry to the last response of the container.
    took: Duration,
}

/// Sends the outcome of an entry to the outcome writer.
struct OutcomeSender {
    task: Task,
    began: Instant,
    messages: Sender<Message>,
}

impl CompletionHandler for OutcomeSender {
    type Outcome = EncodeResult;

    fn completed(self, result: EncodeResult, delivered: Delivered) {
        let outcome = EntryOutcome {
            task: self.task,
            result,
            delivered,
            took: self.began.elapsed(),
        };
        // The outcome writer exits early only if the state fails. The outcome is lost then, and the next
        // run loads the entry again.
        drop(self.messages.send(Message::Outcome(Box::new(outcome))));
    }
}

/// The first error of any thread, which ends the pass.
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

/// Closes the queue if its thread panics, so that the other threads do not wait forever.
struct CloseOnPanic<'a>(&'a WorkQueue);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close(true);
        }
    }
}

impl PassRun<'_> {
    /// Runs the pass until it is finished or a stop is requested.
    ///
    /// # Errors
    /// If the state cannot be read or written.
    pub fn run(&self) -> Result<(), StateError> {
        let reader = self.state.reader()?;
        let checkpoint = Mutex::new(Checkpoint::resume(reader.progress(self.pass)?));
        let queue = WorkQueue::default();
        let failure = Failure::default();
        let encoders = Encoders {
            run: self,
            queue: &queue,
            pool: AdaptivePool::new(self.threads),
            failure: &failure,
        };
        let encoders = &encoders;
        let fail = |error| failure.set(error, self.stop);
        std::thread::scope(|threads| {
            // If this thread panics, the others must not wait for it.
            let _stop = StopOnPanic(self.stop);
            let _close = CloseOnPanic(&queue);
            let (messages, outcomes) = std::sync::mpsc::channel();
            for _ in 0..encoders.pool.min() {
                encoder_thread::start_worker(threads, encoders, messages.clone())
                    .unwrap_or_else(fail);
            }
            let more = messages.clone();
            let dispatch = || {
                let _stop = StopOnPanic(self.stop);
                dispatcher::dispatch(self, reader, &checkpoint, &queue).unwrap_or_else(fail);
                // The outcome writer runs until all senders are dropped.
                drop(messages.send(Message::AllTaken));
                drop(messages);
            };
            if let Err(error) = Builder::new().spawn_scoped(threads, dispatch) {
                fail(StateError::Exhausted(error));
            }
            // Owns a sender: the outcome writer must drop this closure before the channel can close.
            let start_worker = move || {
                // If no thread can be started, the pass continues with the existing ones.
                drop(encoder_thread::start_worker(
                    threads,
                    encoders,
                    more.clone(),
                ));
            };
            let start_worker: Box<dyn Fn()> = Box::new(start_worker);
            outcome_writer::write_outcomes(self, &outcomes, &checkpoint, &queue, start_worker)
                .unwrap_or_else(fail);
            queue.close(self.stop.is_requested());
        });
        failure.into_result()
    }
}
