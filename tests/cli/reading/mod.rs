//! The commands ls, stat, cat, du and find, run as users run them.

mod archived;
mod arguments;
mod cat;
mod damage;
mod documentation;
mod golden;
mod listing;
mod names;
mod one_blob;
mod requests;
mod searching;
mod swapped;
