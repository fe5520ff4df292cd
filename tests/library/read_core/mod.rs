//! The reading core: the index of names, content of files, walks; on containers in memory.

mod awkward;
mod content;
mod fixture;
mod identity;
mod index;
mod walk;
