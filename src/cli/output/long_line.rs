//! The lines of `ls -l`, and sizes as in du(1).

use clfs_format::{FileType, Timestamp};

use super::record::{rfc3339, system_time};
use crate::cli::args::values::SUFFIXES;
use crate::read::Entity;

/// The format of a line of `ls -l`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LongStyle {
    /// Whether times have nanoseconds.
    pub(crate) full_time: bool,
    /// Whether sizes are shown as 1.5K.
    pub(crate) human: bool,
}

/// Appends mode, links, owner, group, size or device numbers, and time. Widths do not depend on other lines, because a
/// directory may have millions of entries, and each line is printed immediately.
pub(crate) fn append(line: &mut Vec<u8>, entity: &Entity, style: LongStyle) {
    let attributes = &entity.attributes;
    let size = match entity.file_type {
        FileType::Block | FileType::Character => {
            format!("{}, {}", attributes.major, attributes.minor)
        }
        _ if style.human => short_size(attributes.size),
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
pub(crate) fn append_unknown(line: &mut Vec<u8>, file_type: FileType, style: LongStyle) {
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

/// Formats a mode as `drwxr-xr-x`. The type is that of the object; the type bits of the mode may differ from it,
/// and stat prints them.
pub(crate) fn mode_text(file_type: FileType, mode: u16) -> String {
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

/// Formats a size as `999`, `1.5K`, `20M`: rounded up, as du(1) does, so that a size never appears smaller than
/// it is.
pub(crate) fn short_size(bytes: u64) -> String {
    let mut unit = 1u64;
    let mut shown = None;
    for suffix in SUFFIXES.chars() {
        let fits = match unit {
            1 => bytes < 1024,
            // 1023.1 of a unit is rounded up to 1024.
            unit => bytes.div_ceil(unit) < 1024,
        };
        if fits {
            break;
        }
        unit = unit.saturating_mul(1024);
        shown = Some(suffix);
    }
    let Some(suffix) = shown else {
        return bytes.to_string();
    };
    // 16 EiB times 10 exceeds 64 bits.
    let tenths = (u128::from(bytes) * 10).div_ceil(u128::from(unit));
    match tenths < 100 {
        true => format!("{}.{}{suffix}", tenths / 10, tenths % 10),
        false => format!("{}{suffix}", bytes.div_ceil(unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_as_du_shows_them() {
        for (bytes, shown) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (1025, "1.1K"),
            (10239, "10K"),
            (10 << 10, "10K"),
            ((10 << 10) + 1, "11K"),
            ((1023 << 10) + 1, "1.0M"),
            (1 << 20, "1.0M"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(short_size(bytes), shown, "{bytes}");
        }
    }

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
