//! The lists of failed entries.
//!
//! In the state folder, `problems.txt` has one escaped path a line, with a note on a missing subtree in
//! brackets; `problems0.txt` has raw paths, each terminated by NUL, for `xargs -0`; `problems.json` has one
//! object a line. All are rewritten from the database at the end of each run, and removed if no entry failed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::LoadError;
use crate::entry::EntryId;
use crate::state::{State, StoredProblem, Subtree};
use crate::text::Escaped;

const TEXT: &str = "problems.txt";
const RAW: &str = "problems0.txt";
const JSON: &str = "problems.json";
const PAGE: u32 = 1024;

/// Writes the lists.
pub(super) fn write(state: &State) -> Result<(), LoadError> {
    let reader = state.reader()?;
    let folder = state.folder();
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| LoadError::Io {
            action: "write",
            path,
            source,
        }
    };
    if reader.problem_count()? == 0 {
        for name in [TEXT, RAW, JSON] {
            let path = folder.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&path)(error));
                }
                _ => {}
            }
        }
        return Ok(());
    }
    let mut lists = Lists::create(folder).map_err(failed(folder))?;
    let mut after = EntryId::new(0);
    loop {
        let problems = reader.problems(after, PAGE)?;
        let Some(last) = problems.last() else { break };
        after = last.id;
        for problem in &problems {
            let path = reader.path(problem.id)?.join(&b'/');
            lists.add(&path, problem).map_err(failed(folder))?;
            // An inode that failed is missing under all its names.
            for (parent, name) in reader.link_places(problem.id)? {
                let mut path = reader.path(parent)?;
                path.push(name);
                let path = path.join(&b'/');
                lists.add(&path, problem).map_err(failed(folder))?;
            }
        }
    }
    lists.publish(folder).map_err(failed(folder))
}

/// The three files, under temporary names until they are complete.
struct Lists {
    text: BufWriter<File>,
    raw: BufWriter<File>,
    json: BufWriter<File>,
}

fn unfinished(name: &str) -> String {
    format!("{name}.unfinished")
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

impl Lists {
    fn create(folder: &Path) -> io::Result<Self> {
        let create = |name| File::create(folder.join(unfinished(name))).map(BufWriter::new);
        Ok(Lists {
            text: create(TEXT)?,
            raw: create(RAW)?,
            json: create(JSON)?,
        })
    }

    fn add(&mut self, path: &[u8], stored: &StoredProblem) -> io::Result<()> {
        // The path of the root is empty; "." stands for it.
        let shown = if path.is_empty() { b"." } else { path };
        match stored.subtree {
            None => writeln!(self.text, "{}", Escaped(shown))?,
            Some(subtree) => writeln!(self.text, "{} ({subtree})", Escaped(shown))?,
        }
        self.raw.write_all(shown)?;
        self.raw.write_all(&[0])?;
        let line = JsonProblem {
            path: Escaped(shown).to_string(),
            path_hex: shown.iter().map(|byte| format!("{byte:02x}")).collect(),
            reason: stored.problem.reason.code(),
            message: stored.problem.to_string(),
            errno: stored.problem.errno,
            attempt: stored.attempt,
            subtree: stored.subtree.map(Subtree::code),
        };
        serde_json::to_writer(&mut self.json, &line)?;
        writeln!(self.json)
    }

    fn publish(self, folder: &Path) -> io::Result<()> {
        for (mut file, name) in [(self.text, TEXT), (self.raw, RAW), (self.json, JSON)] {
            file.flush()?;
            fs::rename(folder.join(unfinished(name)), folder.join(name))?;
        }
        Ok(())
    }
}
