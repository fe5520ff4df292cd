//! `--dry-run`: its figures match the tree, its estimate matches a load, and it writes nothing.

mod arguments;
mod estimates;
mod figures;
mod problems;
mod surveyed;
