//! Every upload that the state records is in the container. A state older than the container, as after a power loss
//! that lost the last commits, does no harm.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use clfs_format::{FileType, Filehandle, ObjectName, ObjectType, file_segment_count};
use clfsload::container::BlobName;
use clfsload::entry::{Entry, EntryId};
use clfsload::identity::Identity;
use clfsload::load::encode::entity_name;
use clfsload::state::{Pass, Reader, State};
use rustix::process::{Pid, Signal, kill_process};

use super::transfer::Undisturbed;
use crate::support::command::{CommandOutput, clfsload};

/// Crashes right after commits, and checks that every object of every settled entry exists.
#[test]
fn a_stored_outcome_is_never_ahead_of_its_upload() {
    let undisturbed = Undisturbed::shared();
    let mut settled = 0;
    for visit in 1..=8 {
        let transfer = undisturbed.transfer(format!("ahead-{visit}"));
        if !transfer.crashes_at(&format!("SettleCommitted:{visit}")) {
            assert!(visit > 3, "each of three passes settles");
            break;
        }
        let state = State::open(&transfer.state()).unwrap();
        let check = SettledObjects {
            identity: Identity::new(state.settings().unwrap().seed),
            reader: state.reader().unwrap(),
            container: transfer.container(),
        };
        let [files, links, directories] =
            [Pass::Files, Pass::Links, Pass::Directories].map(|pass| check.count(pass));
        println!(
            "commit {visit}: {files} files, {links} inodes, {directories} directories settled"
        );
        settled += files + links + directories;
        drop((check, state));
        transfer.finish();
    }
    assert!(settled > 3000, "{settled}: too few to mean anything");
}

struct SettledObjects {
    identity: Identity,
    reader: Reader,
    container: std::path::PathBuf,
}

impl SettledObjects {
    /// Counts the settled entries of the pass, and asserts that each of their objects exists.
    fn count(&self, pass: Pass) -> usize {
        let progress = self.reader.progress(pass).unwrap();
        let batch = match pass {
            Pass::Files => self.reader.next_files(0, u32::MAX),
            Pass::Links => self.reader.next_inodes(0, u32::MAX),
            _ => self.reader.next_directories(0, u32::MAX),
        };
        let settled = |entry: &Entry| {
            entry.id.get() <= progress.cursor && !progress.outstanding.contains(&entry.id)
        };
        let entries = batch.unwrap().entries;
        entries
            .iter()
            .filter(|entry| settled(entry))
            .map(|entry| self.assert_there(entry))
            .count()
    }

    fn assert_there(&self, entry: &Entry) {
        let file_type = entry.attributes.file_type;
        let handle = self.identity.filehandle(entry.id, entry.parent, file_type);
        let parent = match entry.parent {
            EntryId::ROOT => Filehandle::ROOT,
            id => {
                let (parent, _) = self.reader.place(id).unwrap().unwrap();
                self.identity.filehandle(id, parent, FileType::Directory)
            }
        };
        let mut names = vec![entity_name(handle, file_type, parent)];
        if file_type == FileType::Regular {
            for block in 1..=file_segment_count(entry.attributes.size) {
                let id = self.identity.segment(entry.id, block);
                names.push(ObjectName::block(id, ObjectType::Segment, handle));
            }
        }
        for name in names {
            let name = BlobName::from(&name);
            let there = self.container.join(name.as_str()).exists();
            assert!(there, "{name} of entry {} is settled, not there", entry.id);
        }
    }
}

/// A copy of the state, taken during the run, is resumed with the completed container.
#[test]
fn a_state_older_than_the_container_produces_the_same_container() {
    let undisturbed = Undisturbed::shared();
    for share in [0.1, 0.3, 0.5, 0.7, 0.9, 1.1] {
        let name = format!("older-{share}");
        let transfer = undisturbed.transfer(&name);
        let mut child = transfer.command().stdout(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        while !transfer.state().join("output.txt").exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(undisturbed.took.mul_f64(share));
        kill_process(pid, Signal::STOP).unwrap();
        let copy = undisturbed.scratch.path(&format!("copy-{share}"));
        fs::create_dir(&copy).unwrap();
        let mut bytes = 0;
        // The shared memory file is not copied: SQLite rebuilds it from the log.
        for file in ["state.db", "state.db-wal"] {
            let from = transfer.state().join(file);
            if from.exists() {
                bytes += fs::copy(from, copy.join(file)).unwrap();
            }
        }
        kill_process(pid, Signal::CONT).unwrap();
        assert!(child.wait().unwrap().success());
        transfer.assert_undisturbed();
        let mut arguments = transfer.arguments();
        arguments[0] = copy.display().to_string();
        let ran = CommandOutput::from(clfsload().args(arguments).output().unwrap()).expect(0);
        let already_finished = ran.stdout.contains("already finished");
        println!(
            "a copy of {bytes} bytes after {share} of the time: already finished: {already_finished}"
        );
        transfer.assert_undisturbed();
        fs::remove_dir_all(copy).unwrap();
    }
}
