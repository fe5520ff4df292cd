//! The outcome writer: collects outcomes and stores them in batches.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clfs_format::{FILE_SEGMENT_BYTES, FileType};

use super::attempt::Attempt;
use super::checkpoint::Checkpoint;
use super::encoder_thread::ENTRY_ROOM;
use super::queue::WorkQueue;
use super::{EncodeOutcome, EncodeResult, EntryOutcome, Message, PassRun, Task};
use crate::entry::{EntryId, SourceAttributes};
use crate::events::Event;
use crate::load::adaptive_pool::STALL_THRESHOLD;
use crate::load::encode::obsolete_blobs;
use crate::problem::Problem;
use crate::progress::Progress;
use crate::source::CallKind;
use crate::state::{Reader, Settled, Settlement, StateError};

/// Maximum number of outcomes in one transaction.
const BATCH: usize = 4096;
/// Maximum time until an outcome is stored. After a crash, the uploads of this time are repeated.
const STORE_INTERVAL: Duration = Duration::from_millis(500);
/// Time in which outcomes are collected after the first one, so that senders do not wake this thread for
/// each.
const COLLECT_TIME: Duration = Duration::from_millis(5);

/// Stores outcomes until the dispatcher, the encoders and all uploads are finished.
pub(super) fn write_outcomes(
    run: &PassRun<'_>,
    messages: &Receiver<Message>,
    checkpoint: &Mutex<Checkpoint>,
    queue: &WorkQueue,
    start_worker: Box<dyn Fn() + '_>,
) -> Result<(), StateError> {
    let mut writer = OutcomeWriter {
        run,
        reader: run.state.reader()?,
        checkpoint,
        queue,
        batch: Batch::default(),
        taken: (0, Instant::now()),
        start_worker: Some(start_worker),
    };
    let mut due = Instant::now() + STORE_INTERVAL;
    loop {
        let wait = due
            .saturating_duration_since(Instant::now())
            .min(STALL_THRESHOLD);
        let finished = match messages.recv_timeout(wait) {
            Ok(message) => {
                writer.receive(message);
                std::thread::sleep(COLLECT_TIME);
                // Messages that arrive meanwhile wait for the next batch.
                for message in messages.try_iter().take(BATCH) {
                    writer.receive(message);
                    if Instant::now() >= due {
                        break;
                    }
                }
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        };
        let idle = writer.checkpoint().is_finished();
        let stop = run.stop.is_requested();
        if finished || idle || writer.batch.len() >= BATCH || Instant::now() >= due {
            writer.store()?;
            run.context.memory.trim();
            due = Instant::now() + STORE_INTERVAL;
        }
        if stop || writer.checkpoint().is_finished() {
            // The encoders exit, which drops the last sender and ends this loop.
            queue.close(stop);
            writer.start_worker = None;
        }
        if finished {
            return Ok(());
        }
        writer.replace_stalled();
    }
}

#[derive(Default)]
struct Batch {
    done: Vec<Settled>,
    failed: Vec<(EntryId, Problem)>,
    /// With their current attributes.
    changed: Vec<(Task, SourceAttributes)>,
}

impl Batch {
    fn len(&self) -> usize {
        self.done.len() + self.failed.len() + self.changed.len()
    }
}

struct OutcomeWriter<'a> {
    run: &'a PassRun<'a>,
    reader: Reader,
    checkpoint: &'a Mutex<Checkpoint>,
    queue: &'a WorkQueue,
    batch: Batch,
    /// The number of pieces of work that were taken when it was last seen to change, and that time.
    taken: (u64, Instant),
    /// Starts another encoder thread. Dropped when the queue is closed, because it owns a sender of messages.
    start_worker: Option<Box<dyn Fn() + 'a>>,
}

impl OutcomeWriter<'_> {
    fn checkpoint(&self) -> MutexGuard<'_, Checkpoint> {
        self.checkpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts another encoder thread if stalled calls block all of them. A blocked thread cannot measure its
    /// call, so the pool does not grow by itself.
    fn replace_stalled(&mut self) {
        let (before, since) = self.taken;
        let taken = self.queue.taken();
        if taken != before {
            self.taken = (taken, Instant::now());
        } else if since.elapsed() >= STALL_THRESHOLD
            && self.queue.is_short_of_threads()
            && self
                .run
                .context
                .source
                .slow_calls_of(CallKind::Encoder, STALL_THRESHOLD)
                > 0
            && !self.is_short_of_room()
        {
            self.taken = (taken, Instant::now());
            if let Some(start_worker) = &self.start_worker {
                start_worker();
            }
        }
    }

    /// Returns whether another thread would only wait for room.
    fn is_short_of_room(&self) -> bool {
        let next = match self.queue.has_entries() {
            true => ENTRY_ROOM,
            false => FILE_SEGMENT_BYTES,
        };
        self.run.uploader.is_short_of_room(next)
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Outcome(outcome) => self.add(*outcome),
            Message::AllTaken => self.checkpoint().set_complete(),
        }
    }

    fn add(&mut self, outcome: EntryOutcome) {
        let EntryOutcome {
            task,
            result:
                EncodeResult {
                    outcome,
                    read_ahead,
                },
            delivered,
            took,
        } = outcome;
        let id = task.entry.id;
        let progress = self.run.progress;
        match outcome {
            // Not all objects are in the container: the entry remains outstanding for the next run.
            _ if delivered.lost > 0 => {}
            EncodeOutcome::Abandoned => {}
            EncodeOutcome::Complete(content) => {
                let bytes_read = content.bytes;
                self.batch.done.push(Settled {
                    id,
                    bytes_read,
                    changed: content.changed,
                    bytes_put: delivered.bytes,
                    objects: delivered.objects,
                });
                Progress::add(&progress.done, 1);
                Progress::add(&progress.bytes_read, bytes_read);
                if task.entry.attributes.file_type == FileType::Regular {
                    progress.rankings.loaded(id, bytes_read, took);
                }
                self.checkpoint().settle(id);
            }
            EncodeOutcome::Problem(problem) => {
                self.batch.failed.push((id, problem));
                Progress::add(&progress.failed, 1);
                Progress::add(&progress.bytes_failed, task.entry.regular_bytes());
                self.checkpoint().settle(id);
            }
            EncodeOutcome::Changed(attributes, next) => {
                let task = Task {
                    attempt: next,
                    ..task
                };
                self.batch.changed.push((task, attributes));
            }
        }
        // The bytes of a complete file were added to `bytes_read`. Those of other files are read again or not
        // at all.
        Progress::take(&progress.read_ahead, read_ahead);
    }

    /// Stores the batch. Changed entries come last, because the container may delay their deletions, and the
    /// other outcomes must not wait for these.
    fn store(&mut self) -> Result<(), StateError> {
        let batch = std::mem::take(&mut self.batch);
        if !(batch.done.is_empty() && batch.failed.is_empty()) {
            self.settle(batch.done, batch.failed)?;
        }
        match batch.changed.is_empty() {
            true => Ok(()),
            false => self.refresh(batch.changed),
        }
    }

    fn refresh(&self, changed: Vec<(Task, SourceAttributes)>) -> Result<(), StateError> {
        // The blobs of earlier attempts are deleted before the state records the new size, because their names
        // follow from the old one.
        let identity = &self.run.context.identity;
        let obsolete = changed.iter().flat_map(|(task, fresh)| {
            obsolete_blobs(
                identity,
                &task.entry,
                task.entry.attributes.size,
                fresh.size,
            )
        });
        if !self.run.uploader.delete_all(obsolete) {
            return Ok(());
        }
        let fresh = changed.iter();
        self.run.state.settle(&Settlement {
            pass: self.run.pass,
            progress: self.checkpoint().progress(),
            done: Vec::new(),
            failed: Vec::new(),
            refreshed: fresh
                .map(|(task, attributes)| (task.entry.id, *attributes))
                .collect(),
        })?;
        for (mut task, attributes) in changed {
            task.entry.attributes = attributes;
            if task.attempt == Attempt::Again {
                let path = self.reader.path(task.entry.id)?;
                self.run.monitor.event(&Event::Reread { path: &path });
            }
            self.queue.push_again(task);
        }
        Ok(())
    }

    fn settle(
        &self,
        done: Vec<Settled>,
        failed: Vec<(EntryId, Problem)>,
    ) -> Result<(), StateError> {
        let changed = done.iter().filter(|settled| settled.changed);
        let changed: Vec<EntryId> = changed.map(|settled| settled.id).collect();
        let solved = self.run.state.settle(&Settlement {
            pass: self.run.pass,
            progress: self.checkpoint().progress(),
            done,
            failed: failed.clone(),
            refreshed: Vec::new(),
        })?;
        self.run.limit.solved(solved);
        for id in changed {
            let path = self.reader.path(id)?;
            self.run
                .monitor
                .event(&Event::StoredChanged { path: &path });
        }
        for (id, problem) in &failed {
            let path = self.reader.path(*id)?;
            self.run.monitor.event(&Event::Problem {
                path: &path,
                problem: *problem,
            });
        }
        Ok(())
    }
}
