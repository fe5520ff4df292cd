//! Where the checker reads blobs from.

use std::collections::HashMap;
use std::path::PathBuf;

/// The blobs of one container.
pub trait Blobs {
    /// Names of all blobs.
    fn names(&self) -> Vec<String>;
    /// The content of one.
    fn blob(&self, name: &str) -> Vec<u8>;
}

/// A folder with one file per blob. Files whose names start with `.` are ignored, as the folder
/// container ignores them.
#[derive(Debug)]
pub struct FolderBlobs(pub PathBuf);

impl Blobs for FolderBlobs {
    fn names(&self) -> Vec<String> {
        std::fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect()
    }

    fn blob(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }
}

impl Blobs for HashMap<String, Vec<u8>> {
    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }

    fn blob(&self, name: &str) -> Vec<u8> {
        self[name].clone()
    }
}

/// Any other place: the names as listed, and how to read one.
pub struct FromFn<F> {
    names: Vec<String>,
    read: F,
}

impl<F: Fn(&str) -> Vec<u8>> FromFn<F> {
    /// `read` is asked for names out of `names` only.
    pub fn new(names: Vec<String>, read: F) -> Self {
        FromFn { names, read }
    }
}

impl<F: Fn(&str) -> Vec<u8>> Blobs for FromFn<F> {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn blob(&self, name: &str) -> Vec<u8> {
        (self.read)(name)
    }
}
