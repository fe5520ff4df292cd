//! One load of a tree by the command, measured.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::child::{self, Ended};
use crate::sink::{Report, Sink};
use crate::trees::Kind;

/// The signature is none, but a token must look like one.
pub(crate) const SAS: &str = "sv=2022-11-02&sr=c&sp=rwdl&se=2099-01-01T00:00:00Z&sig=c2ln";

/// Bucket object and log.
const AROUND_THE_TREE: u64 = 2;

/// A build of the command.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    /// Empty for the one that belongs to this benchmark.
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

    /// Whether its help speaks of an option.
    pub(crate) fn knows(&self, option: &str) -> io::Result<bool> {
        let help = Command::new(&self.path).arg("--help").output()?;
        Ok(String::from_utf8_lossy(&help.stdout).contains(option))
    }
}

/// A transfer: what is loaded, by which build, into which sink.
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

/// What the database of a transfer holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Database {
    /// Of all files of the state folder.
    pub(crate) bytes: u64,
    /// Of all tables.
    pub(crate) rows: u64,
    /// Objects that were put for entries; a build before it counted them says none.
    pub(crate) objects: Option<u64>,
}

impl Load<'_> {
    /// Begins it and runs it to its end; it must succeed.
    pub(crate) fn new_whole(&self) -> io::Result<Ended> {
        self.expect_done(self.new_until(|_| Ok(false))?)
    }

    /// Begins it; kills it when `enough` says so.
    pub(crate) fn new_until(
        &self,
        enough: impl FnMut(Duration) -> io::Result<bool>,
    ) -> io::Result<Ended> {
        if self.state.exists() {
            fs::remove_dir_all(&self.state)?;
        }
        self.run(true, enough)
    }

    /// Goes on with it to its end; it must succeed.
    pub(crate) fn resume(&self) -> io::Result<Ended> {
        self.expect_done(self.run(false, |_| Ok(false))?)
    }

    fn run(
        &self,
        new: bool,
        enough: impl FnMut(Duration) -> io::Result<bool>,
    ) -> io::Result<Ended> {
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
            .stderr(File::create(self.errors())?);
        child::run(&mut command, Some(&self.state), enough)
    }

    fn errors(&self) -> PathBuf {
        self.state.with_extension("stderr")
    }

    fn expect_done(&self, ended: Ended) -> io::Result<Ended> {
        match ended.status {
            Some(0) => Ok(ended),
            status => Err(self.failed(status)),
        }
    }

    /// That it ended as it should not have, and what it said.
    pub(crate) fn failed(&self, status: Option<i32>) -> io::Error {
        let said = fs::read_to_string(self.errors()).unwrap_or_default();
        io::Error::other(format!("the load ended with {status:?}: {said}"))
    }

    /// Of a run that was whole: each object of the tree came, and came once. Else the figures would be of something
    /// else.
    pub(crate) fn expect_all(&self, kind: Kind, report: &Report) -> io::Result<Database> {
        let database = self.database()?;
        let shape = kind.shape();
        let (puts, wanted) = match database.objects {
            // Of the root they are not counted.
            Some(objects) => (
                report.puts,
                objects + shape.root_objects()? + AROUND_THE_TREE,
            ),
            None => (report.puts.min(shape.entries()), shape.entries()),
        };
        // Every entry is an object at least.
        let enough = report.puts >= shape.entries() + AROUND_THE_TREE;
        let plain = self.options.iter().any(|option| option == "DISABLED");
        let all_bytes = !plain || report.bytes >= shape.bytes();
        match puts == wanted && enough && all_bytes && report.repeated_puts == 0 {
            true => Ok(database),
            false => Err(io::Error::other(format!(
                "{}: not one put for each object, {wanted} of {} bytes: {report:?}",
                kind.name(),
                shape.bytes()
            ))),
        }
    }

    /// What the state folder holds.
    pub(crate) fn database(&self) -> io::Result<Database> {
        let mut bytes = 0;
        for file in fs::read_dir(&self.state)? {
            bytes += file?.metadata()?.len();
        }
        let (rows, objects) = look(&self.state.join("state.db")).map_err(io::Error::other)?;
        Ok(Database {
            bytes,
            rows,
            objects,
        })
    }
}

/// Rows of all tables, and the counted objects.
fn look(database: &Path) -> rusqlite::Result<(u64, Option<u64>)> {
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
