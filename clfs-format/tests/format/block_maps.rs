//! Tests of block maps: their layout, building and reading them, and damaged maps.

use std::collections::HashMap;

use clfs_format::*;

fn block(i: u64) -> BlockId {
    BlockId(u128::from(i).to_be_bytes())
}

/// Returns the id of an indirect block, derived from its position.
fn indirect(position: IndirectPosition) -> BlockId {
    let mut bytes = [0xff; 16];
    bytes[0] = position.tree;
    bytes[1] = position.depth;
    bytes[8..].copy_from_slice(&position.index.to_be_bytes());
    BlockId(bytes)
}

type Blocks = HashMap<BlockId, (IndirectPosition, Vec<BlockId>)>;

fn build(count: u64) -> (BlockMap, Blocks) {
    let mut builder = BlockMapBuilder::new(Filehandle::ROOT, 8 << 20);
    let mut blocks = Blocks::new();
    let mut order = Vec::new();
    let mut emit = |done: FinishedIndirect| {
        assert_eq!(done.id, indirect(done.position));
        assert!(!done.pointers.is_empty());
        order.push(done.position);
        let twice = blocks.insert(done.id, (done.position, done.pointers));
        assert!(twice.is_none(), "{:?} twice", done.position);
    };
    for i in 1..=count {
        builder.push(block(i), &mut indirect, &mut emit).unwrap();
    }
    let map = builder.finish(&mut indirect, &mut emit);
    for (position, pointers) in blocks.values().filter(|(p, _)| p.depth < p.tree) {
        for child in pointers {
            let (child, _) = blocks[child];
            assert_eq!(
                (child.tree, child.depth),
                (position.tree, position.depth + 1)
            );
        }
    }
    (map, blocks)
}

/// Returns all segments, or the first error.
fn read(map: &BlockMap, blocks: &Blocks, max_blocks: u64) -> Result<Vec<BlockId>, FormatError> {
    let mut reader = BlockMapReader::new(map, max_blocks);
    let mut data = Vec::new();
    let mut fetched = 0_u64;
    loop {
        match reader.next_step()? {
            BlockStep::Data(id) => data.push(id),
            BlockStep::End => return Ok(data),
            BlockStep::Fetch { id, position } => {
                let (written, pointers) = &blocks[&id];
                assert_eq!(*written, position);
                fetched += 1;
                assert!(fetched <= max_blocks + 10, "requests must be bounded");
                reader.supply(pointers.clone())?;
            }
        }
    }
}

fn corrupt<T: std::fmt::Debug>(result: Result<T, FormatError>) -> Corrupt {
    match result.unwrap_err() {
        FormatError::Corrupt { kind, .. } => kind,
        other => panic!("{other}"),
    }
}

#[test]
fn a_built_map_reads_back() {
    let n = POINTERS_PER_INDIRECT as u64;
    let tree_1 = 1023 + n;
    for count in [
        0,
        1,
        1022,
        1023,
        1024,
        tree_1 - 1,
        tree_1,
        tree_1 + 1,
        tree_1 + n,
        tree_1 + n + 1,
    ] {
        let (map, blocks) = build(count);
        assert_eq!(map.direct.len() as u64, count.min(1023));
        let expected: Vec<_> = (1..=count).map(block).collect();
        assert!(read(&map, &blocks, count).unwrap() == expected, "{count}");
        if count > 0 {
            let error = read(&map, &blocks, count - 1);
            assert_eq!(corrupt(error), Corrupt::BlockMapLength);
        }
    }
}

#[test]
fn tree_2_starts_after_4096_squared_blocks() {
    let n = POINTERS_PER_INDIRECT as u64;
    let count = 1023 + n + n * n + 2 * n + 5;
    let (map, blocks) = build(count);
    let trees: Vec<_> = map.roots.iter().map(|root| !root.is_none()).collect();
    assert_eq!(trees, [true, true, true, false]);
    let leaves = |tree| {
        let of_tree = blocks
            .values()
            .filter(move |(p, _)| p.tree == tree && p.depth == tree);
        of_tree
            .map(|(_, pointers)| pointers.len())
            .collect::<Vec<_>>()
    };
    assert_eq!(leaves(1), vec![4096; 4096]);
    let mut last = leaves(2);
    last.sort_unstable();
    assert_eq!(last, [5, 4096, 4096]);
    assert_eq!(blocks.len(), 1 + 4096 + 1 + 3 + 1 + 1);
    let mut expected = 1;
    let mut reader = BlockMapReader::new(&map, count);
    loop {
        match reader.next_step().unwrap() {
            BlockStep::Data(id) => {
                assert_eq!(id, block(expected));
                expected += 1;
            }
            BlockStep::End => break,
            BlockStep::Fetch { id, position } => {
                assert_eq!(blocks[&id].0, position);
                reader.supply(blocks[&id].1.clone()).unwrap();
            }
        }
    }
    assert_eq!(expected, count + 1);
}

#[test]
fn an_empty_last_leaf_is_accepted() {
    let n = POINTERS_PER_INDIRECT as u64;
    let (map, mut blocks) = build(1023 + n + n);
    let empty = BlockId([0xee; 16]);
    let position = IndirectPosition {
        tree: 1,
        depth: 1,
        index: 1,
    };
    blocks.insert(empty, (position, Vec::new()));
    blocks.get_mut(&map.roots[1]).unwrap().1.push(empty);
    assert_eq!(
        read(&map, &blocks, 1023 + n + n).unwrap().len() as u64,
        1023 + n + n
    );
    // No block may follow it.
    let root = &mut blocks.get_mut(&map.roots[1]).unwrap().1;
    root.push(root[0]);
    assert_eq!(
        corrupt(read(&map, &blocks, u64::MAX - 10)),
        Corrupt::BlockMapGap
    );
}

#[test]
fn damaged_trees_end_in_errors() {
    let n = POINTERS_PER_INDIRECT as u64;
    let count = 1023 + n + n + 7;
    let (map, blocks) = build(count);
    let root = map.roots[1];
    let leaf = blocks[&root].1[0];

    // A leaf before the last that is not full.
    let mut short = blocks.clone();
    short.get_mut(&leaf).unwrap().1.pop();
    assert_eq!(corrupt(read(&map, &short, count)), Corrupt::BlockMapGap);
    // Tree 0 not full, tree 1 used.
    let mut short = blocks.clone();
    short.get_mut(&map.roots[0]).unwrap().1.pop();
    assert_eq!(corrupt(read(&map, &short, count)), Corrupt::BlockMapGap);
    // The direct list not full.
    let mut direct = map.clone();
    direct.direct.pop();
    assert_eq!(corrupt(read(&direct, &blocks, count)), Corrupt::BlockMapGap);
    // A root that points to itself: the reader takes its pointers for those of a leaf, and reaches the
    // maximum number of blocks.
    let mut reader = BlockMapReader::new(&map, count);
    let mut steps = 0;
    let cycle = loop {
        steps += 1;
        assert!(steps < 2 * count, "the reader does not end");
        match reader.next_step() {
            Ok(BlockStep::Fetch { .. }) => reader.supply(vec![root; 4096]).unwrap(),
            Ok(_) => {}
            error => break error,
        }
    };
    assert_eq!(corrupt(cycle), Corrupt::BlockMapLength);
    // An empty root.
    let mut empty = blocks.clone();
    empty.get_mut(&root).unwrap().1.clear();
    assert_eq!(corrupt(read(&map, &empty, count)), Corrupt::BlockMapCount);
    // More pointers than an indirect block may have.
    let mut long = blocks.clone();
    long.get_mut(&leaf).unwrap().1.push(leaf);
    let error = read(&map, &long, count).unwrap_err();
    assert!(matches!(
        error,
        FormatError::Limit {
            limit: Limit::Pointers,
            value: 4097,
            ..
        }
    ));
}

#[test]
fn a_reader_accepts_only_the_requested_block() {
    let (map, _) = build(1024);
    let mut reader = BlockMapReader::new(&map, 1024);
    assert_eq!(corrupt(reader.supply(vec![])), Corrupt::SupplyOrder);
    while let BlockStep::Data(_) = reader.next_step().unwrap() {}
    assert_eq!(corrupt(reader.next_step()), Corrupt::SupplyOrder);
}

/// Returns the segments with their numbers, and whether there was a gap; skips the blocks in `skipped`.
fn inspect(map: &BlockMap, blocks: &Blocks, skipped: &[BlockId]) -> (Vec<(u64, BlockId)>, bool) {
    let mut reader = BlockMapReader::inspecting(map);
    let (mut segments, mut number) = (Vec::new(), 0);
    loop {
        match reader.next_step().unwrap() {
            BlockStep::End => return (segments, reader.has_gap()),
            BlockStep::Data(id) => {
                number += 1;
                segments.push((number, id));
            }
            BlockStep::Fetch { id, .. } if skipped.contains(&id) => {
                number += reader.skip().unwrap();
            }
            BlockStep::Fetch { id, position } => {
                let (written, pointers) = &blocks[&id];
                assert_eq!(*written, position);
                reader.supply(pointers.clone()).unwrap();
            }
        }
    }
}

#[test]
fn an_inspection_numbers_the_segments_behind_a_skipped_block() {
    let n = POINTERS_PER_INDIRECT as u64;
    let count = 1023 + n + 2 * n + 7;
    let (map, blocks) = build(count);
    let at = |tree, depth, index| indirect(IndirectPosition { tree, depth, index });
    for (skipped, gone) in [
        (vec![], 0..0),
        (vec![at(0, 0, 0)], 1024..1024 + n),
        (vec![at(1, 1, 1)], 1024 + 2 * n..1024 + 3 * n),
        (vec![at(1, 0, 0)], 1024 + n..count + 1),
        (vec![at(1, 1, 2)], 1024 + 3 * n..count + 1),
    ] {
        let (segments, gap) = inspect(&map, &blocks, &skipped);
        let kept = (1..=count).filter(|number| !gone.contains(number));
        let expected: Vec<_> = kept.map(|number| (number, block(number))).collect();
        assert!(segments == expected && !gap, "{skipped:?}");
    }
    let mut reader = BlockMapReader::inspecting(&map);
    assert_eq!(corrupt(reader.skip()), Corrupt::SupplyOrder);
}

#[test]
fn an_inspection_returns_the_blocks_behind_a_gap() {
    let n = POINTERS_PER_INDIRECT as u64;
    let (map, blocks) = build(1023 + n + 5);
    let leaf = map.roots[0];
    // A leaf with one pointer less, before tree 1.
    let mut short = blocks.clone();
    short.get_mut(&leaf).unwrap().1.pop();
    let (segments, gap) = inspect(&map, &short, &[]);
    assert_eq!((segments.len() as u64, gap), (1023 + n + 4, true));
    assert_eq!(corrupt(read(&map, &short, 1 << 40)), Corrupt::BlockMapGap);
    // Tree 1 without tree 0: it still has two levels.
    let mut holed = map.clone();
    holed.roots[0] = BlockId::NONE;
    let (segments, gap) = inspect(&holed, &blocks, &[]);
    assert_eq!((segments.len() as u64, gap), (1023 + 5, true));
    // A direct list that is not full, before tree 0.
    let mut holed = map.clone();
    holed.direct.pop();
    assert!(inspect(&holed, &blocks, &[]).1);
    assert_eq!(
        corrupt(read(&holed, &blocks, 1 << 40)),
        Corrupt::BlockMapGap
    );
    // An empty block of tree 1 that is not a leaf.
    let mut empty = blocks.clone();
    empty.get_mut(&map.roots[1]).unwrap().1.clear();
    let (segments, gap) = inspect(&map, &empty, &[]);
    assert_eq!((segments.len() as u64, gap), (1023 + n, false));
}

#[test]
fn file_segments_have_the_sizes_of_the_format() {
    let segment = 8 << 20;
    let edge = 16384 + segment;
    for (size, count) in [
        (0, 0),
        (16384, 0),
        (16385, 1),
        (edge - 1, 1),
        (edge, 1),
        (edge + 1, 2),
        (u64::MAX, u64::MAX / segment + 1),
    ] {
        assert_eq!(file_segment_count(size), count, "{size}");
        if count > 0 {
            assert_eq!(file_segment_range(count, size).end, size);
            assert!(!file_segment_range(count, size).is_empty());
        }
        assert!(file_segment_range(count + 1, size).is_empty());
    }
    assert_eq!(file_segment_range(0, 100), 0..100);
    assert_eq!(file_segment_range(0, edge), 0..16384);
    assert_eq!(file_segment_range(1, edge + 1), 16384..edge);
    assert_eq!(file_segment_range(2, edge + 1), edge..edge + 1);
    assert!(file_segment_range(u64::MAX, u64::MAX).is_empty());
}

#[test]
fn directories_are_split_between_entries() {
    let own = FilehandleFields {
        container_id: 1,
        parent_directory_manager: 0,
        directory_manager: 1,
        file_type: FileType::Directory,
        sequence: 1000,
        random: 1,
    };
    let own = own.filehandle().unwrap();
    // Here `.` and `..` have 31 + 24 bytes, and an entry with a name of n bytes has n + 30.
    let fits = 16384 - 24 - (6 + 1 + 24) - (6 + 2 + 16);
    let names = |total: usize| {
        let mut names = vec![vec![b'n'; 70]; total / 100 - 1];
        names.push(vec![b'n'; 70 + total % 100]);
        names
    };
    for (extra, segments) in [(0, 1), (1, 2)] {
        let mut segmenter = DirectorySegmenter::new(own, Filehandle::ROOT);
        let mut full = Vec::new();
        for name in names(fits + extra) {
            full.extend(segmenter.push(&name, own).unwrap());
        }
        let end = segmenter.finish();
        assert_eq!(end.segments, segments);
        let bytes: usize = full.iter().map(Vec::len).sum::<usize>() + end.last.len();
        assert_eq!(end.size, 4 * segments + bytes as u64);
        assert_eq!(bytes, 16384 - 24 + extra);
    }
    // The other segments are full at 256 KiB, which is a multiple of these entries of 64 bytes.
    let mut segmenter = DirectorySegmenter::new(own, Filehandle::ROOT);
    let mut full = Vec::new();
    for _ in 0..3 * 4096 {
        full.extend(segmenter.push(&[b'n'; 34], own).unwrap());
    }
    let end = segmenter.finish();
    let lengths: Vec<_> = full.iter().map(Vec::len).collect();
    let first = 55 + (16384 - 24 - 55) / 64 * 64;
    assert_eq!(lengths, [first, 262_144, 262_144]);
    assert_eq!(end.segments, 4);
    let rest = 3 * 262_144 + 55 - lengths.iter().sum::<usize>();
    assert_eq!(end.last.len(), rest);
    assert_eq!(end.size, 3 * 262_144 + 55 + 16);
    assert_eq!(directory_segment_offset(3), 16384 + 2 * 262_144);
}
