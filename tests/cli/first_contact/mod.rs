//! What meets somebody who has not used the command before: what it tells of itself, and what it says to
//! words that are nearly right.

mod examples;
mod mistakes;
mod pages;
