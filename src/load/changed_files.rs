//! The lists of files that changed while they were read and were stored all the same.
//!
//! In the state folder, `changed.txt` has one escaped path a line, and `changed0.txt` has raw paths, each
//! terminated by NUL, for `xargs -0`. Both are rewritten from the database at the end of each run, and
//! removed if there are no such files.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::LoadError;
use crate::entry::EntryId;
use crate::state::{Reader, State, StateError};
use crate::text::Escaped;

const TEXT: &str = "changed.txt";
const RAW: &str = "changed0.txt";
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
    if reader.changed_count()? == 0 {
        for name in [TEXT, RAW] {
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
    for (name, separator) in [(TEXT, b'\n'), (RAW, 0)] {
        let path = folder.join(name);
        let unfinished = folder.join(format!("{name}.unfinished"));
        let mut file = File::create(&unfinished)
            .map(BufWriter::new)
            .map_err(failed(&unfinished))?;
        each_path(&reader, |bytes| {
            match separator {
                0 => file.write_all(bytes)?,
                _ => write!(file, "{}", Escaped(bytes))?,
            }
            file.write_all(&[separator])
        })?
        .and_then(|()| file.flush())
        .and_then(|()| fs::rename(&unfinished, &path))
        .map_err(failed(&path))?;
    }
    Ok(())
}

/// Calls `visit` with each path of each such file, ordered by id, until it fails.
fn each_path(
    reader: &Reader,
    mut visit: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<io::Result<()>, StateError> {
    let mut after = EntryId::new(0);
    loop {
        let ids = reader.changed(after, PAGE)?;
        let Some(last) = ids.last() else {
            return Ok(Ok(()));
        };
        after = *last;
        for id in &ids {
            let mut paths = vec![reader.path(*id)?.join(&b'/')];
            for (parent, name) in reader.link_places(*id)? {
                let mut path = reader.path(parent)?;
                path.push(name);
                paths.push(path.join(&b'/'));
            }
            for path in &paths {
                if let Err(error) = visit(path) {
                    return Ok(Err(error));
                }
            }
        }
    }
}
