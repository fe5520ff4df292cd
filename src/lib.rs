//! Loads a POSIX tree into an Azure Blob container in CLFS format.

pub mod container;
