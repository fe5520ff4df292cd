//! Tests of the record.
#![allow(clippy::unwrap_used)]

use super::*;

fn record(path: &Path) -> Record {
    Record::open(path, "a container").unwrap()
}

#[test]
fn a_crash_of_the_machine_is_suspected_until_all_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record");
    assert!(!record(&path).begin("boot 1").unwrap());
    // Killed; the machine is still up.
    assert!(!record(&path).begin("boot 1").unwrap());
    // Killed again, and the machine was started anew: that stays so until a run ends well.
    assert!(record(&path).begin("boot 2").unwrap());
    let last = record(&path);
    assert!(last.begin("boot 2").unwrap());
    last.stored().unwrap();
    assert!(!record(&path).begin("boot 3").unwrap());
}

#[test]
fn an_inode_is_known_in_its_version_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record");
    let time = |seconds, nanoseconds| Timestamp {
        seconds,
        nanoseconds,
    };
    let known = Known {
        wanted: Wanted {
            file_type: FileType::Block,
            size: u64::MAX,
            mtime: Timestamp::MAX,
            mode: 0o7777,
            uid: u32::MAX - 1,
            gid: 65_536,
            nlink: 1023,
            major: 4095,
            minor: 1_048_575,
        },
        kept: Some(time(u32::MAX, 0)),
    };
    let first = record(&path);
    first.put(Filehandle::ROOT, 9, &known).unwrap();
    first.flush().unwrap();
    let again = record(&path);
    assert_eq!(again.find(Filehandle::ROOT, 9).unwrap(), Some(known));
    assert_eq!(again.find(Filehandle::ROOT, 10).unwrap(), None);
    assert_eq!(again.find(Filehandle::NULL, 9).unwrap(), None);
}

#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record");
    drop(record(&path));
    let error = |path: &Path, container| match Record::open(path, container) {
        Err(ExtractError::Record { error, .. }) => error,
        other => unreachable!("{}", other.is_ok()),
    };
    assert!(matches!(
        error(&path, "another"),
        RecordError::OtherContainer(_)
    ));
    let foreign = folder.path().join("foreign");
    let connection = Connection::open(&foreign).unwrap();
    connection.execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(matches!(
        error(&foreign, "a container"),
        RecordError::NotARecord
    ));
    std::fs::write(&foreign, "no database at all, but a text of some length").unwrap();
    assert!(matches!(
        error(&foreign, "a container"),
        RecordError::Database(_)
    ));
}
