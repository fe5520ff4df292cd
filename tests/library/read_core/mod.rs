//! The reading core on containers in memory: the index of names, content of files, walks.

mod content;
mod fixture;
mod identity;
mod index;
mod unusual_listings;
mod walk;
