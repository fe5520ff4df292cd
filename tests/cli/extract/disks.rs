//! Full disks, and several disks below the destination.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clfs_format::FileType;
use clfsload::extract::ExtractError;

use super::fixture::{Place, container, contents, file};
use crate::support::mounts;
use crate::support::synthetic::Builder;

/// A tmpfs. It is unmounted on drop.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, kib: u32) -> Self {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "disk"]);
        assert!(mount.arg(at).status().unwrap().success());
        Disk(at.to_path_buf())
    }

    fn grow(&self, kib: u32) {
        let options = format!("remount,size={kib}k");
        let mut mount = Command::new("mount");
        let grown = mount.args(["-o", &options]).arg(&self.0).status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
    }
}

#[test]
fn a_full_disk_ends_the_run_with_a_message() {
    if !mounts::possible() {
        return;
    }
    let mut build = Builder::new();
    let mut root = build.root();
    for number in 0..50 {
        file(
            &mut build,
            &mut root,
            &format!("{number:02}"),
            &[7; 100_000],
        );
    }
    build.finish_directory(&root);
    let sample = container(build.blobs);
    let place = Place::new();
    let disk = Disk::mount(&place.destination(), 2048);
    let done = place.extract(&sample);
    let error = done.end.unwrap_err();
    assert!(matches!(error, ExtractError::Local { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("No space left") && text.contains("free some space"),
        "{text}"
    );
    assert!(done.problems.is_empty(), "{:?}", done.problems);
    // Every file with its final name is complete.
    let found = contents(&place.destination());
    assert!(found.len() > 5 && found.len() < 50);
    for (name, content) in &found {
        assert_eq!(content.as_deref(), Some(&[7; 100_000][..]), "{name}");
    }
    disk.grow(20_480);
    let again = place.extract(&sample).with_problems(&[]);
    assert_eq!(again.summary.up_to_date, found.len() as u64);
    assert_eq!(contents(&place.destination()).len(), 50);
}

/// A hard link to another disk is not possible, so the file is downloaded again and counted.
#[test]
fn names_on_two_disks_are_copied() {
    if !mounts::possible() {
        return;
    }
    let mut build = Builder::new();
    let mut root = build.root();
    let mut here = build.directory(&mut root, "here");
    let mut there = build.directory(&mut root, "there");
    let linked = build.handle(here.handle, FileType::Regular);
    here.add("1", linked).add("2", linked);
    there.add("3", linked).add("4", linked);
    let back = [here.handle, here.handle, there.handle, there.handle];
    build.entity(linked, &back, "1", &[7; 50_000]);
    for directory in [&here, &there, &root] {
        build.finish_directory(directory);
    }
    let place = Place::new();
    let _disk = Disk::mount(&place.destination().join("there"), 2048);
    let done = place.extract(&container(build.blobs)).with_problems(&[]);
    let summary = done.summary;
    // Names are linked to the name before them, whose disk may vary. At best, one file per disk is written.
    assert!((2..=4).contains(&summary.files), "{summary:?}");
    assert_eq!(summary.files + summary.links, 4);
    assert_eq!(summary.copies, summary.files - 1);
    let found = contents(&place.destination());
    assert_eq!(found.len(), 6);
    for name in ["here/1", "here/2", "there/3", "there/4"] {
        assert_eq!(found[name], Some(vec![7; 50_000]), "{name}");
    }
}

/// Disks that are not flushed may lose files, so the record keeps its mark until all are flushed.
#[test]
fn files_on_disks_that_are_not_flushed_stay_in_doubt() {
    if !mounts::possible() {
        return;
    }
    let mut build = Builder::new();
    let mut root = build.root();
    let names: Vec<String> = (0..35).map(|number| format!("disk-{number}")).collect();
    for name in &names {
        let mut disk = build.directory(&mut root, name);
        file(&mut build, &mut disk, "file", b"content");
        build.finish_directory(&disk);
    }
    build.finish_directory(&root);
    let (place, sample) = (Place::new(), container(build.blobs));
    let mut disks: Vec<Disk> = names
        .iter()
        .map(|name| Disk::mount(&place.destination().join(name), 64))
        .collect();
    let marked = || {
        let record = rusqlite::Connection::open(place.path("record")).unwrap();
        let sql = "SELECT count(*) FROM about WHERE name = 'unstored'";
        record
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
            == 1
    };
    // The destination's disk is one of 32.
    let done = place.extract(&sample).with_problems(&[]);
    assert!(done.not_synced && marked());
    disks.truncate(32);
    assert!(place.extract(&sample).ended().not_synced && marked());
    disks.truncate(31);
    assert!(!place.extract(&sample).ended().not_synced && !marked());
}
