//! Why a record cannot be used, and what to do about it.

use rusqlite::ErrorCode;

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The database failed.
    #[error("{0}: {advice}", advice = advice(.0))]
    Database(#[from] rusqlite::Error),
    /// The file could not be made.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Another program's file.
    #[error("it is not a record of clfsload extract: give another file")]
    NotARecord,
    /// Written by another version of this program.
    #[error(
        "it has version {0}, which this program does not read: remove it, and it is made again"
    )]
    Version(i64),
    /// It tells of another container.
    #[error("it is the record of {0}: give another file, or remove it")]
    OtherContainer(String),
    /// It tells of another destination.
    #[error("it is the record of extracting into {0}: give another file for this destination")]
    OtherDestination(String),
    /// A row that this program would not have written.
    #[error("a row of it is damaged: remove it, and it is made again")]
    Row,
}

/// What to do about a database that failed. Only what is no sound database is to be removed: the
/// record may know that data was lost.
fn advice(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "make room, then run the same command again",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program uses it: run the same command again when that has ended"
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "if it is a record, remove it and run again with --checksum; else give another file"
        }
        _ => "mend that, or give another file with --record",
    }
}
