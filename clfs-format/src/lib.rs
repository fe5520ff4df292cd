//! CLFS.
