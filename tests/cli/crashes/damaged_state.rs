//! Damaged, foreign or newer states: each causes a clear message and an exit status, and the transfer in the state
//! is not overwritten.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use rusqlite::Connection;

use super::transfer::{Transfer, Undisturbed};
use crate::support::command::{CommandOutput, blobs, clfsload};
use crate::support::skip::skip;
use crate::support::tree::is_superuser;

type Damage = fn(&Path);
type Files = BTreeMap<String, Vec<u8>>;

/// The damage to the state folder, the exit status of a resume, and a part of its message.
const CASES: [(&str, Damage, i32, &str); 12] = [
    ("cut in half", |state| cut(state, 2), 1, "is damaged ("),
    (
        "cut in its first page",
        |state| cut(state, 200),
        1,
        "is damaged (",
    ),
    (
        "empty",
        |state| fs::write(database(state), "").unwrap(),
        1,
        "is damaged (",
    ),
    ("zeros", |state| overwrite(state, |_| 0), 1, "is damaged ("),
    (
        "garbage",
        |state| overwrite(state, |at| (at * 7 % 251) as u8),
        1,
        "is damaged (",
    ),
    (
        "schema lost",
        |state| alter(state, "DROP TABLE entry"),
        1,
        "is damaged (",
    ),
    (
        "settings lost",
        |state| alter(state, "DELETE FROM setting"),
        1,
        "is damaged (",
    ),
    (
        "newer",
        |state| alter(state, "PRAGMA user_version = 99"),
        1,
        "has schema 99, this clfsload supports up to 2",
    ),
    (
        "foreign",
        foreign,
        1,
        "is damaged (it is not a clfsload database)",
    ),
    ("a folder", a_folder, 1, "state.db"),
    ("log lost", log_lost, 1, "is not empty"),
    (
        "remove_database",
        remove_database,
        2,
        "holds no transfer to resume",
    ),
];

/// A resume and --new refuse damaged states. The state folder and the container do not change.
#[test]
fn a_damaged_state_is_refused_and_not_changed() {
    let undisturbed = Undisturbed::shared();
    let transfer = undisturbed.transfer("damaged");
    assert!(transfer.crashes_at("AfterPut:1500"));
    let crashed = files(&transfer.state());
    assert!(!crashed["state.db-wal"].is_empty());
    let container = blobs(&transfer.container());
    for (what, damage, status, message) in CASES {
        restore(&transfer.state(), &crashed);
        damage(&transfer.state());
        let damaged = files(&transfer.state());
        let ran = transfer.resume();
        let context = format!("{what}: {ran:#?}");
        assert_eq!(ran.status, status, "{context}");
        assert!(ran.stderr.contains(message), "{context}");
        assert!(!ran.stderr.contains("panicked"), "{context}");
        assert_eq!(ran.stderr.lines().count(), 1, "{context}");
        // Where no transfer is found any more, the container is still not empty.
        let refusal = match what {
            "remove_database" => (1, "is not empty"),
            _ => (2, "already holds a transfer"),
        };
        transfer.start().refused(refusal.0, refusal.1);
        assert!(
            damaged == files(&transfer.state()),
            "{what}: the state was changed"
        );
        assert!(
            container == blobs(&transfer.container()),
            "{what}: the container was changed"
        );
    }
    restore(&transfer.state(), &crashed);
    transfer.finish();
}

/// A state that a crash left incomplete is not a transfer.
#[test]
fn a_new_transfer_replaces_an_incomplete_state_folder() {
    let undisturbed = Undisturbed::shared();
    let transfer = undisturbed.transfer("half-written");
    assert!(transfer.crashes_at("StateUnpublished"));
    transfer.resume().refused(2, "holds no transfer to resume");
    for leftover in [
        "state.db.unfinished",
        "state.db.unfinished-journal",
        "output.txt",
    ] {
        fs::write(transfer.state().join(leftover), "half").unwrap();
    }
    transfer.finish();
}

/// A folder that this user may not write to.
#[test]
fn a_read_only_state_is_refused() {
    let undisturbed = Undisturbed::shared();
    let transfer = undisturbed.transfer("read-only");
    assert!(transfer.crashes_at("AfterPut:1500"));
    let container = blobs(&transfer.container());
    let mut command = transfer.resume_command();
    if is_superuser() {
        // Root ignores permissions, so another user runs the command.
        let open = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap()
        };
        open(transfer.state().parent().unwrap(), 0o755);
        open(&transfer.state(), 0o755);
        for item in fs::read_dir(transfer.state()).unwrap() {
            open(&item.unwrap().path(), 0o644);
        }
        let reachable = clfsload().uid(65_534).arg("--version").output();
        if !reachable.is_ok_and(|output| output.status.success()) {
            return skip("another user cannot run the command");
        }
        command.uid(65_534);
    } else {
        fs::set_permissions(transfer.state(), fs::Permissions::from_mode(0o500)).unwrap();
        fs::set_permissions(
            transfer.state().join("lock"),
            fs::Permissions::from_mode(0o400),
        )
        .unwrap();
    }
    let ran = CommandOutput::from(command.output().unwrap()).refused(1, "Permission denied");
    assert!(ran.stderr.contains("lock"), "{ran:#?}");
    fs::set_permissions(transfer.state(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(
        transfer.state().join("lock"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    assert!(container == blobs(&transfer.container()));
    transfer.finish();
}

fn database(state: &Path) -> std::path::PathBuf {
    state.join("state.db")
}

/// Moves the content of the write-ahead log into the database, as a normal exit does.
fn settle(state: &Path) {
    let connection = Connection::open(database(state)).unwrap();
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    connection.close().unwrap();
    fs::write(state.join("lock"), "").unwrap();
}

fn cut(state: &Path, share: u64) {
    settle(state);
    let file = fs::File::options()
        .write(true)
        .open(database(state))
        .unwrap();
    file.set_len(file.metadata().unwrap().len() / share)
        .unwrap();
}

fn overwrite(state: &Path, byte: impl Fn(usize) -> u8) {
    settle(state);
    let length = fs::metadata(database(state)).unwrap().len() as usize;
    fs::write(database(state), (0..length).map(byte).collect::<Vec<_>>()).unwrap();
}

fn alter(state: &Path, statement: &str) {
    let connection = Connection::open(database(state)).unwrap();
    connection.execute_batch(statement).unwrap();
    connection.close().unwrap();
    settle(state);
}

fn foreign(state: &Path) {
    remove_database(state);
    let connection = Connection::open(database(state)).unwrap();
    connection
        .execute_batch("CREATE TABLE recipe (name TEXT)")
        .unwrap();
}

fn a_folder(state: &Path) {
    remove_database(state);
    fs::create_dir(database(state)).unwrap();
}

fn log_lost(state: &Path) {
    fs::remove_file(state.join("state.db-wal")).unwrap();
    drop(fs::remove_file(state.join("state.db-shm")));
}

fn remove_database(state: &Path) {
    for item in fs::read_dir(state).unwrap() {
        let item = item.unwrap();
        if item.file_name().to_string_lossy().starts_with("state.db") {
            fs::remove_file(item.path()).unwrap();
        }
    }
    fs::write(state.join("notes"), "of someone else").unwrap();
}

/// Returns the files of a state folder except the shared memory file, which any reader creates.
fn files(state: &Path) -> Files {
    fs::read_dir(state)
        .unwrap()
        .map(|item| item.unwrap())
        .filter(|item| item.file_type().unwrap().is_file())
        .map(|item| (item.file_name().into_string().unwrap(), item.path()))
        .filter(|(name, _)| !name.ends_with("-shm"))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect()
}

fn restore(state: &Path, files: &Files) {
    fs::remove_dir_all(state).unwrap();
    fs::create_dir(state).unwrap();
    for (name, content) in files {
        fs::write(state.join(name), content).unwrap();
    }
}

impl Transfer<'_> {
    fn resume_command(&self) -> std::process::Command {
        let mut command = clfsload();
        command.args(self.arguments());
        command
    }

    fn resume(&self) -> CommandOutput {
        CommandOutput::from(self.resume_command().output().unwrap())
    }

    fn start(&self) -> CommandOutput {
        CommandOutput::from(self.resume_command().arg("--new").output().unwrap())
    }
}
