//! One encoding thread of a pass.

use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};

use super::queue::{Work, WorkQueue};
use super::{LargeTask, Message, OutcomeSender, PassRun, Task, Verdict};
use crate::crash_point::{CrashPoint, crash_point};
use crate::encode::{EncodeError, Encoded, Encoder, SegmentEnd};
use crate::problem::{Problem, Reason};
use crate::state::{Pass, StateError};
use crate::upload::Receipt;

/// Encodes until the queue is closed and empty.
pub(super) fn work(
    run: &PassRun<'_>,
    queue: &WorkQueue,
    messages: Sender<Message>,
) -> Result<(), StateError> {
    let mut thread = EncoderThread {
        run,
        queue,
        encoder: Encoder::new(Arc::clone(run.context), run.state.reader()?),
        messages,
    };
    // Half of the threads at most read segments while small files wait.
    let segment_readers = run.threads.div_ceil(2);
    let mut first_error = Ok(());
    while let Some(work) = queue.take(segment_readers) {
        let done = match work {
            Work::Entry(task) => thread.entry(task),
            Work::Segment(large, index) => {
                let done = thread.segment(&large, index);
                queue.segment_done();
                done
            }
        };
        if done.is_err() {
            // The run stops; the queue is still emptied, so that no one waits for this thread.
            run.stop.request();
            first_error = first_error.and(done);
        }
    }
    first_error
}

struct EncoderThread<'a> {
    run: &'a PassRun<'a>,
    queue: &'a WorkQueue,
    encoder: Encoder,
    messages: Sender<Message>,
}

impl EncoderThread<'_> {
    fn entry(&mut self, task: Task) -> Result<(), StateError> {
        let (again, failed_before) = (task.again, task.failed_before);
        let entry = task.entry.clone();
        let receipt = Arc::new(Receipt::new(OutcomeSender {
            task,
            messages: self.messages.clone(),
        }));
        if self.run.stop.is_requested() {
            receipt.seal(Verdict::Abandoned);
            return Ok(());
        }
        // Whoever mended it may have changed mode or owner too.
        let linked = self.run.pass == Pass::Links;
        if failed_before && let Some(fresh) = self.encoder.fresh_attributes(&entry, linked) {
            receipt.seal(Verdict::Changed(fresh));
            return Ok(());
        }
        let sink = self.run.uploader.sink(&receipt);
        let encoded = match self.run.pass {
            Pass::Links => self.encoder.linked(&entry, &sink),
            _ => self.encoder.entry(&entry, &sink),
        };
        match encoded {
            Ok(Encoded::Whole(bytes)) => receipt.seal(Verdict::Whole(bytes)),
            Ok(Encoded::Large(file)) => self.queue.push_large(Arc::new(LargeTask {
                file: *file,
                again,
                receipt,
                failure: OnceLock::new(),
            })),
            Err(error) => {
                let (verdict, fatal) = verdict(error, again);
                receipt.seal(verdict);
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
        } else if let Err(error) = self.encoder.segment(&large.file, index, &sink) {
            fatal = self.fail(large, error);
        }
        crash_point(CrashPoint::SegmentEncoded);
        if large.file.segment_finished() == SegmentEnd::Others {
            return fatal;
        }
        crash_point(CrashPoint::BeforeLargeInode);
        // This was the last: the inode goes, if all went well.
        let verdict = match large.failure.get() {
            Some(failure) => failure.clone(),
            None => match self.encoder.large_inode(&large.file, &sink) {
                Ok(bytes) => Verdict::Whole(bytes),
                Err(error) => {
                    let (verdict, error) = verdict(error, large.again);
                    fatal = fatal.and(error);
                    verdict
                }
            },
        };
        crash_point(CrashPoint::AfterLargeInode);
        large.receipt.seal(verdict);
        fatal
    }

    fn fail(&self, large: &LargeTask, error: EncodeError) -> Result<(), StateError> {
        let (verdict, fatal) = verdict(error, large.again);
        large.fail(verdict);
        fatal
    }
}

impl LargeTask {
    fn fail(&self, verdict: Verdict) {
        self.file.give_up();
        // The first reason counts.
        let _: Result<(), Verdict> = self.failure.set(verdict);
    }
}

/// What an error means for the entry, and whether it ends the run.
fn verdict(error: EncodeError, again: bool) -> (Verdict, Result<(), StateError>) {
    match error {
        EncodeError::Problem(problem) => (Verdict::Problem(problem), Ok(())),
        // Once more with the fresh attributes, then it is a problem.
        EncodeError::Changed(_) if again => {
            (Verdict::Problem(Problem::new(Reason::Changed)), Ok(()))
        }
        EncodeError::Changed(attributes) => (Verdict::Changed(attributes), Ok(())),
        EncodeError::State(error) => (Verdict::Abandoned, Err(error)),
    }
}
