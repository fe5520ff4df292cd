//! What shows only when the objects of a container are held against each other.

mod blocks;
mod directories;
mod entries;

use super::finding::Found;
use super::scratch::ScratchError;

/// Takes findings one by one.
pub(super) type Give<'g> = &'g mut dyn FnMut(Found) -> Result<(), ScratchError>;
