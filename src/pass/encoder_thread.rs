//! An encoder thread of a pass.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, Scope};
use std::time::Instant;

use clfs_format::{FILE_SEGMENT_BYTES, FIRST_SEGMENT_BYTES};

use super::attempt::Attempt;
use super::queue::{Work, WorkQueue};
use super::{Failure, LargeTask, Message, OutcomeSender, PassRun, Sealed, Task, Verdict};
use crate::crash_point::{CrashPoint, crash_point};
use crate::crew::{Advice, Crew, HELD, Member};
use crate::encode::{EncodeError, Encoded, Encoder, SegmentEnd};
use crate::problem::{Problem, Reason};
use crate::progress::Progress;
use crate::source::Asker;
use crate::state::{Pass, StateError};
use crate::stop::StopOnPanic;
use crate::upload::Receipt;

/// The memory that is reserved for one entry. The further segments of a large file are separate pieces of work.
pub(super) const ENTRY_ROOM: u64 = FIRST_SEGMENT_BYTES;

/// The state that the encoder threads of a pass share.
pub(super) struct Encoders<'a> {
    pub(super) run: &'a PassRun<'a>,
    pub(super) queue: &'a WorkQueue,
    pub(super) crew: Crew,
    pub(super) failure: &'a Failure,
}

/// Starts another thread, if the pool is below its maximum.
///
/// # Errors
/// If the system has no more threads, or no more files for the thread's connection to the state.
pub(super) fn recruit<'scope>(
    threads: &'scope Scope<'scope, '_>,
    encoders: &'scope Encoders<'scope>,
    messages: Sender<Message>,
) -> Result<(), StateError> {
    let Some(member) = encoders.crew.join() else {
        return Ok(());
    };
    let begun = begin(threads, encoders, member, messages);
    if begun.is_err() {
        encoders.crew.is_as_large_as_can_be();
    }
    begun
}

fn begin<'scope>(
    threads: &'scope Scope<'scope, '_>,
    encoders: &'scope Encoders<'scope>,
    member: Member<'scope>,
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
        if let Err(error) = thread.work(threads, encoders, member) {
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
        mut member: Member<'scope>,
    ) -> Result<(), StateError> {
        let mut first_error = Ok(());
        // At most half of the threads read segments while small files are queued.
        while let Some(work) = self.queue.take(encoders.crew.members().div_ceil(2)) {
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
                member.count(took);
            }
            let advice = match member.advice() {
                // The container limits the throughput, so another thread would only wait. Room is managed
                // separately for small and large objects.
                Advice::Grow if self.run.uploader.is_short_of_room(room) => Advice::Leave,
                advice => advice,
            };
            match advice {
                Advice::Stay => {}
                Advice::Grow => {
                    if self.queue.is_short_of_threads() {
                        // If no thread can be started, the pass continues with the existing ones.
                        drop(recruit(threads, encoders, self.messages.clone()));
                    }
                }
                Advice::Leave => {
                    let held = self.run.context.source.held_of(Asker::Encoder, HELD);
                    match member.leave(held) {
                        Ok(()) => return first_error,
                        Err(stays) => member = stays,
                    }
                }
            }
        }
        first_error
    }

    fn entry(&mut self, task: Task) -> Result<(), StateError> {
        let (attempt, failed_before) = (task.attempt, task.failed_before);
        let entry = task.entry.clone();
        let receipt = Arc::new(Receipt::new(OutcomeSender {
            task,
            began: Instant::now(),
            messages: self.messages.clone(),
        }));
        if self.run.stop.is_requested() {
            receipt.seal(Verdict::Abandoned.into());
            return Ok(());
        }
        // The fix may have changed mode or owner.
        let linked = self.run.pass == Pass::Links;
        if attempt == Attempt::AfterFailure
            && let Some(fresh) = self.encoder.fresh_attributes(&entry, linked)
        {
            receipt.seal(Verdict::Changed(fresh, Attempt::First).into());
            return Ok(());
        }
        let sink = self.run.uploader.sink(&receipt);
        self.encoder.set_reading(attempt.reading());
        let encoded = match self.run.pass {
            Pass::Links => self.encoder.linked(&entry, &sink),
            _ => self.encoder.entry(&entry, &sink),
        };
        match encoded {
            Ok(Encoded::Whole(content)) => receipt.seal(Verdict::Whole(content).into()),
            Ok(Encoded::Large(file)) => self.queue.push_large(Arc::new(LargeTask {
                file: *file,
                attempt,
                failed_before,
                receipt,
                failure: OnceLock::new(),
                read: AtomicU64::new(0),
            })),
            Err(error) => {
                let (verdict, fatal) = self.verdict(error, attempt);
                self.count(&verdict, failed_before);
                receipt.seal(verdict.into());
                return fatal;
            }
        }
        Ok(())
    }

    fn segment(&mut self, large: &LargeTask, index: u64) -> Result<(), StateError> {
        let sink = self.run.uploader.sink(&large.receipt);
        let mut fatal = Ok(());
        if self.run.stop.is_requested() {
            large.fail(Verdict::Abandoned);
        } else {
            match self.encoder.segment(&large.file, index, &sink) {
                Ok(()) => {
                    large.read.fetch_add(FILE_SEGMENT_BYTES, Ordering::Relaxed);
                    Progress::add(&self.run.progress.under_way, FILE_SEGMENT_BYTES);
                }
                Err(error) => fatal = self.fail(large, error),
            }
        }
        crash_point(CrashPoint::SegmentEncoded);
        if large.file.segment_finished() == SegmentEnd::Others {
            return fatal;
        }
        crash_point(CrashPoint::BeforeLargeInode);
        // This was the last segment. The inode follows unless a segment failed.
        let verdict = match large.failure.get() {
            Some(failure) => failure.clone(),
            None => match self.encoder.large_inode(&large.file, &sink) {
                Ok(content) => Verdict::Whole(content),
                Err(error) => {
                    let (verdict, error) = self.verdict(error, large.attempt);
                    fatal = fatal.and(error);
                    verdict
                }
            },
        };
        crash_point(CrashPoint::AfterLargeInode);
        self.count(&verdict, large.failed_before);
        large.receipt.seal(Sealed {
            verdict,
            read_ahead: large.read.load(Ordering::Relaxed),
        });
        fatal
    }

    fn fail(&self, large: &LargeTask, error: EncodeError) -> Result<(), StateError> {
        let (verdict, fatal) = self.verdict(error, large.attempt);
        large.fail(verdict);
        fatal
    }

    /// Counts a problem before it is stored, so that the limit stops the run without delay.
    fn count(&self, verdict: &Verdict, failed_before: bool) {
        if matches!(verdict, Verdict::Problem(_)) && !failed_before && self.run.limit.add() {
            self.run.stop.request();
        }
    }

    /// The outcome of an entry that could not be encoded, and the error that ends the run, if any.
    fn verdict(&self, error: EncodeError, attempt: Attempt) -> (Verdict, Result<(), StateError>) {
        match error {
            EncodeError::Problem(problem) => (Verdict::Problem(problem), Ok(())),
            EncodeError::Changed(attributes) => match attempt.next(self.run.when_changed) {
                Some(next) => (Verdict::Changed(attributes, next), Ok(())),
                None => (Verdict::Problem(Problem::new(Reason::Changed)), Ok(())),
            },
            EncodeError::State(error) => (Verdict::Abandoned, Err(error)),
        }
    }
}

impl LargeTask {
    fn fail(&self, verdict: Verdict) {
        self.file.give_up();
        // The first failure is kept.
        let _: Result<(), Verdict> = self.failure.set(verdict);
    }
}
