//! The queue between the workers of the scan and the committer: directories in the order of their ids, each
//! with the pieces of its listing that are finished or in progress.
//!
//! Workers take work from here and deliver pieces in any order. The committer takes pieces in the order of ids
//! and names. A worker never blocks while it holds work: a directory with the maximum number of pieces is put
//! back, and any worker continues with it later.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::piece::Piece;
use crate::entry::EntryId;
use crate::source::{Directory, NameList};
use crate::state::Unlisted;

/// Directories in the queue: four for each of 64 workers, because a commit takes as long as several small
/// directories, and the first directory may be the slowest.
pub(super) const LISTED_AHEAD: usize = 256;
/// Maximum number of these that have names left to examine, each of which holds descriptors and memory. Not
/// more than one for each worker.
pub const OPEN_AHEAD: usize = 64;
/// Maximum number of pieces of the first directory: two for each of 64 workers.
const PIECES_OF_FIRST: usize = 128;
/// Maximum number of pieces of all directories. Only the first one may exceed it.
///
/// Together with [`super::lister::PIECE_NAMES`], these limit the memory of the scan: 256 pieces, one for each
/// of 256 directories and 128 of the first, each with up to 128 entries of some 200 bytes.
const PIECES_AHEAD: usize = 256;

/// A directory whose names were read.
pub(super) struct OpenListing {
    pub(super) directory: Arc<Directory>,
    pub(super) names: NameList,
}

/// A piece of work for one worker.
pub(super) enum Work {
    /// Reads the names of a directory.
    List(Unlisted),
    /// Examines the next names of a directory.
    Examine(Box<OpenListing>),
}

/// The result of waiting for pieces.
pub(super) enum PieceWait {
    /// Pieces are ready.
    Ready,
    /// No piece is ready: the wait timed out, or workers are idle.
    Later,
    /// The queue has no directories.
    Empty,
}

/// The queue between the workers and the committer.
pub(super) struct Ahead {
    /// Maximum number of directories with names left to examine.
    open: usize,
    state: Mutex<State>,
    /// Workers wait here for work.
    work: Condvar,
    /// The committer waits here for a piece, or for idle workers.
    turn: Condvar,
}

#[derive(Default)]
struct State {
    listings: VecDeque<Listing>,
    /// The number of the first of them. They are numbered in the order in which they were added.
    first: u64,
    /// The number of the first one that no worker has taken.
    unlisted: u64,
    /// Those with names left to examine that no worker holds.
    open: BTreeSet<u64>,
    /// Pieces of all listings.
    pieces: usize,
    /// Total number of delivered pieces.
    delivered: u64,
    /// Workers that wait for work.
    idle: usize,
    committer_waits: bool,
    /// The committer only waits while all workers are busy.
    wants_busy: bool,
    closed: bool,
}

struct Listing {
    id: EntryId,
    unlisted: Option<Unlisted>,
    open: Option<Box<OpenListing>>,
    /// None for a piece in progress.
    pieces: VecDeque<Option<Piece>>,
    /// The number of pieces that the committer has taken.
    taken: u64,
}

/// The obligation of a worker to deliver a piece. If a panic drops it before, the scan ends.
pub(super) struct Ticket<'a> {
    ahead: &'a Ahead,
    listing: u64,
    /// The number of the piece. None while its worker holds the names, and so the next piece.
    piece: Option<u64>,
}

impl Ticket<'_> {
    /// Puts the remaining names back for other workers, and keeps the piece before them.
    pub(super) fn share(&mut self, open: Box<OpenListing>) {
        self.piece = self.ahead.share(self.listing, open);
    }

    /// Delivers the piece.
    pub(super) fn deliver(self, piece: Piece) {
        self.ahead.deliver(self.listing, self.piece, piece);
        std::mem::forget(self);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.ahead.deliver(self.listing, self.piece, Piece::Stopped);
    }
}

impl State {
    fn listing(&mut self, number: u64) -> Option<&mut Listing> {
        let index = number.checked_sub(self.first)?;
        self.listings.get_mut(index as usize)
    }

    /// Returns the listing whose names are examined next: the first one by id that may have another piece.
    fn next_open(&self) -> Option<u64> {
        let of_first = self.listings.front()?.pieces.len();
        self.open.iter().copied().take(2).find(|number| {
            if *number == self.first {
                of_first < PIECES_OF_FIRST
            } else {
                self.pieces < PIECES_AHEAD
            }
        })
    }

    fn next_unlisted(&self, open: usize) -> Option<u64> {
        let end = self.first + self.listings.len() as u64;
        // The first one is always listed, because no earlier directory can make room for it.
        let may = self.unlisted == self.first || self.open.len() < open;
        (self.unlisted < end && may).then_some(self.unlisted)
    }

    fn has_work(&self, open: usize) -> bool {
        self.next_open().is_some() || self.next_unlisted(open).is_some()
    }

    fn take_work(&mut self, open: usize) -> Option<(u64, Work)> {
        if let Some(number) = self.next_open() {
            self.open.remove(&number);
            let open = self.listing(number)?.open.take()?;
            return Some((number, Work::Examine(open)));
        }
        let number = self.next_unlisted(open)?;
        self.unlisted += 1;
        let unlisted = self.listing(number)?.unlisted.take()?;
        Some((number, Work::List(unlisted)))
    }

    fn is_ready(&self) -> bool {
        let first = self.listings.front();
        first.is_some_and(|first| matches!(first.pieces.front(), Some(Some(_))))
    }
}

impl Ahead {
    /// Creates an empty queue for at most `workers` workers.
    pub(super) fn new(workers: usize) -> Self {
        Ahead {
            open: workers.clamp(1, OPEN_AHEAD),
            state: Mutex::default(),
            work: Condvar::default(),
            turn: Condvar::default(),
        }
    }

    /// Returns the number of directories that may be added.
    pub(super) fn room(&self) -> usize {
        LISTED_AHEAD - self.lock().listings.len()
    }

    /// Adds directories. Their ids must be above those of earlier ones.
    pub(super) fn add(&self, directories: Vec<Unlisted>) {
        let mut state = self.lock();
        state
            .listings
            .extend(directories.into_iter().map(|unlisted| Listing {
                id: unlisted.id,
                unlisted: Some(unlisted),
                open: None,
                pieces: VecDeque::new(),
                taken: 0,
            }));
        self.wake_worker(&state);
    }

    /// Waits for work. Returns None once the queue is closed.
    pub(super) fn work(&self) -> Option<(Ticket<'_>, Work)> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some((listing, work)) = state.take_work(self.open) {
                // Only one worker is woken at a time, so this one wakes the next.
                self.wake_worker(&state);
                let ticket = Ticket {
                    ahead: self,
                    listing,
                    piece: None,
                };
                return Some((ticket, work));
            }
            state.idle += 1;
            if state.committer_waits && state.wants_busy {
                self.turn.notify_one();
            }
            state = wait(&self.work, state);
            state.idle -= 1;
        }
    }

    /// Returns whether work is queued and no worker is idle.
    pub(super) fn is_short_of_workers(&self) -> bool {
        let state = self.lock();
        state.idle == 0 && state.has_work(self.open)
    }

    /// Returns the total number of delivered pieces.
    pub(super) fn delivered(&self) -> u64 {
        self.lock().delivered
    }

    fn share(&self, number: u64, open: Box<OpenListing>) -> Option<u64> {
        let mut state = self.lock();
        let listing = state.listing(number)?;
        listing.open = Some(open);
        let piece = listing.taken + listing.pieces.len() as u64;
        listing.pieces.push_back(None);
        state.pieces += 1;
        state.open.insert(number);
        self.wake_worker(&state);
        Some(piece)
    }

    fn deliver(&self, number: u64, at: Option<u64>, piece: Piece) {
        let mut state = self.lock();
        state.delivered += 1;
        let Some(listing) = state.listing(number) else {
            return;
        };
        let place = at.and_then(|at| at.checked_sub(listing.taken));
        match place.and_then(|place| listing.pieces.get_mut(place as usize)) {
            Some(place) => *place = Some(piece),
            None => {
                listing.pieces.push_back(Some(piece));
                state.pieces += 1;
            }
        }
        if state.committer_waits && state.is_ready() {
            self.turn.notify_one();
        }
    }

    /// Takes finished pieces in their order, until they have at least that many `entries`. Waits at most
    /// `timeout` for the first one and, with `wants_busy`, only while all workers are busy.
    pub(super) fn turn(
        &self,
        entries: usize,
        timeout: Duration,
        wants_busy: bool,
        ready: &mut Vec<(EntryId, Piece)>,
    ) -> PieceWait {
        let mut state = self.lock();
        if state.listings.is_empty() {
            return PieceWait::Empty;
        }
        if !state.is_ready() {
            if !(wants_busy && state.idle > 0) {
                state.committer_waits = true;
                state.wants_busy = wants_busy;
                state = wait_timeout(&self.turn, state, timeout);
                state.committer_waits = false;
            }
            if !state.is_ready() {
                return PieceWait::Later;
            }
        }
        let mut taken = 0;
        while taken < entries && state.is_ready() {
            let Some(first) = state.listings.front_mut() else {
                break;
            };
            let Some(piece) = first.pieces.pop_front().flatten() else {
                break;
            };
            first.taken += 1;
            taken += piece.len();
            let is_last = piece.is_last();
            ready.push((first.id, piece));
            state.pieces -= 1;
            if is_last {
                let first = state.first;
                state.open.remove(&first);
                state.listings.pop_front();
                state.first += 1;
            }
        }
        // Workers may continue with directories that had too many pieces.
        self.wake_worker(&state);
        PieceWait::Ready
    }

    /// Ends the workers.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }

    fn wake_worker(&self, state: &State) {
        if state.idle > 0 && state.has_work(self.open) {
            self.work.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait<'a>(on: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    on.wait(state).unwrap_or_else(PoisonError::into_inner)
}

fn wait_timeout<'a>(
    on: &Condvar,
    state: MutexGuard<'a, State>,
    timeout: Duration,
) -> MutexGuard<'a, State> {
    let waited = on.wait_timeout(state, timeout);
    waited.unwrap_or_else(PoisonError::into_inner).0
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
