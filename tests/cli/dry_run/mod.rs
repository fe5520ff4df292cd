//! `--dry-run`: its figures are those of the tree, its estimate is what a load then takes, and it
//! writes nothing.

mod estimates;
mod figures;
mod problems;
mod surveyed;
mod words;
