//! One task at a time for each inode: the further names of a file wait for the first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clfs_format::Filehandle;
use tokio::sync::OwnedMutexGuard;

type Turn = Arc<tokio::sync::Mutex<()>>;

/// The inodes that are being worked on: as many as there are tasks.
#[derive(Debug, Default)]
pub(super) struct Claims {
    turns: Mutex<HashMap<Filehandle, Turn>>,
}

/// The right to work on an inode.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    claims: &'a Claims,
    handle: Filehandle,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Claims {
    /// Waits until nobody else works on the inode.
    pub(super) async fn claim(&self, handle: Filehandle) -> Claim<'_> {
        let turn = Arc::clone(self.turns().entry(handle).or_default());
        Claim {
            claims: self,
            handle,
            turn: Some(turn.lock_owned().await),
        }
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<Filehandle, Turn>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut turns = self.claims.turns();
        drop(self.turn.take());
        // Those who wait hold it too.
        if turns
            .get(&self.handle)
            .is_some_and(|turn| Arc::strong_count(turn) == 1)
        {
            turns.remove(&self.handle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_are_taken_and_forgotten() {
        let claims = Claims::default();
        let first = claims.claim(Filehandle::ROOT).await;
        let other = claims.claim(Filehandle::NULL).await;
        let second = claims.claim(Filehandle::ROOT);
        tokio::pin!(second);
        assert!(futures::poll!(&mut second).is_pending());
        drop((first, other));
        assert_eq!(claims.turns().len(), 1);
        drop(second.await);
        assert!(claims.turns().is_empty());
    }
}
