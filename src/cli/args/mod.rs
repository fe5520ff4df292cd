//! Parsing of arguments that several commands share.

pub(super) mod address;
pub(super) mod credential;
pub(super) mod location_hints;
