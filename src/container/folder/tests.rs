#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

fn opened() -> (tempfile::TempDir, Folder) {
    let parent = tempfile::tempdir().unwrap();
    let folder = Folder::open(parent.path(), false).unwrap();
    (parent, folder)
}

fn blob(name: &str) -> BlobName {
    BlobName::new(name).unwrap()
}

fn files(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

async fn listed(folder: &Folder) -> Vec<String> {
    let page = folder.list("", None, 1000).await.unwrap();
    assert!(page.next.is_none());
    page.blobs.into_iter().map(|blob| blob.name).collect()
}

#[tokio::test]
async fn puts_leave_only_the_blobs() {
    let (path, folder) = opened();
    let names: Vec<BlobName> = (0..40).map(|i| blob(&format!("blob-{i:02}"))).collect();
    let puts = names
        .iter()
        .map(|name| folder.put(name, PutBody::object("content")));
    for outcome in futures::future::join_all(puts).await {
        outcome.unwrap();
    }
    let names: Vec<&str> = names.iter().map(BlobName::as_str).collect();
    assert_eq!(files(path.path()), names);
    assert!(folder.locks.lock().is_empty());
}

#[tokio::test]
async fn temporary_files_of_a_crash_are_hidden_and_replaced() {
    let (path, folder) = opened();
    fs::write(path.path().join(".tmp-blob"), "half of a longer content").unwrap();
    fs::write(path.path().join(".tmp-other"), "half").unwrap();
    assert!(listed(&folder).await.is_empty());
    assert_eq!(
        folder
            .get(&blob("blob"), MAX_BLOB_BYTES)
            .await
            .unwrap_err()
            .kind(),
        &ContainerErrorKind::BlobMissing
    );
    folder
        .put(&blob("blob"), PutBody::object("whole"))
        .await
        .unwrap();
    assert_eq!(
        folder.get(&blob("blob"), MAX_BLOB_BYTES).await.unwrap(),
        "whole"
    );
    assert_eq!(listed(&folder).await, ["blob"]);
    assert_eq!(files(path.path()), [".tmp-other", "blob"]);
}

#[tokio::test]
async fn foreign_symlinks_are_not_followed() {
    let (path, folder) = opened();
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "outside").unwrap();
    for name in [".tmp-blob", "blob", "link"] {
        symlink(outside.path(), path.path().join(name)).unwrap();
    }
    assert!(listed(&folder).await.is_empty());
    let error = folder.get(&blob("link"), MAX_BLOB_BYTES).await.unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
    folder
        .put(&blob("blob"), PutBody::object("inside"))
        .await
        .unwrap();
    assert_eq!(
        folder.get(&blob("blob"), MAX_BLOB_BYTES).await.unwrap(),
        "inside"
    );
    assert_eq!(fs::read_to_string(outside.path()).unwrap(), "outside");
}

#[tokio::test]
async fn other_types_of_files_are_not_blobs() {
    let (path, folder) = opened();
    fs::create_dir(path.path().join("folder")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path.path().join("fifo"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert!(listed(&folder).await.is_empty());
    for name in ["folder", "fifo"] {
        let error = folder.get(&blob(name), MAX_BLOB_BYTES).await.unwrap_err();
        assert_eq!(error.kind(), &ContainerErrorKind::Io, "{error}");
    }
    let error = folder
        .put(&blob("folder"), PutBody::object("x"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &ContainerErrorKind::Io, "{error}");
    assert_eq!(files(path.path()), ["fifo", "folder"]);
}

#[tokio::test]
async fn names_that_are_not_utf8_are_listed_once() {
    use std::os::unix::ffi::OsStrExt;
    let (path, folder) = opened();
    for name in [&b"a\xff"[..], b"b\xfe", b"c"] {
        fs::write(path.path().join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
    }
    let mut names = Vec::new();
    let mut from = None;
    loop {
        let page = folder.list("", from, 1).await.unwrap();
        names.extend(page.blobs.into_iter().map(|blob| blob.name));
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    assert_eq!(names, ["a\u{fffd}", "b\u{fffd}", "c"]);
}

#[tokio::test]
async fn a_cancelled_put_releases_its_name() {
    let (_path, folder) = opened();
    let name = blob("blob");
    for _ in 0..20 {
        let put = folder.put(&name, PutBody::object(vec![1; 1 << 20]));
        let _ = tokio::time::timeout(std::time::Duration::from_micros(200), put).await;
    }
    folder
        .put(&blob("blob"), PutBody::object("last"))
        .await
        .unwrap();
    assert_eq!(
        folder.get(&blob("blob"), MAX_BLOB_BYTES).await.unwrap(),
        "last"
    );
}

#[tokio::test]
async fn a_full_disk_has_its_own_error_kind() {
    let (path, folder) = opened();
    // Writing to this device fails like writing to a full disk.
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let errno = rustix::io::write(&full, b"x").unwrap_err();
    let error = folder.error(errno, Operation::Put, Some(&blob("blob")));
    assert_eq!(error.kind(), &ContainerErrorKind::DiskFull);
    assert!(!error.is_transient());
    let text = error.to_string();
    assert!(text.contains(&path.path().display().to_string()), "{text}");
    assert!(text.contains("no space is left"), "{text}");
}

#[test]
fn a_folder_is_created_only_on_request() {
    let parent = tempfile::tempdir().unwrap();
    // Its parents are not created: they would be in the place of a disk that is not mounted.
    for (path, create) in [("a/b", true), ("a/b", false), ("a", false)] {
        let error = Folder::open(&parent.path().join(path), create).unwrap_err();
        assert_eq!(error.kind(), &ContainerErrorKind::ContainerMissing);
        assert!(!parent.path().join("a").exists());
    }
    let path = parent.path().join("a");
    Folder::open(&path, true).unwrap();
    Folder::open(&path, true).unwrap();
    fs::write(parent.path().join("file"), "").unwrap();
    for name in ["file", "file/below"] {
        let error = Folder::open(&parent.path().join(name), true).unwrap_err();
        assert_eq!(error.kind(), &ContainerErrorKind::Io, "{error}");
    }
    symlink("nowhere", parent.path().join("dangling")).unwrap();
    Folder::open(&parent.path().join("dangling/below"), true).unwrap_err();
}
