//! Text for people: untrusted paths on one line, and formatted figures.

mod escape;
mod hex;
pub(crate) mod human;

pub use escape::Escaped;
pub(crate) use escape::{below_source, is_hidden};
pub(crate) use hex::{Hex, hex_unless_text, write_escaped};
