//! Tests of the extraction record.
#![allow(clippy::unwrap_used)]

use super::*;

fn token() -> Token {
    Token::new()
}

fn record(path: &Path) -> ExtractionRecord {
    ExtractionRecord::open(path, "a container").unwrap()
}

#[test]
fn content_is_in_doubt_after_a_reboot_until_everything_is_synced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record");
    assert!(!record(&path).begin("boot 1", false, token()).unwrap());
    // Killed; the machine was not restarted.
    assert!(!record(&path).begin("boot 1", false, token()).unwrap());
    // Killed again, and the machine was restarted: content is in doubt until a run is complete.
    assert!(record(&path).begin("boot 2", false, token()).unwrap());
    let last = record(&path);
    assert!(last.begin("boot 2", false, token()).unwrap());
    last.mark_synced().unwrap();
    drop(last);
    assert!(!record(&path).begin("boot 3", false, token()).unwrap());
}

/// The mark of unflushed content survives further kills until a run is complete.
#[test]
fn unflushed_mark_survives_kills() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record");
    std::fs::write(&path, "").unwrap();
    let first = record(&path);
    assert!(first.was_empty() && first.begin("boot 1", true, token()).unwrap());
    drop(first);
    let second = record(&path);
    assert!(!second.was_empty() && second.begin("boot 1", false, token()).unwrap());
    second.mark_synced().unwrap();
    assert!(!second.begin("boot 1", false, token()).unwrap());
    assert!(!record(&folder.path().join("another")).was_empty());
}

/// Files that kills during the creation have left, also those of earlier versions of this program.
#[test]
fn an_incomplete_record_is_created_again() {
    let folder = tempfile::tempdir().unwrap();
    let halves = [
        "PRAGMA journal_mode = WAL",
        "PRAGMA application_id = 1129072216",
        "PRAGMA application_id = 1129072216; PRAGMA user_version = 1;
         CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    ];
    assert_eq!(APPLICATION_ID, 1_129_072_216);
    for (number, sql) in halves.into_iter().enumerate() {
        let path = folder.path().join(number.to_string());
        let half = Connection::open(&path).unwrap();
        half.execute_batch(sql).unwrap();
        drop(half);
        let made = record(&path);
        assert!(made.was_empty(), "{sql}");
        drop(made);
        assert!(!record(&path).was_empty(), "{sql}");
    }
}

#[test]
fn a_record_belongs_to_one_destination() {
    let folder = tempfile::tempdir().unwrap();
    let record = record(&folder.path().join("record"));
    let id = |inode| Some(FileId { device: 1, inode });
    record.bind("/one", None).unwrap();
    record.bind("/one", id(1)).unwrap();
    assert!(!record.owns_destination(false, true).unwrap());
    assert!(record.owns_destination(true, false).unwrap());
    record.bind("/one", id(1)).unwrap();
    record.bind("/one", None).unwrap();
    assert!(record.owns_destination(false, false).unwrap());
    // Removed and created again by another program.
    record.bind("/one", id(2)).unwrap();
    assert!(!record.owns_destination(false, false).unwrap());
    let error = record.bind("/two", id(2)).unwrap_err().to_string();
    assert!(error.contains("into /one: give another file"), "{error}");
}

#[test]
fn advice_fits_the_error() {
    let said = |code| {
        let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        RecordError::from(error).to_string()
    };
    assert!(said(rusqlite::ffi::SQLITE_FULL).contains("free some space"));
    assert!(said(rusqlite::ffi::SQLITE_BUSY).contains("another program"));
    for code in [rusqlite::ffi::SQLITE_FULL, rusqlite::ffi::SQLITE_BUSY] {
        assert!(!said(code).contains("remove"), "{}", said(code));
    }
    assert!(said(rusqlite::ffi::SQLITE_NOTADB).contains("remove"));
}

#[test]
fn an_inode_is_cached_in_its_version_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record");
    let time = |seconds, nanoseconds| Timestamp {
        seconds,
        nanoseconds,
    };
    let known = RecordedInode {
        target: TargetAttributes {
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
        stamp: Some(Stamp::from_bits(u64::MAX)),
        alone: true,
        local: Some(u64::MAX),
    };
    let first = record(&path);
    first.put(Filehandle::ROOT, 9, &known).unwrap();
    first.flush().unwrap();
    drop(first);
    let again = record(&path);
    assert_eq!(again.find(Filehandle::ROOT, 9).unwrap(), Some(known));
    assert_eq!(again.find(Filehandle::ROOT, 10).unwrap(), None);
    assert_eq!(again.find(Filehandle::NULL, 9).unwrap(), None);
}

/// Entries of an older record are compared, because it has no stamps; what it stores of the destination stays.
#[test]
fn a_record_of_version_1_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(
        "PRAGMA application_id = 1129072216; PRAGMA user_version = 1; PRAGMA journal_mode = WAL;
         CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
         INSERT INTO about VALUES ('container', 'a container'), ('destination', 'ours');
         CREATE TABLE inode (
             handle BLOB PRIMARY KEY, version INTEGER NOT NULL, type INTEGER NOT NULL,
             size INTEGER NOT NULL, mtime INTEGER NOT NULL, mode INTEGER NOT NULL,
             uid INTEGER NOT NULL, gid INTEGER NOT NULL, nlink INTEGER NOT NULL,
             major INTEGER NOT NULL, minor INTEGER NOT NULL, kept INTEGER
         ) STRICT, WITHOUT ROWID;",
    )
    .unwrap();
    let row = params![Filehandle::ROOT.as_bytes()];
    let sql = "INSERT INTO inode VALUES (?1, 9, 1, 5, 7, 420, 1, 2, 1, 0, 0, 1000000000)";
    old.execute(sql, row).unwrap();
    drop(old);
    for _ in 0..2 {
        let record = record(&path);
        let known = record.find(Filehandle::ROOT, 9).unwrap().unwrap();
        assert_eq!((known.stamp, known.alone), (None, false));
        assert!(known.kept.is_some() && !known.has_stamp(None));
        assert!(record.owns_destination(false, false).unwrap());
        assert!(record.unfinished().unwrap().is_empty());
    }
}

#[test]
fn tokens_stay_until_no_temporary_file_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record");
    let (first, second) = (token(), token());
    assert!(!record(&path).begin("boot 1", false, first).unwrap());
    let later = record(&path);
    assert_eq!(later.unfinished().unwrap(), [first]);
    later.begin("boot 1", false, second).unwrap();
    later.forget_token(second).unwrap();
    assert_eq!(later.unfinished().unwrap(), [first]);
    later.forget_token(first).unwrap();
    assert!(later.unfinished().unwrap().is_empty());
}

/// Two runs with one record would remove each other's temporary files.
#[test]
fn a_record_is_used_by_one_run_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record");
    let first = record(&path);
    first.bind("/one", None).unwrap();
    let second = match ExtractionRecord::open(&path, "a container") {
        Err(error) => error.to_string(),
        Ok(_) => unreachable!("the record was opened twice"),
    };
    assert!(second.contains("another program uses it"), "{second}");
    drop(first);
    record(&path);
}

#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record");
    drop(record(&path));
    let error = |path: &Path, container| match ExtractionRecord::open(path, container) {
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
