//! Runs and measures one load of a tree with clfsload.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::child::{self, ProcessStats};
use crate::sink::{Report, Sink};
use crate::trees::TreeKind;

/// A well-formed token with an invalid signature, which the sink does not check.
pub(crate) const SAS: &str = "sv=2022-11-02&sr=c&sp=rwdl&se=2099-01-01T00:00:00Z&sig=c2ln";

/// Objects that do not belong to entries: the bucket object and the log.
const FIXED_OBJECTS: u64 = 2;

/// A build of clfsload.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    /// Its label in tables; empty for the build that is measured.
    pub(crate) label: String,
    pub(crate) path: PathBuf,
}

impl Build {
    pub(crate) fn this() -> Self {
        Build {
            label: String::new(),
            path: env!("CARGO_BIN_EXE_clfsload").into(),
        }
    }

    /// Returns whether its help lists `option`.
    pub(crate) fn has_option(&self, option: &str) -> io::Result<bool> {
        let help = Command::new(&self.path).arg("--help").output()?;
        Ok(String::from_utf8_lossy(&help.stdout).contains(option))
    }
}

/// A load of a source tree into a sink with one build.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    pub(crate) build: &'a Build,
    pub(crate) source: &'a Path,
    pub(crate) sink: &'a Sink,
    /// The state folder.
    pub(crate) state: PathBuf,
    /// Further options, such as `--compression`.
    pub(crate) options: Vec<OsString>,
}

/// The content of a load's state folder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Database {
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// Rows of all tables.
    pub(crate) rows: u64,
    /// Objects uploaded for entries; `None` for builds that did not count them.
    pub(crate) objects: Option<u64>,
}

impl Load<'_> {
    /// Runs a new load. Fails if the load fails.
    pub(crate) fn run_new(&self) -> io::Result<ProcessStats> {
        self.expect_success(self.run_new_until(|_| Ok(false))?)
    }

    /// Runs a new load, and kills it when `should_stop` returns true for the elapsed time.
    pub(crate) fn run_new_until(
        &self,
        should_stop: impl FnMut(Duration) -> io::Result<bool>,
    ) -> io::Result<ProcessStats> {
        if self.state.exists() {
            fs::remove_dir_all(&self.state)?;
        }
        self.run(true, should_stop)
    }

    /// Resumes the load. Fails if the load fails.
    pub(crate) fn resume(&self) -> io::Result<ProcessStats> {
        self.expect_success(self.run(false, |_| Ok(false))?)
    }

    fn run(
        &self,
        new: bool,
        should_stop: impl FnMut(Duration) -> io::Result<bool>,
    ) -> io::Result<ProcessStats> {
        let mut command = Command::new(&self.build.path);
        command
            .args(new.then_some("--new"))
            .arg(&self.state)
            .arg(self.source)
            .arg(self.sink.endpoint())
            .arg("container")
            .args(&self.options)
            .env("AZURE_STORAGE_SAS_TOKEN", SAS)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.stderr_path())?);
        child::run(&mut command, Some(&self.state), should_stop)
    }

    fn stderr_path(&self) -> PathBuf {
        self.state.with_extension("stderr")
    }

    fn expect_success(&self, stats: ProcessStats) -> io::Result<ProcessStats> {
        match stats.status {
            Some(0) => Ok(stats),
            status => Err(self.failed(status)),
        }
    }

    /// Returns an error with the exit status and the standard error of a failed load.
    pub(crate) fn failed(&self, status: Option<i32>) -> io::Error {
        let stderr = fs::read_to_string(self.stderr_path()).unwrap_or_default();
        io::Error::other(format!("the load exited with {status:?}: {stderr}"))
    }

    /// Checks that a finished load uploaded each object exactly once; otherwise its figures are meaningless.
    pub(crate) fn expect_complete(&self, kind: TreeKind, report: &Report) -> io::Result<Database> {
        let database = self.database()?;
        let shape = kind.shape();
        let (puts, expected) = match database.objects {
            // The counter does not include the objects of the root.
            Some(objects) => (report.puts, objects + shape.root_objects()? + FIXED_OBJECTS),
            None => (report.puts.min(shape.entries()), shape.entries()),
        };
        // Each entry has at least one object.
        let has_all_entries = report.puts >= shape.entries() + FIXED_OBJECTS;
        let is_plain = self.options.iter().any(|option| option == "DISABLED");
        let has_all_bytes = !is_plain || report.bytes >= shape.bytes();
        match puts == expected && has_all_entries && has_all_bytes && report.repeated_puts == 0 {
            true => Ok(database),
            false => Err(io::Error::other(format!(
                "{}: expected one upload for each of {expected} objects and {} bytes: {report:?}",
                kind.name(),
                shape.bytes()
            ))),
        }
    }

    /// Measures the state folder.
    pub(crate) fn database(&self) -> io::Result<Database> {
        let mut bytes = 0;
        for file in fs::read_dir(&self.state)? {
            bytes += file?.metadata()?.len();
        }
        let (rows, objects) =
            read_counts(&self.state.join("state.db")).map_err(io::Error::other)?;
        Ok(Database {
            bytes,
            rows,
            objects,
        })
    }
}

/// Returns the number of rows of all tables, and the counter of objects.
fn read_counts(database: &Path) -> rusqlite::Result<(u64, Option<u64>)> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    let names: Vec<String> = tables
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut rows = 0;
    for name in names {
        let count = format!("SELECT count(*) FROM \"{name}\"");
        rows += connection.query_row(&count, [], |row| row.get::<_, i64>(0))? as u64;
    }
    let count = "SELECT value FROM counter WHERE name = 'objects'";
    let objects = connection.query_row(count, [], |row| row.get::<_, i64>(0));
    Ok((rows, objects.optional()?.map(|objects| objects as u64)))
}
