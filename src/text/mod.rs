//! Text for people: untrusted paths on one line, and formatted figures.

mod escape;
pub(crate) mod human;

pub use escape::Escaped;
pub(crate) use escape::{below_source, is_hidden};
