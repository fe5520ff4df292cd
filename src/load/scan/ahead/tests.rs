//! The order of pieces, and the work that is available.

use super::*;
use crate::problem::{Problem, Reason};
use crate::source::{DirectoryLookup, SourceTree};
use crate::state::{FoundEntry, StateError};

const LONG: Duration = Duration::from_secs(30);

struct NoPlaces;

impl DirectoryLookup for NoPlaces {
    fn place(&self, _: EntryId) -> Result<Option<crate::entry::Place>, StateError> {
        Ok(None)
    }
}

/// Returns an open directory. Its real name and content do not matter.
fn directory() -> Arc<Directory> {
    let source = SourceTree::open(&std::env::temp_dir(), Box::new(NoPlaces)).unwrap();
    source.directory(EntryId::ROOT).unwrap()
}

fn listing(directory: &Arc<Directory>, names: &[Vec<u8>]) -> Box<OpenListing> {
    Box::new(OpenListing {
        directory: Arc::clone(directory),
        names: NameList::of(names),
    })
}

fn directories(ids: std::ops::Range<u64>) -> Vec<Unlisted> {
    let unlisted = |id| Unlisted {
        id: EntryId::new(id),
        place: crate::entry::Place {
            parent: EntryId::ROOT,
            name: id.to_string().into_bytes(),
            known: None,
        },
        after: None,
    };
    ids.map(unlisted).collect()
}

fn chunk(names: &[&[u8]], last: bool) -> Piece {
    let failed = |name: &&[u8]| FoundEntry::Failed {
        name: name.to_vec(),
        problem: Problem::new(Reason::Vanished),
    };
    Piece::Chunk {
        entries: names.iter().map(failed).collect(),
        last,
    }
}

/// Returns the ids of the directories with the names of their pieces.
fn taken(pieces: &[(EntryId, Piece)]) -> Vec<(u64, Vec<Vec<u8>>)> {
    let names = |piece: &Piece| match piece {
        Piece::Chunk { entries, .. } => entries
            .iter()
            .map(|entry| entry.failure().unwrap().0.to_vec())
            .collect(),
        other => panic!("{other:?}"),
    };
    let pieces = pieces.iter();
    pieces.map(|(id, piece)| (id.get(), names(piece))).collect()
}

fn turn(ahead: &Ahead) -> Vec<(EntryId, Piece)> {
    let mut pieces = Vec::new();
    ahead.turn(usize::MAX, Duration::from_millis(1), false, &mut pieces);
    pieces
}

fn has_work(ahead: &Ahead) -> bool {
    ahead.lock().has_work(ahead.open)
}

/// Returns the next work, which must be available.
fn work(ahead: &Ahead) -> (Ticket<'_>, Work) {
    assert!(has_work(ahead));
    ahead.work().unwrap()
}

/// Takes the directory to list; returns its ticket.
fn list(ahead: &Ahead, id: u64) -> Ticket<'_> {
    match work(ahead) {
        (ticket, Work::List(unlisted)) => {
            assert_eq!(unlisted.id.get(), id);
            ticket
        }
        (ticket, Work::Examine(_)) => panic!("names of {}", ticket.listing),
    }
}

fn examine(ahead: &Ahead) -> (Ticket<'_>, Box<OpenListing>) {
    match work(ahead) {
        (ticket, Work::Examine(open)) => (ticket, open),
        (_, Work::List(unlisted)) => panic!("{unlisted:?}"),
    }
}

#[test]
fn pieces_are_ordered_regardless_of_their_delivery() {
    let (ahead, open) = (Ahead::new(8), directory());
    ahead.add(directories(5..7));
    let mut first = list(&ahead, 5);
    let of_second = list(&ahead, 6);
    first.share(listing(&open, &[]));
    let (mut second, names) = examine(&ahead);
    second.share(names);
    let (third, _) = examine(&ahead);
    of_second.deliver(chunk(&[b"x"], true));
    third.deliver(chunk(&[b"c"], true));
    second.deliver(chunk(&[b"b"], false));
    assert!(turn(&ahead).is_empty(), "the first piece is missing");
    first.deliver(chunk(&[b"a"], false));
    let names = [(5, b"a"), (5, b"b"), (5, b"c"), (6, b"x")];
    let names = names.map(|(id, name)| (id, vec![name.to_vec()]));
    assert_eq!(taken(&turn(&ahead)), names);
    assert!(matches!(
        ahead.turn(1, LONG, false, &mut Vec::new()),
        PieceWait::Empty
    ));
}

/// Pieces of later directories do not take the slots of the first one.
#[test]
fn the_first_directory_has_its_own_slots() {
    let (ahead, open) = (Ahead::new(8), directory());
    ahead.add(directories(5..7));
    let mut of_first = list(&ahead, 5);
    let mut of_second = list(&ahead, 6);
    of_second.share(listing(&open, &[]));
    of_second.deliver(chunk(&[], false));
    while has_work(&ahead) {
        let (mut ticket, names) = examine(&ahead);
        ticket.share(names);
        ticket.deliver(chunk(&[], false));
    }
    assert_eq!(ahead.lock().pieces, PIECES_AHEAD);
    of_first.share(listing(&open, &[]));
    of_first.deliver(chunk(&[], false));
    let mut held = Vec::new();
    while has_work(&ahead) {
        let (mut ticket, names) = examine(&ahead);
        assert_eq!(ticket.listing, 0);
        ticket.share(names);
        held.push(ticket);
    }
    assert_eq!(held.len() + 1, PIECES_OF_FIRST);
    // One was ready; its slot is for the same directory.
    assert_eq!(turn(&ahead).len(), 1);
    assert_eq!(examine(&ahead).0.listing, 0);
    held.into_iter()
        .for_each(|ticket| ticket.deliver(chunk(&[], false)));
}

/// At most one directory per worker is open, and at most 64.
#[test]
fn open_directories_are_limited() {
    let directory = directory();
    for (workers, bound) in [(3, 3), (64, 64), (1000, 64)] {
        let ahead = Ahead::new(workers);
        ahead.add(directories(5..105));
        // No piece of the first one is delivered.
        let first = list(&ahead, 5);
        let mut tickets: Vec<_> = (6..6 + bound).map(|id| list(&ahead, id)).collect();
        let mut last = tickets.pop().unwrap();
        for ticket in &mut tickets {
            ticket.share(listing(&directory, &[]));
        }
        while ahead.lock().pieces < PIECES_AHEAD {
            let (mut ticket, names) = examine(&ahead);
            ticket.share(names);
            ticket.deliver(chunk(&[], false));
        }
        assert_eq!(ahead.lock().open.len() as u64, bound - 1);
        assert!(has_work(&ahead), "one more of {workers} may be listed");
        last.share(listing(&directory, &[]));
        assert!(!has_work(&ahead), "{bound} of {workers} are open");
        drop((first, tickets, last));
    }
}

#[test]
fn a_dropped_ticket_ends_the_scan() {
    let ahead = Ahead::new(8);
    ahead.add(directories(5..6));
    drop(list(&ahead, 5));
    let pieces = turn(&ahead);
    assert!(
        matches!(&*pieces, [(id, Piece::Stopped)] if id.get() == 5),
        "{pieces:?}"
    );
}

#[test]
fn closing_ends_waiting_workers() {
    let ahead = Arc::new(Ahead::new(8));
    let (sender, ended) = std::sync::mpsc::channel();
    for _ in 0..3 {
        let (ahead, sender) = (Arc::clone(&ahead), sender.clone());
        std::thread::spawn(move || sender.send(ahead.work().is_none()));
    }
    while ahead.lock().idle < 3 {
        std::thread::yield_now();
    }
    ahead.close();
    for _ in 0..3 {
        assert_eq!(ended.recv_timeout(LONG), Ok(true));
    }
}

fn names_of(id: u64) -> Vec<Vec<u8>> {
    let count = id.wrapping_mul(2_654_435_761) % 100;
    (0..count)
        .map(|n| format!("{id}-{n:03}").into_bytes())
        .collect()
}

/// Works like a worker of the scan, without a source.
fn simulate_worker(ahead: &Ahead, directory: &Arc<Directory>) {
    while let Some((mut ticket, work)) = ahead.work() {
        let mut open = match work {
            Work::List(unlisted) => listing(directory, &names_of(unlisted.id.get())),
            Work::Examine(open) => open,
        };
        let names = open.names.cut(8).unwrap();
        let last = open.names.is_finished();
        if !last {
            ticket.share(open);
        }
        if fastrand::u8(..) < 16 {
            std::thread::sleep(Duration::from_micros(fastrand::u64(..300)));
        }
        let names: Vec<_> = names.iter().map(|name| name.to_bytes()).collect();
        ticket.deliver(chunk(&names, last));
    }
}

#[test]
fn two_thousand_directories_by_eight_workers() {
    let (ahead, directory) = (Ahead::new(8), directory());
    let ids = 5..2005;
    let mut seen: Vec<(u64, Vec<Vec<u8>>)> = Vec::new();
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| simulate_worker(&ahead, &directory));
        }
        let mut next = ids.start;
        loop {
            let end = ids.end.min(next + ahead.room() as u64);
            if next < end {
                ahead.add(directories(next..end));
                next = end;
            }
            let mut pieces = Vec::new();
            if let PieceWait::Empty = ahead.turn(100, LONG, false, &mut pieces) {
                break;
            }
            assert!(!pieces.is_empty(), "no piece was delivered in time");
            for (id, names) in taken(&pieces) {
                match seen.last_mut().filter(|(last, _)| *last == id) {
                    Some((_, of_last)) => of_last.extend(names),
                    None => seen.push((id, names)),
                }
            }
        }
        ahead.close();
    });
    let expected: Vec<_> = ids.map(|id| (id, names_of(id))).collect();
    assert!(seen == expected, "wrong order of ids and names");
}
