//! A state of version 1 resumes with the tables of today.

use super::*;

/// Turns a database into one of version 1. It must hold no links.
pub(super) const TO_1: &str = include_str!("../../../fixtures/state/to_schema_1.sql");

/// Links of two file systems, as version 1 recorded them.
const LINKS_OF_1: &str = "
INSERT INTO inode VALUES (1000, 0, 5, 2), (1002, 7, 6, 2);
INSERT INTO link VALUES (1000, 1000), (1000, 1001), (1002, 1002), (1002, 1003);
UPDATE entry SET owner = 1000 WHERE id IN (1000, 1001);
UPDATE entry SET owner = 1002 WHERE id IN (1002, 1003);
";

fn old_state(folder: &Path) -> State {
    let state = new_state(folder);
    let names = ["a", "b", "c", "d"].map(|name| entry(name, FileType::Regular));
    let mut names = names.to_vec();
    names.push(entry("e", FileType::Directory));
    state.record(&[chunk(ROOT, names, true)]).unwrap();
    drop(state);
    let database = folder.join("state/state.db");
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.execute_batch(TO_1).unwrap();
    connection.execute_batch(LINKS_OF_1).unwrap();
    drop(connection);
    State::open(&folder.join("state")).unwrap()
}

#[test]
fn the_root_of_an_old_state_is_known_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let state = old_state(folder.path());
    let reader = state.reader().unwrap();
    let root = KnownDirectory {
        attributes: attributes(FileType::Directory, 10),
        mounted: Mounted::Unknown,
    };
    assert_eq!(reader.known_root().unwrap(), root);
    let children = reader.recorded_children(EntryId::ROOT, 9).unwrap();
    assert_eq!(children.len(), 5);
    let version: i64 = reader
        .query(|connection| connection.pragma_query_value(None, "user_version", |row| row.get(0)))
        .unwrap();
    assert_eq!(version, 1);
    state.upgrade(None, &[]).unwrap();
    assert_eq!(reader.known_root().unwrap(), root);
    assert_eq!(
        reader.recorded_children(EntryId::ROOT, 9).unwrap(),
        children
    );
}

#[test]
fn old_links_are_joined_on_the_root_s_file_system_only() {
    let folder = tempfile::tempdir().unwrap();
    let state = old_state(folder.path());
    state.upgrade(None, &[]).unwrap();
    // A second migration changes nothing.
    state.upgrade(None, &[]).unwrap();
    let link = |name, file_system, device, inode| NewEntry {
        link: Some(LinkKey {
            file_system,
            device,
            inode,
        }),
        ..entry(name, FileType::Regular)
    };
    let found = vec![
        link("f", EntryId::ROOT, 0, 5),
        link("g", EntryId::new(1004), 0, 6),
        link("h", EntryId::ROOT, 7, 6),
        link("i", EntryId::new(1004), 7, 6),
    ];
    state.record(&[chunk(1004, found, true)]).unwrap();
    let reader = state.reader().unwrap();
    let names = |owner| reader.link_parents(EntryId::new(owner)).unwrap().len();
    assert_eq!((names(1000), names(1002)), (3, 2));
    assert_eq!(reader.next_inodes(0, 99).unwrap().entries.len(), 5);
    assert_eq!(reader.totals().unwrap().get(Counter::UnlikeNames), 0);
}

#[test]
fn mounts_missing_from_an_old_state_stay_unrecorded() {
    let folder = tempfile::tempdir().unwrap();
    let state = old_state(folder.path());
    state.upgrade(None, &[]).unwrap();
    let found = vec![entry("f", FileType::Directory)];
    state.record(&[chunk(1004, found, true)]).unwrap();
    let reader = state.reader().unwrap();
    let mounted = |id| {
        let place = reader.directory_place(EntryId::new(id)).unwrap().unwrap();
        place.known.unwrap().mounted
    };
    assert_eq!(mounted(1004), Mounted::Unknown);
    assert_eq!(mounted(1005), Mounted::Nothing);
    let unlisted = reader.next_unlisted(0, 9, true).unwrap();
    assert_eq!(
        unlisted[0].place.known.as_ref().unwrap().mounted,
        Mounted::Nothing
    );
}

/// Columns and indexes of each table, whatever their order and default values.
fn schema_of(state: &State) -> Vec<(String, String)> {
    let reader = state.reader().unwrap();
    let query =
        "SELECT tables.name, columns.name || ' ' || columns.type || ' ' || \"notnull\" || ' ' || pk
         FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
         WHERE tables.type = 'table'
         UNION ALL
         SELECT indexes.name, columns.seqno || ' ' || columns.name
         FROM sqlite_schema AS indexes, pragma_index_info(indexes.name) AS columns
         WHERE indexes.type = 'index'
         ORDER BY 1, 2";
    reader
        .rows(query, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
}

#[test]
fn a_migrated_database_has_the_tables_of_a_new_one() {
    let folders = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let new = new_state(folders[0].path());
    let old = old_state(folders[1].path());
    assert_ne!(schema_of(&old), schema_of(&new));
    old.upgrade(None, &[]).unwrap();
    assert_eq!(schema_of(&old), schema_of(&new));
}

/// By their ctime further names are found that a later run records.
#[test]
fn old_links_get_the_ctime_of_their_own_entry() {
    let folder = tempfile::tempdir().unwrap();
    let state = old_state(folder.path());
    let database = Connection::open(folder.path().join("state/state.db")).unwrap();
    database
        .execute_batch("UPDATE entry SET ctime = id")
        .unwrap();
    state.upgrade(None, &[]).unwrap();
    let reader = state.reader().unwrap();
    let ctimes = reader.rows("SELECT owner, ctime FROM inode ORDER BY owner", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    });
    assert_eq!(ctimes.unwrap(), [(1000, 1000), (1002, 1002)]);
}
