//! The lines of `ls -l`.

use clfs_format::{FileType, Timestamp};

use super::printer::Printer;
use super::record::{rfc3339, system_time};
use crate::read::Entity;

/// The format of a line of `ls -l`.
#[derive(Debug, Clone, Copy)]
pub(super) struct LongStyle {
    /// Whether times have nanoseconds.
    pub(super) full_time: bool,
    /// Whether sizes are shown as 1.5K.
    pub(super) human: bool,
}

/// Appends mode, links, owner, group, size or device numbers, and time. Widths do not depend on other lines, because a
/// directory may have millions of entries, and each line is printed immediately.
pub(super) fn append(line: &mut Vec<u8>, entity: &Entity, style: LongStyle) {
    let attributes = &entity.attributes;
    let size = match entity.file_type {
        FileType::Block | FileType::Character => {
            format!("{}, {}", attributes.major, attributes.minor)
        }
        _ if style.human => super::size::human(attributes.size),
        _ => attributes.size.to_string(),
    };
    let columns = format!(
        "{} {:>3} {:>5} {:>5} {size:>12} {} ",
        mode_text(entity.file_type, attributes.mode),
        attributes.nlink,
        attributes.uid,
        attributes.gid,
        time(attributes.mtime, style.full_time),
    );
    line.extend_from_slice(columns.as_bytes());
}

/// Appends the same columns for an entry whose inode could not be read.
pub(super) fn append_unknown(line: &mut Vec<u8>, file_type: FileType, style: LongStyle) {
    let time_width = time(Timestamp::MIN, style.full_time).len();
    let columns = format!(
        "{}????????? {:>3} {:>5} {:>5} {:>12} {:>time_width$} ",
        type_letter(file_type),
        "?",
        "?",
        "?",
        "?",
        "?",
    );
    line.extend_from_slice(columns.as_bytes());
}

/// Appends ` -> target` for a symlink.
pub(super) fn append_target(line: &mut Vec<u8>, entity: &Entity, printer: &Printer) {
    if let Some(target) = entity.target() {
        line.extend_from_slice(b" -> ");
        printer.append(line, target);
    }
}

fn time(time: Timestamp, full: bool) -> String {
    match full {
        true => rfc3339(time),
        false => humantime::format_rfc3339_seconds(system_time(time)).to_string(),
    }
}

fn type_letter(file_type: FileType) -> char {
    match file_type {
        FileType::Regular => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Block => 'b',
        FileType::Character => 'c',
        FileType::Socket => 's',
        FileType::Fifo => 'p',
    }
}

/// `drwxr-xr-x`. The type is that of the object; the type bits of the mode may differ from it, and stat prints them.
pub(super) fn mode_text(file_type: FileType, mode: u16) -> String {
    let mut text = String::from(type_letter(file_type));
    // For owner, group and others: the shift of the three bits, and the bit and letters that replace x: set-user-ID,
    // set-group-ID, sticky.
    for (shift, special, without_x, with_x) in [
        (6, 0o4000, 'S', 's'),
        (3, 0o2000, 'S', 's'),
        (0, 0o1000, 'T', 't'),
    ] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => with_x,
            (true, false) => without_x,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_look_as_ls_shows_them() {
        for (file_type, mode, text) in [
            (FileType::Regular, 0o100644, "-rw-r--r--"),
            (FileType::Directory, 0o041777, "drwxrwxrwt"),
            (FileType::Regular, 0o106755, "-rwsr-sr-x"),
            (FileType::Regular, 0o107000, "---S--S--T"),
            (FileType::Symlink, 0o120777, "lrwxrwxrwx"),
            (FileType::Fifo, 0o010000, "p---------"),
        ] {
            assert_eq!(mode_text(file_type, mode), text);
        }
    }

    #[test]
    fn an_unread_inode_keeps_the_columns() {
        for full_time in [false, true] {
            let style = LongStyle {
                full_time,
                human: false,
            };
            let mut line = Vec::new();
            append_unknown(&mut line, FileType::Directory, style);
            assert!(line.starts_with(b"d????????? "));
            let time = time(Timestamp::MIN, full_time);
            assert_eq!(line.len(), 10 + 4 + 6 + 6 + 13 + 1 + time.len() + 1);
        }
    }
}
