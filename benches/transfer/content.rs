//! Generated file content, the same in every run.

/// A pseudo-random sequence (splitmix64) determined by its seed.
#[derive(Debug, Clone)]
pub(crate) struct Sequence(u64);

impl Sequence {
    pub(crate) fn new(seed: u64) -> Self {
        Sequence(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Returns a number in `from..=to`.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }
}

/// The kind of generated content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentKind {
    /// Lines of words and numbers, similar to logs and source code.
    Text,
    /// Incompressible bytes.
    Random,
}

const WORDS: [&str; 64] = [
    "the", "of", "request", "client", "server", "error", "cache", "volume", "segment", "index",
    "value", "return", "struct", "field", "status", "warning", "info", "node", "writer", "reader",
    "offset", "length", "buffer", "commit", "queue", "thread", "timer", "socket", "started",
    "stopped", "failed", "retry", "object", "bucket", "folder", "inode", "entry", "owner", "group",
    "mode", "time", "second", "minute", "version", "update", "select", "insert", "delete", "table",
    "row", "column", "page", "block", "number", "count", "total", "average", "first", "last",
    "next", "previous", "begin", "end", "while",
];

/// Appends `length` bytes to `to`.
pub(crate) fn fill(
    content_kind: ContentKind,
    sequence: &mut Sequence,
    length: usize,
    to: &mut Vec<u8>,
) {
    let end = to.len() + length;
    match content_kind {
        ContentKind::Random => {
            while to.len() < end {
                to.extend_from_slice(&sequence.next().to_le_bytes());
            }
        }
        ContentKind::Text => {
            while to.len() < end {
                text_line(sequence, to);
            }
        }
    }
    to.truncate(end);
}

/// Appends a line: a number of six digits and eight to eleven words.
fn text_line(sequence: &mut Sequence, to: &mut Vec<u8>) {
    let bits = sequence.next();
    let mut number = bits % 1_000_000;
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    to.extend_from_slice(&digits);
    let mut choice = sequence.next();
    for word in 0..8 + (bits >> 62) {
        if word == 8 {
            choice = bits >> 24;
        }
        to.push(b' ');
        let chosen = WORDS.get((choice % 64) as usize).copied();
        to.extend_from_slice(chosen.unwrap_or_default().as_bytes());
        choice >>= 6;
    }
    to.push(b'\n');
}
