//! Counts the objects of one entity until each is stored or lost.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The objects of an entity that were stored or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Objects in the container.
    pub objects: u64,
    /// Bytes of these objects.
    pub bytes: u64,
    /// Objects that were not stored. The run is stopping.
    pub lost: u64,
}

/// Receives the completion of an entity.
pub trait CompletionHandler: Send + 'static {
    /// The result of encoding the entity.
    type Outcome: Send + 'static;

    /// Called once, after the entity was encoded and each of its objects was stored or lost.
    fn completed(self, outcome: Self::Outcome, delivered: Delivered);
}

/// Calls its handler once an entity is encoded and each of its objects is stored or lost.
pub struct Completion<H: CompletionHandler>(Mutex<Pending<H>>);

struct Pending<H: CompletionHandler> {
    /// None once it was called.
    handler: Option<H>,
    /// None until the entity is encoded.
    outcome: Option<H::Outcome>,
    in_flight: u64,
    delivered: Delivered,
}

impl<H: CompletionHandler> Completion<H> {
    /// Creates a completion of an entity that has no objects yet.
    pub fn new(handler: H) -> Self {
        Completion(Mutex::new(Pending {
            handler: Some(handler),
            outcome: None,
            in_flight: 0,
            delivered: Delivered::default(),
        }))
    }

    pub(super) fn object_started(&self) {
        self.pending().in_flight += 1;
    }

    /// Records an object as `stored` with that many bytes, or as lost.
    pub(super) fn object_done(&self, stored: Option<u64>) {
        let mut pending = self.pending();
        pending.in_flight -= 1;
        match stored {
            Some(bytes) => {
                pending.delivered.objects += 1;
                pending.delivered.bytes += bytes;
            }
            None => pending.delivered.lost += 1,
        }
        complete(pending);
    }

    /// Records that the entity is encoded. No object may be added afterwards.
    pub fn finish(&self, outcome: H::Outcome) {
        let mut pending = self.pending();
        pending.outcome = Some(outcome);
        complete(pending);
    }

    fn pending(&self) -> MutexGuard<'_, Pending<H>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls the handler if nothing is pending any more.
fn complete<H: CompletionHandler>(mut pending: MutexGuard<'_, Pending<H>>) {
    if pending.in_flight > 0 {
        return;
    }
    let delivered = pending.delivered;
    if let Some(outcome) = pending.outcome.take()
        && let Some(handler) = pending.handler.take()
    {
        drop(pending);
        handler.completed(outcome, delivered);
    }
}

impl<H: CompletionHandler> fmt::Debug for Completion<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pending = self.pending();
        f.debug_struct("Completion")
            .field("finished", &pending.outcome.is_some())
            .field("in_flight", &pending.in_flight)
            .field("delivered", &pending.delivered)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    struct Report(Sender<(&'static str, Delivered)>);
    impl CompletionHandler for Report {
        type Outcome = &'static str;
        fn completed(self, outcome: &'static str, delivered: Delivered) {
            self.0.send((outcome, delivered)).unwrap();
        }
    }

    #[test]
    fn the_handler_is_called_after_the_encoder_and_all_objects_in_any_order() {
        for finish_first in [true, false] {
            let (sender, receiver) = channel();
            let completion = Completion::new(Report(sender));
            completion.object_started();
            completion.object_started();
            completion.object_done(Some(7));
            if finish_first {
                completion.finish("done");
                assert!(receiver.try_recv().is_err(), "one object is in flight");
                completion.object_done(None);
            } else {
                completion.object_done(None);
                assert!(receiver.try_recv().is_err(), "not finished");
                completion.finish("done");
            }
            let expected = Delivered {
                objects: 1,
                bytes: 7,
                lost: 1,
            };
            assert_eq!(receiver.try_recv().unwrap(), ("done", expected));
        }
    }
}
