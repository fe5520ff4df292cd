//! Tests of reading a block map from a block in the middle: the reader returns the same blocks as from
//! the start, and requests only the indirect blocks on the path to them.

use clfs_format::*;

const N: u64 = POINTERS_PER_INDIRECT as u64;
const TREE_0: u64 = 1023;
const TREE_1: u64 = TREE_0 + N;
const TREE_2: u64 = TREE_1 + N * N;
const TREE_3: u64 = TREE_2 + N * N * N;
/// Number of blocks read from each start.
const READ: u64 = 5;

fn block(i: u64) -> BlockId {
    BlockId(u128::from(i).to_be_bytes())
}

fn indirect(tree: u8, depth: u8, index: u64) -> BlockId {
    let mut bytes = [0xff; 16];
    bytes[0] = tree;
    bytes[1] = depth;
    bytes[8..].copy_from_slice(&index.to_be_bytes());
    BlockId(bytes)
}

/// A map of `count` blocks whose indirect blocks are generated on request.
struct Lazy {
    count: u64,
}

impl Lazy {
    /// Returns the number of blocks before a tree.
    fn before(tree: u8) -> u64 {
        [TREE_0, TREE_1, TREE_2, TREE_3][usize::from(tree)]
    }

    fn map(&self) -> BlockMap {
        let mut map = BlockMap::single(Filehandle::ROOT, 8 << 20);
        map.direct = (1..=self.count.min(TREE_0)).map(block).collect();
        for tree in (0..4).filter(|tree| Self::before(*tree) < self.count) {
            map.roots[usize::from(tree)] = indirect(tree, 0, 0);
        }
        map
    }

    fn pointers(&self, at: IndirectPosition) -> Vec<BlockId> {
        let before = Self::before(at.tree);
        let in_tree = (self.count - before).min(N.pow(u32::from(at.tree) + 1));
        let under_child = N.pow(u32::from(at.tree - at.depth));
        let end = in_tree.div_ceil(under_child).min((at.index + 1) * N);
        let children = at.index * N..end;
        children
            .map(|child| match at.tree == at.depth {
                true => block(before + child + 1),
                false => indirect(at.tree, at.depth + 1, child),
            })
            .collect()
    }
}

#[derive(Debug, PartialEq)]
struct Seen {
    data: Vec<BlockId>,
    fetched: Vec<IndirectPosition>,
}

/// Reads at most `READ` blocks from block `first` on.
fn read(map: &Lazy, max_blocks: u64, first: u64) -> Result<Seen, FormatError> {
    let mut reader = BlockMapReader::starting_at(&map.map(), max_blocks, first);
    let (mut data, mut fetched) = (Vec::new(), Vec::new());
    while (data.len() as u64) < READ {
        match reader.next_step()? {
            BlockStep::Data(id) => data.push(id),
            BlockStep::End => break,
            BlockStep::Fetch { id, position } => {
                let IndirectPosition { tree, depth, index } = position;
                assert_eq!(id, indirect(tree, depth, index));
                fetched.push(position);
                reader.supply(map.pointers(position))?;
            }
        }
    }
    Ok(Seen { data, fetched })
}

/// Returns every indirect block in the order in which a reader from the start requests them, each
/// with the number of segments before it.
fn walk(map: &Lazy) -> Vec<(u64, IndirectPosition)> {
    let mut reader = BlockMapReader::new(&map.map(), map.count);
    let mut fetched = Vec::new();
    let mut blocks = 0;
    loop {
        match reader.next_step().unwrap() {
            BlockStep::Data(id) => {
                blocks += 1;
                assert_eq!(id, block(blocks));
            }
            BlockStep::End => break,
            BlockStep::Fetch { position, .. } => {
                fetched.push((blocks, position));
                reader.supply(map.pointers(position)).unwrap();
            }
        }
    }
    assert_eq!(blocks, map.count);
    fetched
}

/// Returns the expected result: the indirect blocks that a reader from the start has open when it
/// reaches block `first`, and those that it requests for the next `READ` blocks.
fn expected(walk: &[(u64, IndirectPosition)], count: u64, first: u64) -> Seen {
    let tree = (0..4).rev().find(|tree| Lazy::before(*tree) < first);
    let way = (0..4).filter_map(|depth| {
        let mut before = walk.iter().filter(|(blocks, _)| *blocks < first);
        before.rfind(|(_, at)| Some(at.tree) == tree && at.depth == depth)
    });
    let end = (first + READ).min(count + 1);
    let later = walk
        .iter()
        .filter(|(blocks, _)| (first..end - 1).contains(blocks));
    Seen {
        data: (first..end).map(block).collect(),
        fetched: way.chain(later).map(|(_, at)| *at).collect(),
    }
}

#[test]
fn a_start_in_the_middle_returns_the_same_blocks_as_a_start_at_the_beginning() {
    let mut compared = 0;
    for count in [
        0,
        1,
        700,
        TREE_0,
        TREE_0 + 1,
        TREE_0 + 9,
        TREE_1,
        TREE_1 + 1,
        TREE_1 + N,
        TREE_1 + N + 1,
        TREE_1 + 7 * N - 1,
        TREE_2,
        TREE_2 + 3 * N + 8,
    ] {
        let map = Lazy { count };
        let walk = walk(&map);
        let edges = [0, TREE_0, TREE_1, TREE_1 + N, TREE_1 + 5 * N, TREE_2 - N];
        let more = [TREE_2, TREE_2 + N, TREE_2 + 3 * N, count / 2, count];
        let near = |edge: u64| edge.saturating_sub(6)..edge + 6;
        let starts = edges.into_iter().chain(more).flat_map(near);
        for first in starts.filter(|first| (1..=count).contains(first)) {
            let seen = read(&map, count, first).unwrap();
            assert_eq!(seen, expected(&walk, count, first), "{first} of {count}");
            compared += 1;
        }
        // Block 0 is in the inode; segments count from 1.
        assert_eq!(read(&map, count, 0), read(&map, count, 1));
    }
    assert!(compared > 500, "{compared}");
}

#[test]
fn a_start_after_the_end_returns_no_blocks() {
    let sizes = [
        0,
        5,
        TREE_0,
        TREE_0 + 3,
        TREE_1,
        TREE_1 + N + 2,
        TREE_2,
        TREE_2 + 1,
    ];
    for count in sizes {
        for first in [count + 1, count + 2, count + 5000, u64::MAX] {
            let seen = read(&Lazy { count }, u64::MAX, first).unwrap();
            assert_eq!(seen.data, []);
            assert!(seen.fetched.len() <= 3, "{first} of {count}: {seen:?}");
        }
    }
}

#[test]
fn the_last_blocks_of_the_largest_map_need_four_requests() {
    let count = TREE_3 + N.pow(4);
    let map = Lazy { count };
    let seen = read(&map, count, count - 4).unwrap();
    assert_eq!(seen.data, [4, 3, 2, 1, 0].map(|left| block(count - left)));
    let last = [0, N - 1, N * N - 1, N * N * N - 1];
    let way = (0..).zip(last).map(|(depth, index)| IndirectPosition {
        tree: 3,
        depth,
        index,
    });
    assert_eq!(seen.fetched, way.collect::<Vec<_>>());
}

#[test]
fn the_maximum_number_of_blocks_includes_skipped_blocks() {
    let count = TREE_1 + 100;
    let map = Lazy { count };
    for first in [count - 3, count] {
        assert!(read(&map, count, first).is_ok());
        let error = read(&map, count - 1, first).unwrap_err();
        let kind = Corrupt::BlockMapLength;
        assert!(
            matches!(error, FormatError::Corrupt { kind: k, .. } if k == kind),
            "{error}"
        );
    }
}

#[test]
fn gaps_on_the_path_are_detected() {
    let map = Lazy {
        count: TREE_1 + 2 * N,
    };
    let gap = |first: u64, short: IndirectPosition| {
        let mut reader = BlockMapReader::starting_at(&map.map(), u64::MAX, first);
        loop {
            match reader.next_step() {
                Ok(BlockStep::Data(_)) => {}
                Ok(BlockStep::Fetch { position, .. }) => {
                    let mut pointers = map.pointers(position);
                    if position == short {
                        pointers.truncate(100);
                    }
                    reader.supply(pointers).unwrap();
                }
                other => break other,
            }
        }
    };
    let leaf = IndirectPosition {
        tree: 1,
        depth: 1,
        index: 0,
    };
    let root = IndirectPosition {
        tree: 0,
        depth: 0,
        index: 0,
    };
    let place = Place {
        part: Part::IndirectTree,
        offset: 0,
    };
    let error = FormatError::Corrupt {
        kind: Corrupt::BlockMapGap,
        place,
    };
    // The start is before or after the end of the truncated list.
    for first in [1, 101, 3000] {
        assert_eq!(gap(TREE_1 + first, leaf), Err(error));
        assert_eq!(gap(TREE_0 + first, root), Err(error));
    }
    // Subtrees that end before the start are not checked.
    assert_eq!(gap(TREE_1 + N + 1, leaf), Ok(BlockStep::End));
    assert_eq!(gap(TREE_1 + 1, root), Ok(BlockStep::End));
    // A direct list that is not full, with starts after the list, in the tree and after the tree.
    let mut short = Lazy { count: TREE_1 }.map();
    short.direct.pop();
    for first in [1022 + 1, TREE_1, TREE_1 + 1] {
        let mut reader = BlockMapReader::starting_at(&short, u64::MAX, first);
        assert_eq!(reader.next_step(), Err(error), "{first}");
    }
    // No block follows an unused tree, for any start.
    let mut empty = map.map();
    empty.roots[0] = BlockId::NONE;
    for first in [TREE_0 + 1, TREE_1 + 1] {
        let mut reader = BlockMapReader::starting_at(&empty, u64::MAX, first);
        assert_eq!(reader.next_step(), Ok(BlockStep::End), "{first}");
    }
}
