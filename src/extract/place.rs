//! Which folder a destination is, whatever path leads to it.

use std::path::{Path, PathBuf};

/// The path without symlinks; also of what is missing yet.
pub(crate) fn real_path(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return path.to_path_buf(),
    };
    let parent = parent.canonicalize();
    let parent = parent.unwrap_or_else(|_| PathBuf::from("."));
    match path.file_name() {
        Some(name) => parent.join(name),
        None => parent,
    }
}

/// The same as text, with escapes for what is no text.
pub(super) fn real_path_text(path: &Path) -> String {
    let real = real_path(path);
    real.as_os_str()
        .as_encoded_bytes()
        .escape_ascii()
        .to_string()
}
