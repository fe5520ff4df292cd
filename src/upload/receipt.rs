//! Counts the objects of one entity until all of them are answered for.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What reached the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Objects that are there.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that are not: the run is stopping.
    pub lost: u64,
}

/// What happens when an entity is answered for.
pub trait ReceiptEnd: Send + 'static {
    /// What the encoder said of the entity.
    type Verdict: Send + 'static;

    /// Called once: the encoder is through with the entity and every object was answered.
    fn end(self, verdict: Self::Verdict, delivered: Delivered);
}

/// The receipt of one entity.
pub struct Receipt<E: ReceiptEnd>(Mutex<Open<E>>);

struct Open<E: ReceiptEnd> {
    /// Gone once `end` was called.
    end: Option<E>,
    verdict: Option<E::Verdict>,
    on_their_way: u64,
    delivered: Delivered,
}

impl<E: ReceiptEnd> Receipt<E> {
    /// A receipt without objects.
    pub fn new(end: E) -> Self {
        Receipt(Mutex::new(Open {
            end: Some(end),
            verdict: None,
            on_their_way: 0,
            delivered: Delivered::default(),
        }))
    }

    pub(super) fn sent(&self) {
        self.open().on_their_way += 1;
    }

    /// An object is in the container with so many bytes, or lost.
    pub(super) fn answered(&self, stored: Option<u64>) {
        let mut open = self.open();
        open.on_their_way -= 1;
        match stored {
            Some(bytes) => {
                open.delivered.objects += 1;
                open.delivered.bytes += bytes;
            }
            None => open.delivered.lost += 1,
        }
        finish(open);
    }

    /// The encoder is through: no further object comes.
    pub fn seal(&self, verdict: E::Verdict) {
        let mut open = self.open();
        open.verdict = Some(verdict);
        finish(open);
    }

    fn open(&self) -> MutexGuard<'_, Open<E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn finish<E: ReceiptEnd>(mut open: MutexGuard<'_, Open<E>>) {
    if open.on_their_way > 0 {
        return;
    }
    let delivered = open.delivered;
    if let Some(verdict) = open.verdict.take()
        && let Some(end) = open.end.take()
    {
        drop(open);
        end.end(verdict, delivered);
    }
}

impl<E: ReceiptEnd> fmt::Debug for Receipt<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.open();
        f.debug_struct("Receipt")
            .field("sealed", &open.verdict.is_some())
            .field("on_their_way", &open.on_their_way)
            .field("delivered", &open.delivered)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    struct Tell(Sender<(&'static str, Delivered)>);
    impl ReceiptEnd for Tell {
        type Verdict = &'static str;
        fn end(self, verdict: &'static str, delivered: Delivered) {
            self.0.send((verdict, delivered)).unwrap();
        }
    }

    #[test]
    fn ends_once_sealed_and_answered_in_any_order() {
        for seal_first in [true, false] {
            let (sender, receiver) = channel();
            let receipt = Receipt::new(Tell(sender));
            receipt.sent();
            receipt.sent();
            receipt.answered(Some(7));
            if seal_first {
                receipt.seal("done");
                assert!(receiver.try_recv().is_err(), "one object is on its way");
                receipt.answered(None);
            } else {
                receipt.answered(None);
                assert!(receiver.try_recv().is_err(), "not sealed");
                receipt.seal("done");
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
