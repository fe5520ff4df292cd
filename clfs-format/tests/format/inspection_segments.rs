//! Tests of segments and indirect blocks that break a rule: an inspection decodes them and lists the
//! rule, or returns the error that prevents it.

use std::borrow::Cow;

use crate::samples::*;
use clfs_format::*;

use Corrupt as C;
use HandleType as H;

fn segment_name() -> ObjectName {
    ObjectName::block(block(5), ObjectType::Segment, Filehandle::ROOT)
}

#[test]
fn segments_that_are_too_long_are_deviations() {
    let name = segment_name();
    let back = DataBack {
        ctime_seconds: 0,
        offset: 0,
        owner: Filehandle::ROOT,
    };
    let data = vec![1; (8 << 20) + 1];
    let bytes = [raw_handle(2, &counted(&data)), data_back()].concat();
    let deviation = over(Limit::FileSegmentBytes, data.len() as u64, H::Data, 20);
    let expected = FileSegment {
        data: Cow::Owned(data),
        data_back: back,
    };
    assert!(read(&name, &bytes, &[deviation]) == Object::FileSegment(expected));

    let entries = entry(&[b'n'; 34], file().block_map.handle.as_bytes()).repeat(4097);
    let handles = [raw_handle(3, &entries), raw_handle(2, &[0; 4]), data_back()];
    let deviation = over(Limit::DirectorySegmentBytes, 4097 * 64, H::Dirents, 20);
    let expected = DirectorySegment {
        entries: DirEntries::from_encoded(entries),
        data_back: back,
    };
    let bytes = handles.concat();
    assert!(read(&name, &bytes, &[deviation]) == Object::DirectorySegment(expected));
}

#[test]
fn data_in_a_directory_segment_is_a_deviation() {
    let name = segment_name();
    let entries = entry(b"name", file().block_map.handle.as_bytes());
    let dirents = raw_handle(3, &entries);
    let at = dirents.len() as u64 + 20;
    let expected = Object::DirectorySegment(DirectorySegment {
        entries: DirEntries::from_encoded(entries),
        data_back: DataBack {
            ctime_seconds: 0,
            offset: 0,
            owner: Filehandle::ROOT,
        },
    });
    let missing = at - 20 + data_back().len() as u64;
    let long = vec![7; 262_145];
    let limit = over(Limit::DirectorySegmentBytes, 262_145, H::Data, at);
    let not_empty = broken_in(C::DataNotEmpty, H::Data, at);
    for (data, deviations) in [
        (vec![], &[broken_in(C::HandleMissing, H::Data, missing)][..]),
        (raw_handle(2, &counted(b"x")), &[not_empty]),
        (raw_handle(2, &counted(&long)), &[limit, not_empty]),
        (
            raw_handle(2, &[9, 0, 0, 0]),
            &[broken_in(C::Truncated, H::Data, at + 4)],
        ),
    ] {
        let bytes = [&dirents[..], &data, &data_back()].concat();
        assert_eq!(read(&name, &bytes, deviations), expected);
    }
}

#[test]
fn segments_and_indirect_blocks_require_an_owner() {
    let segment = segment_name();
    let indirect = ObjectName::block(block(5), ObjectType::Indirect, Filehandle::ROOT);
    for (name, handles) in [
        (segment, raw_handle(2, &counted(b"data"))),
        (
            segment,
            [raw_handle(3, b""), raw_handle(2, &[0; 4])].concat(),
        ),
        (indirect, raw_handle(7, &[0; 4])),
    ] {
        let end = handles.len() as u64;
        let error = unreadable(&name, &handles);
        assert_eq!(error, broken_in(C::HandleMissing, H::DataBack, end));
        let error = unreadable(&name, &[&handles[..], &raw_handle(10, &[0; 12])].concat());
        assert_eq!(error, broken_in(C::Truncated, H::DataBack, end + 20 + 12));
        // Bytes after the owner are a deviation.
        let longer = [&data_back()[20..50], &[1]].concat();
        let bytes = [&handles[..], &raw_handle(10, &longer)].concat();
        let deviation = broken_in(C::TrailingBytes, H::DataBack, end + 20 + 30);
        read(&name, &bytes, &[deviation]);
    }
    // So are bytes after the pointers.
    let bytes = [raw_handle(7, &[0; 5]), data_back()].concat();
    read(
        &indirect,
        &bytes,
        &[broken_in(C::TrailingBytes, H::Indirect, 24)],
    );
}
