//! Lists of entries in the state folder: those that failed, and those that changed while they were read and were
//! stored all the same.
//!
//! A list is several files: `problems.txt` and `changed.txt` have one escaped path a line, `problems0.txt` and
//! `changed0.txt` have raw paths, each terminated by NUL, for `xargs -0`; `problems.json` has one object a line.
//! All are rewritten from the database at the end of each run, and removed if there is nothing to list.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::LoadError;
use crate::entry::EntryId;
use crate::state::{Reader, State, StateError, StoredProblem, Subtree};
use crate::text::{Escaped, Hex, below_source};

/// Rows in one query.
const PAGE: u32 = 1024;

/// How an entry is written to one of the files, with its path.
type Format<T> = fn(&mut BufWriter<File>, &[u8], &T) -> io::Result<()>;

/// Writes the lists of failed entries.
pub(super) fn write_problems(state: &State) -> Result<(), LoadError> {
    let files: [(&str, Format<StoredProblem>); 3] = [
        ("problems.txt", |file, path, stored| match stored.subtree {
            None => writeln!(file, "{}", Escaped(path)),
            // What is missing besides the entry.
            Some(subtree) => writeln!(file, "{} ({subtree})", Escaped(path)),
        }),
        ("problems0.txt", |file, path, _| write_raw(file, path)),
        ("problems.json", write_json),
    ];
    let page = |reader: &Reader, after| reader.problems(after, PAGE);
    write(state, &files, page, |problem| problem.id)
}

/// Writes the lists of files that changed while they were read.
pub(super) fn write_changed(state: &State) -> Result<(), LoadError> {
    let files: [(&str, Format<EntryId>); 2] = [
        ("changed.txt", |file, path, _| {
            writeln!(file, "{}", Escaped(path))
        }),
        ("changed0.txt", |file, path, _| write_raw(file, path)),
    ];
    let page = |reader: &Reader, after| reader.changed(after, PAGE);
    write(state, &files, page, |id| *id)
}

/// Writes each entry of each page to all files. The files have temporary names until they are complete.
fn write<T>(
    state: &State,
    files: &[(&str, Format<T>)],
    page: impl Fn(&Reader, EntryId) -> Result<Vec<T>, StateError>,
    id: impl Fn(&T) -> EntryId,
) -> Result<(), LoadError> {
    let reader = state.reader()?;
    let folder = state.folder();
    let failed = |path: &Path, source| LoadError::Io {
        action: "write",
        path: path.to_path_buf(),
        source,
    };
    let mut entries = page(&reader, EntryId::new(0))?;
    if entries.is_empty() {
        for (name, _) in files {
            let path = folder.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&path, error));
                }
                _ => {}
            }
        }
        return Ok(());
    }
    let mut unfinished = Vec::new();
    for (name, format) in files {
        let path = folder.join(format!("{name}.unfinished"));
        let file = File::create(&path).map_err(|error| failed(&path, error))?;
        unfinished.push((folder.join(name), path, BufWriter::new(file), format));
    }
    while let Some(last) = entries.last().map(&id) {
        for entry in &entries {
            // An inode is listed under all its names.
            for path in reader.paths(id(entry))? {
                for (_, unfinished, file, format) in &mut unfinished {
                    format(file, below_source(&path), entry)
                        .map_err(|error| failed(unfinished, error))?;
                }
            }
        }
        entries = page(&reader, last)?;
    }
    for (path, unfinished, mut file, _) in unfinished {
        file.flush()
            .and_then(|()| fs::rename(&unfinished, &path))
            .map_err(|error| failed(&unfinished, error))?;
    }
    Ok(())
}

fn write_raw(file: &mut BufWriter<File>, path: &[u8]) -> io::Result<()> {
    file.write_all(path)?;
    file.write_all(&[0])
}

#[derive(serde::Serialize)]
struct JsonProblem<'a> {
    path: String,
    path_hex: String,
    reason: &'a str,
    message: String,
    errno: Option<i32>,
    attempt: u32,
    /// What is missing besides the entry.
    subtree: Option<&'a str>,
}

fn write_json(file: &mut BufWriter<File>, path: &[u8], stored: &StoredProblem) -> io::Result<()> {
    let line = JsonProblem {
        path: Escaped(path).to_string(),
        path_hex: Hex(path).to_string(),
        reason: stored.problem.reason.code(),
        message: stored.problem.to_string(),
        errno: stored.problem.errno,
        attempt: stored.attempt,
        subtree: stored.subtree.map(Subtree::code),
    };
    serde_json::to_writer(&mut *file, &line)?;
    writeln!(file)
}
