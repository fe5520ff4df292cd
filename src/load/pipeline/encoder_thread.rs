//! An encoder thread of a pass.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, Scope};
use std::time::Instant;

use clfs_format::{FILE_SEGMENT_BYTES, FIRST_SEGMENT_BYTES};

use super::attempt::Attempt;
use super::queue::{Work, WorkQueue};
use super::{
    EncodeOutcome, EncodeResult, Failure, LargeTask, Message, OutcomeSender, PassRun, Task,
};
use crate::crash_point::{CrashPoint, crash_point};
use crate::load::adaptive_pool::{AdaptivePool, Resize, STALL_THRESHOLD, Worker};
use crate::load::encode::{EncodeError, Encoded, Encoder, Remaining};
use crate::load::upload::Completion;
use crate::problem::{Problem, Reason};
use crate::progress::Progress;
use crate::source::CallKind;
use crate::state::{Pass, StateError};
use crate::stop::StopOnPanic;

/// The memory that is reserved for one entry. The further segments of a large file are separate pieces of work.
pub(super) const ENTRY_ROOM: u64 = FIRST_SEGMENT_BYTES;

/// The state that the encoder threads of a pass share.
pub(super) struct Encoders<'a> {
    pub(super) run: &'a PassRun<'a>,
    pub(super) queue: &'a WorkQueue,
    pub(super) pool: AdaptivePool,
    pub(super) failure: &'a Failure,
}

/// Starts another thread, if the pool is below its maximum.
///
/// # Errors
/// If the system has no more threads, or no more files for the thread's connection to the state.
pub(super) fn start_worker<'scope>(
    threads: &'scope Scope<'scope, '_>,
    encoders: &'scope Encoders<'scope>,
    messages: Sender<Message>,
) -> Result<(), StateError> {
    let Some(worker) = encoders.pool.add_worker() else {
        return Ok(());
    };
    let spawned = spawn(threads, encoders, worker, messages);
    if spawned.is_err() {
        encoders.pool.set_exhausted();
    }
    spawned
}

fn spawn<'scope>(
    threads: &'scope Scope<'scope, '_>,
    encoders: &'scope Encoders<'scope>,
    worker: Worker<'scope>,
    messages: Sender<Message>,
) -> Result<(), StateError> {
    let run = encoders.run;
    let thread = EncoderThread {
        run,
        queue: encoders.queue,
        encoder: Encoder::new(Arc::clone(run.context), run.state.reader()?),
        messages,
    };
    let work = move || {
        let _stop = StopOnPanic(run.stop);
        if let Err(error) = thread.work(threads, encoders, worker) {
            encoders.failure.set(error, run.stop);
        }
    };
    let spawned = Builder::new().spawn_scoped(threads, work);
    spawned.map(drop).map_err(StateError::Exhausted)
}

struct EncoderThread<'a> {
    run: &'a PassRun<'a>,
    queue: &'a WorkQueue,
    encoder: Encoder,
    messages: Sender<Message>,
}

impl EncoderThread<'_> {
    /// Encodes until the queue is closed and empty, or until the pool needs fewer threads.
    fn work<'scope>(
        mut self,
        threads: &'scope Scope<'scope, '_>,
        encoders: &'scope Encoders<'scope>,
        mut worker: Worker<'scope>,
    ) -> Result<(), StateError> {
        let mut first_error = Ok(());
        // At most half of the threads read segments while small files are queued.
        while let Some(work) = self.queue.take(encoders.pool.workers().div_ceil(2)) {
            let (done, room) = match work {
                Work::Entry(task) => (self.entry(task), ENTRY_ROOM),
                Work::Segment(large, index) => {
                    let room = self.encoder.segment_room(&large.file, index);
                    let done = self.segment(&large, index);
                    self.queue.segment_done();
                    (done, room)
                }
            };
            if done.is_err() {
                // The run stops. The queue is still emptied, so that no other thread blocks.
                self.run.stop.request();
                first_error = first_error.and(done);
                continue;
            }
            // Failed work and work without calls to the source do not measure its latency.
            let took = self.encoder.take_source_time();
            if !took.is_zero() {
                worker.count(took);
            }
            let resize = match worker.resize() {
                // The container limits the throughput, so another thread would only wait. Room is managed
                // separately for small and large objects.
                Resize::Grow if self.run.uploader.is_short_of_room(room) => Resize::Leave,
                resize => resize,
            };
            match resize {
                Resize::Stay => {}
                Resize::Grow => {
                    if self.queue.is_short_of_threads() {
                        // If no thread can be started, the pass continues with the existing ones.
                        drop(start_worker(threads, encoders, self.messages.clone()));
                    }
                }
                Resize::Leave => {
                    let stalled = self
                        .run
                        .context
                        .source
                        .slow_calls_of(CallKind::Encoder, STALL_THRESHOLD);
                    match worker.leave(stalled) {
                        Ok(()) => return first_error,
                        Err(stays) => worker = stays,
                    }
                }
            }
        }
        first_error
    }

    fn entry(&mut self, task: Task) -> Result<(), StateError> {
        let (attempt, failed_before) = (task.attempt, task.failed_before);
        let entry = task.entry.clone();
        let completion = Arc::new(Completion::new(OutcomeSender {
            task,
            began: Instant::now(),
            messages: self.messages.clone(),
        }));
        if self.run.stop.is_requested() {
            completion.finish(EncodeOutcome::Abandoned.into());
            return Ok(());
        }
        // The fix may have changed mode or owner.
        let linked = self.run.pass == Pass::Links;
        if attempt == Attempt::AfterFailure {
            match self.encoder.fresh_attributes(&entry, linked) {
                Ok(None) => {}
                Ok(Some(fresh)) => {
                    completion.finish(EncodeOutcome::Changed(fresh, Attempt::First).into());
                    return Ok(());
                }
                Err(error) => {
                    completion.finish(EncodeOutcome::Abandoned.into());
                    return Err(error);
                }
            }
        }
        let sink = self.run.uploader.sink(&completion);
        self.encoder.set_read_policy(attempt.read_policy());
        let encoded = match self.run.pass {
            Pass::Links => self.encoder.linked(&entry, &sink),
            _ => self.encoder.entry(&entry, &sink),
        };
        match encoded {
            Ok(Encoded::Complete(content)) => {
                completion.finish(EncodeOutcome::Complete(content).into())
            }
            Ok(Encoded::Large(file)) => self.queue.push_large(Arc::new(LargeTask {
                file: *file,
                attempt,
                failed_before,
                completion,
                failure: OnceLock::new(),
                read: AtomicU64::new(0),
            })),
            Err(error) => {
                let (outcome, fatal) = self.outcome_of(error, attempt);
                self.count(&outcome, failed_before);
                completion.finish(outcome.into());
                return fatal;
            }
        }
        Ok(())
    }

    fn segment(&mut self, large: &LargeTask, index: u64) -> Result<(), StateError> {
        let sink = self.run.uploader.sink(&large.completion);
        let mut fatal = Ok(());
        if self.run.stop.is_requested() {
            large.fail(EncodeOutcome::Abandoned);
        } else {
            match self.encoder.segment(&large.file, index, &sink) {
                Ok(()) => {
                    large.read.fetch_add(FILE_SEGMENT_BYTES, Ordering::Relaxed);
                    Progress::add(&self.run.progress.read_ahead, FILE_SEGMENT_BYTES);
                }
                Err(error) => fatal = self.fail(large, error),
            }
        }
        crash_point(CrashPoint::SegmentEncoded);
        if large.file.segment_finished() == Remaining::Segments {
            return fatal;
        }
        crash_point(CrashPoint::BeforeLargeInode);
        // This was the last segment. The inode follows unless a segment failed.
        let outcome = match large.failure.get() {
            Some(failure) => failure.clone(),
            None => match self.encoder.large_inode(&large.file, &sink) {
                Ok(content) => EncodeOutcome::Complete(content),
                Err(error) => {
                    let (outcome, error) = self.outcome_of(error, large.attempt);
                    fatal = fatal.and(error);
                    outcome
                }
            },
        };
        crash_point(CrashPoint::AfterLargeInode);
        self.count(&outcome, large.failed_before);
        large.completion.finish(EncodeResult {
            outcome,
            read_ahead: large.read.load(Ordering::Relaxed),
        });
        fatal
    }

    fn fail(&self, large: &LargeTask, error: EncodeError) -> Result<(), StateError> {
        let (outcome, fatal) = self.outcome_of(error, large.attempt);
        large.fail(outcome);
        fatal
    }

    /// Counts a problem before it is stored, so that the limit stops the run without delay.
    fn count(&self, outcome: &EncodeOutcome, failed_before: bool) {
        if matches!(outcome, EncodeOutcome::Problem(_)) && !failed_before && self.run.limit.add() {
            self.run.stop.request();
        }
    }

    /// Returns the outcome of an entry that could not be encoded, and the error that ends the run, if any.
    fn outcome_of(
        &self,
        error: EncodeError,
        attempt: Attempt,
    ) -> (EncodeOutcome, Result<(), StateError>) {
        match error {
            EncodeError::Problem(problem) => (EncodeOutcome::Problem(problem), Ok(())),
            EncodeError::Changed(attributes) => match attempt.next(self.run.when_changed) {
                Some(next) => (EncodeOutcome::Changed(attributes, next), Ok(())),
                None => (
                    EncodeOutcome::Problem(Problem::new(Reason::Changed)),
                    Ok(()),
                ),
            },
            EncodeError::State(error) => (EncodeOutcome::Abandoned, Err(error)),
        }
    }
}

impl LargeTask {
    fn fail(&self, outcome: EncodeOutcome) {
        self.file.abandon();
        // The first reason counts.
        let _: Result<(), EncodeOutcome> = self.failure.set(outcome);
    }
}
