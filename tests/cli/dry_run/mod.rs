//! `--dry-run`: its figures agree with the tree, its estimate agrees with a load, and it writes
//! nothing.

mod estimates;
mod figures;
mod problems;
mod surveyed;
mod arguments;
