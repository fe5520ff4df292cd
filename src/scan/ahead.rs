//! What is listed ahead of its turn: directories in the order of their ids, and of each the pieces
//! of its listing that are looked at, or being looked at.
//!
//! Members of the crew take work from here, and bring pieces back in any order; the committer takes
//! pieces in the order of ids and names. Nobody waits for a turn with work in their hands: a
//! directory whose pieces are as many as may wait is left, and somebody goes on with it later.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::piece::Piece;
use crate::entry::EntryId;
use crate::source::{Directory, NameList};
use crate::state::Unlisted;

/// Directories that are listed ahead of the one whose turn it is: for each of 64 members four,
/// since a commit takes as long as some small directories, and the first may be the slowest.
pub(super) const LISTED_AHEAD: usize = 256;
/// Of these, how many may have names that nobody has looked at, unless there are fewer members: each
/// holds descriptors and memory.
pub const OPEN_AHEAD: usize = 64;
/// Pieces of the directory whose turn it is: two for each of 64 members.
const PIECES_OF_FIRST: usize = 128;
/// Pieces of all directories beyond which none but the first gets another.
///
/// With [`super::lister::PIECE_NAMES`] these bound the memory of the scan: 256 pieces, one for each
/// of 256 directories and 128 of the first, most of them of 128 entries and some 200 bytes each.
const PIECES_AHEAD: usize = 256;

/// A directory whose names are read.
pub(super) struct OpenListing {
    pub(super) directory: Arc<Directory>,
    pub(super) names: NameList,
}

/// What a member does next.
pub(super) enum Work {
    /// Reads the names of a directory.
    List(Unlisted),
    /// Looks at the next names.
    Look(Box<OpenListing>),
}

/// What the committer does next.
pub(super) enum Turn {
    /// Pieces are ready.
    Ready,
    /// None is; nothing came for a while, or the members have nothing to do.
    Later,
    /// There are no directories.
    Empty,
}

pub(super) struct Ahead {
    /// Directories whose names may be read ahead.
    open: usize,
    state: Mutex<State>,
    /// For members: there is work.
    work: Condvar,
    /// For the committer: a piece is ready, or there is no more work.
    turn: Condvar,
}

#[derive(Default)]
struct State {
    listings: VecDeque<Listing>,
    /// The number of the first of them; they are numbered as they came.
    first: u64,
    /// The number of the first that nobody has begun to list.
    unlisted: u64,
    /// Those with names that nobody has in their hands.
    open: BTreeSet<u64>,
    /// Pieces of all listings.
    pieces: usize,
    /// Pieces that came back, ever.
    delivered: u64,
    /// Members that wait for work.
    idle: usize,
    committer_waits: bool,
    /// The committer waits no longer than the members are busy.
    wants_busy: bool,
    closed: bool,
}

struct Listing {
    id: EntryId,
    unlisted: Option<Unlisted>,
    open: Option<Box<OpenListing>>,
    /// None for one that is being looked at.
    pieces: VecDeque<Option<Piece>>,
    /// How many the committer took.
    taken: u64,
}

/// A piece of a listing that its holder brings back. One that is dropped without a piece, by a
/// panic, ends the scan.
pub(super) struct Ticket<'a> {
    ahead: &'a Ahead,
    listing: u64,
    /// None for whatever comes next, while the holder has the names.
    piece: Option<u64>,
}

impl Ticket<'_> {
    /// Gives the names back, to whoever has time, and keeps the piece before them.
    pub(super) fn share(&mut self, open: Box<OpenListing>) {
        self.piece = self.ahead.share(self.listing, open);
    }

    /// Brings the piece.
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

    /// The listing whose names are to be looked at next: the first in the order of ids, if another
    /// piece of it may wait.
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
        // The first one has no others before it that would make room.
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
            return Some((number, Work::Look(open)));
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
    /// One for so many members.
    pub(super) fn new(members: usize) -> Self {
        Ahead {
            open: members.clamp(1, OPEN_AHEAD),
            state: Mutex::default(),
            work: Condvar::default(),
            turn: Condvar::default(),
        }
    }

    /// How many directories more may be added.
    pub(super) fn room(&self) -> usize {
        LISTED_AHEAD - self.lock().listings.len()
    }

    /// Adds directories, with ids above those before.
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
        self.wake_member(&state);
    }

    /// Waits for work. None at the end.
    pub(super) fn work(&self) -> Option<(Ticket<'_>, Work)> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some((listing, work)) = state.take_work(self.open) {
                // Whoever woke this one woke nobody else.
                self.wake_member(&state);
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

    /// Whether there is work that nobody has time for.
    pub(super) fn is_short_of_members(&self) -> bool {
        let state = self.lock();
        state.idle == 0 && state.has_work(self.open)
    }

    /// How many pieces came back.
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
        self.wake_member(&state);
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

    /// Takes pieces that are ready, in their order, until they have as many `entries`. Waits no
    /// longer than `patience` for the first one and, with `wants_busy`, no longer than all members
    /// have something to do.
    pub(super) fn turn(
        &self,
        entries: usize,
        patience: Duration,
        wants_busy: bool,
        ready: &mut Vec<(EntryId, Piece)>,
    ) -> Turn {
        let mut state = self.lock();
        if state.listings.is_empty() {
            return Turn::Empty;
        }
        if !state.is_ready() {
            if !(wants_busy && state.idle > 0) {
                state.committer_waits = true;
                state.wants_busy = wants_busy;
                state = wait_timeout(&self.turn, state, patience);
                state.committer_waits = false;
            }
            if !state.is_ready() {
                return Turn::Later;
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
        // There may be room for more.
        self.wake_member(&state);
        Turn::Ready
    }

    /// Sends the members home.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }

    fn wake_member(&self, state: &State) {
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
    patience: Duration,
) -> MutexGuard<'a, State> {
    let waited = on.wait_timeout(state, patience);
    waited.unwrap_or_else(PoisonError::into_inner).0
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
