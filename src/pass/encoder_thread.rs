//! One encoding thread of a pass.

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
use crate::encode::{EncodeError, Encoded, Encoder, Remaining};
use crate::problem::{Problem, Reason};
use crate::progress::Progress;
use crate::source::Asker;
use crate::state::{Pass, StateError};
use crate::stop::StopOnPanic;
use crate::upload::Receipt;

/// The room of most entries: what a large file has beyond its first segment, others may read.
pub(super) const ENTRY_ROOM: u64 = FIRST_SEGMENT_BYTES;

/// What the encoder threads of a pass have in common.
pub(super) struct Encoders<'a> {
    pub(super) run: &'a PassRun<'a>,
    pub(super) queue: &'a WorkQueue,
    pub(super) crew: Crew,
    pub(super) failure: &'a Failure,
}

/// Starts one thread more, if there may be one.
///
/// # Errors
/// When the system has no more threads, or no more files for its connection to the state.
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
    /// Encodes until the queue is closed and empty, or until this thread is one too many.
    fn work<'scope>(
        mut self,
        threads: &'scope Scope<'scope, '_>,
        encoders: &'scope Encoders<'scope>,
        mut member: Member<'scope>,
    ) -> Result<(), StateError> {
        let mut first_error = Ok(());
        // Half of the threads at most read segments while small files wait.
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
                // The run stops; the queue is still emptied, so that no one waits for this thread.
                self.run.stop.request();
                first_error = first_error.and(done);
                continue;
            }
            // What failed, and what needs no source, says nothing about it.
            let took = self.encoder.take_source_time();
            if !took.is_zero() {
                member.count(took);
            }
            let advice = match member.advice() {
                // The container is what is waited for: others can read all that it takes. Those that
                // wait with objects of another size say nothing of this one's.
                Advice::Grow if self.run.uploader.is_short_of_room(room) => Advice::Leave,
                advice => advice,
            };
            match advice {
                Advice::Stay => {}
                Advice::Grow => {
                    if self.queue.is_short_of_threads() {
                        // Without another thread it goes on with those that there are.
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
        // Whoever fixed it may have changed mode or owner too.
        let linked = self.run.pass == Pass::Links;
        if attempt == Attempt::AfterFailure {
            match self.encoder.fresh_attributes(&entry, linked) {
                Ok(None) => {}
                Ok(Some(fresh)) => {
                    receipt.seal(Verdict::Changed(fresh, Attempt::First).into());
                    return Ok(());
                }
                Err(error) => {
                    receipt.seal(Verdict::Abandoned.into());
                    return Err(error);
                }
            }
        }
        let sink = self.run.uploader.sink(&receipt);
        self.encoder.set_read_policy(attempt.read_policy());
        let encoded = match self.run.pass {
            Pass::Links => self.encoder.linked(&entry, &sink),
            _ => self.encoder.entry(&entry, &sink),
        };
        match encoded {
            Ok(Encoded::Complete(content)) => receipt.seal(Verdict::Whole(content).into()),
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
        if large.file.segment_finished() == Remaining::Segments {
            return fatal;
        }
        crash_point(CrashPoint::BeforeLargeInode);
        // This was the last: the inode goes, if all went well.
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

    /// Counts a problem as soon as it is known: before it is stored, others would follow.
    fn count(&self, verdict: &Verdict, failed_before: bool) {
        if matches!(verdict, Verdict::Problem(_)) && !failed_before && self.run.limit.add() {
            self.run.stop.request();
        }
    }

    /// What an error means for the entry, and whether it ends the run.
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
        self.file.abandon();
        // The first reason counts.
        let _: Result<(), Verdict> = self.failure.set(verdict);
    }
}
