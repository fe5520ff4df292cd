//! The sources of blobs for the checker.

use std::collections::HashMap;
use std::path::PathBuf;

/// The blobs of one container.
pub trait Blobs {
    /// Returns the names of all blobs.
    fn names(&self) -> Vec<String>;
    /// Returns the content of a blob.
    fn blob(&self, name: &str) -> Vec<u8>;
}

/// A folder with one file per blob. Files whose names start with `.` are ignored, as in a folder container.
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

/// Any other source: a list of names and a function that reads a blob.
pub struct FromFn<F> {
    names: Vec<String>,
    read: F,
}

impl<F: Fn(&str) -> Vec<u8>> FromFn<F> {
    /// Creates a source. `read` is called only with names from `names`.
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
