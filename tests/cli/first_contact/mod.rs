//! The first steps of a new user: help, version and manual, and messages for slightly wrong arguments.

mod examples;
mod mistakes;
mod pages;
