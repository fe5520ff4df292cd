//! Gathers outcomes and stores them in batches.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clfs_format::{FILE_SEGMENT_BYTES, FileType};

use super::attempt::Attempt;
use super::encoder_thread::ENTRY_ROOM;
use super::ledger::Ledger;
use super::queue::WorkQueue;
use super::{Message, Outcome, PassRun, Sealed, Task, Verdict};
use crate::crew::HELD;
use crate::encode::obsolete_blobs;
use crate::entry::{EntryId, SourceAttributes};
use crate::events::Event;
use crate::problem::Problem;
use crate::progress::Progress;
use crate::source::Asker;
use crate::state::{Reader, Settled, Settlement, StateError};

/// Outcomes in one transaction.
const BATCH: usize = 4096;
/// The longest an outcome waits to be stored: what a crash may have to upload again.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long outcomes are let gather after one came, so that its sender need not wake this thread
/// for each.
const GATHER: Duration = Duration::from_millis(5);

/// Settles until the taker, the encoders and all uploads are through.
pub(super) fn settle(
    run: &PassRun<'_>,
    messages: &Receiver<Message>,
    ledger: &Mutex<Ledger>,
    queue: &WorkQueue,
    recruit: Box<dyn Fn() + '_>,
) -> Result<(), StateError> {
    let mut settler = Settler {
        run,
        reader: run.state.reader()?,
        ledger,
        queue,
        batch: Batch::default(),
        taken: (0, Instant::now()),
        recruit: Some(recruit),
    };
    let mut due = Instant::now() + PATIENCE;
    loop {
        let wait = due.saturating_duration_since(Instant::now()).min(HELD);
        let over = match messages.recv_timeout(wait) {
            Ok(message) => {
                settler.hear(message);
                std::thread::sleep(GATHER);
                // What comes while these are heard waits for the next store.
                for message in messages.try_iter().take(BATCH) {
                    settler.hear(message);
                    if Instant::now() >= due {
                        break;
                    }
                }
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        };
        let idle = settler.ledger().is_over();
        let stop = run.stop.is_requested();
        if over || idle || settler.batch.len() >= BATCH || Instant::now() >= due {
            settler.store()?;
            run.context.memory.trim();
            due = Instant::now() + PATIENCE;
        }
        if stop || settler.ledger().is_over() {
            // Encoders end, then the last sender is gone and this loop ends too.
            queue.close(stop);
            settler.recruit = None;
        }
        if over {
            return Ok(());
        }
        settler.go_around_stalls();
    }
}

#[derive(Default)]
struct Batch {
    done: Vec<Settled>,
    failed: Vec<(EntryId, Problem)>,
    /// With the attributes that they have now.
    changed: Vec<(Task, SourceAttributes)>,
}

impl Batch {
    fn len(&self) -> usize {
        self.done.len() + self.failed.len() + self.changed.len()
    }
}

struct Settler<'a> {
    run: &'a PassRun<'a>,
    reader: Reader,
    ledger: &'a Mutex<Ledger>,
    queue: &'a WorkQueue,
    batch: Batch,
    /// Pieces of work that had been taken when there was a look at it, and when that was.
    taken: (u64, Instant),
    /// Brings one encoder thread more. It holds a sender of messages: gone when the queue is closed.
    recruit: Option<Box<dyn Fn() + 'a>>,
}

impl Settler<'_> {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls that do not return hold encoder threads, who cannot tell how slow they are: one more
    /// goes on with the rest.
    fn go_around_stalls(&mut self) {
        let (before, since) = self.taken;
        let taken = self.queue.taken();
        if taken != before {
            self.taken = (taken, Instant::now());
        } else if since.elapsed() >= HELD
            && self.queue.is_short_of_threads()
            && self.run.context.source.held_of(Asker::Encoder, HELD) > 0
            && !self.is_short_of_room()
        {
            self.taken = (taken, Instant::now());
            if let Some(recruit) = &self.recruit {
                recruit();
            }
        }
    }

    /// Whether one thread more would only wait for room with the others.
    fn is_short_of_room(&self) -> bool {
        let next = match self.queue.has_entries() {
            true => ENTRY_ROOM,
            false => FILE_SEGMENT_BYTES,
        };
        self.run.uploader.is_short_of_room(next)
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Outcome(outcome) => self.add(*outcome),
            Message::AllTaken => self.ledger().set_complete(),
        }
    }

    fn add(&mut self, outcome: Outcome) {
        let Outcome {
            task,
            sealed: Sealed {
                verdict,
                read_ahead,
            },
            delivered,
            took,
        } = outcome;
        let id = task.entry.id;
        let progress = self.run.progress;
        match verdict {
            // Not all of it is in the container: it stays outstanding for the next run.
            _ if delivered.lost > 0 => {}
            Verdict::Abandoned => {}
            Verdict::Whole(content) => {
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
                self.ledger().settle(id);
            }
            Verdict::Problem(problem) => {
                self.batch.failed.push((id, problem));
                Progress::add(&progress.failed, 1);
                Progress::add(&progress.bytes_failed, task.entry.regular_bytes());
                self.ledger().settle(id);
            }
            Verdict::Changed(attributes, next) => {
                let task = Task {
                    attempt: next,
                    ..task
                };
                self.batch.changed.push((task, attributes));
            }
        }
        // A whole file's bytes are in `bytes_read` by now; of others they are to be read once more, or never.
        Progress::take(&progress.under_way, read_ahead);
    }

    /// Stores what was gathered. What changed comes last: the container may keep its deletions
    /// waiting for long, and the rest must not wait with them.
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
        // What the earlier attempts put under the old size goes before the state knows the new
        // one: it always knows all that may be there.
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
            progress: self.ledger().progress(),
            done: Vec::new(),
            failed: Vec::new(),
            refreshed: fresh
                .map(|(task, attributes)| (task.entry.id, *attributes))
                .collect(),
        })?;
        for (mut task, attributes) in changed {
            task.entry.attributes = attributes;
            if task.attempt == Attempt::Again {
                let path = self.reader.path(task.entry.id)?.join(&b'/');
                self.run.monitor.event(&Event::TakenAgain { path: &path });
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
            progress: self.ledger().progress(),
            done,
            failed: failed.clone(),
            refreshed: Vec::new(),
        })?;
        self.run.limit.solved(solved);
        for id in changed {
            let path = self.reader.path(id)?.join(&b'/');
            self.run
                .monitor
                .event(&Event::StoredChanged { path: &path });
        }
        for (id, problem) in &failed {
            let path = self.reader.path(*id)?.join(&b'/');
            self.run.monitor.event(&Event::Problem {
                path: &path,
                problem: *problem,
            });
        }
        Ok(())
    }
}
