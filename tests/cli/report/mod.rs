//! The report on a load: one complete page, whatever names the source tree contains.

mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::command::{CommandOutput, Scratch, clfsload, run};
use crate::support::skip::skip;
use page::Page;

/// A path below the source that contains several kinds of markup, and is not UTF-8.
const ODD: &[u8] = b"x<script>alert(1)<\xff\n/script>'\"&amp;]]> --><img src=x onerror=alert(2)>";
/// A name that ends like `exe.jpg` on a display.
const TURNED: &str = "\u{202e}gpj.exe";
const SIZES: [u64; 6] = [0, 1, 1023, 1024, 70_000, 5 << 20];

fn path(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

/// Returns a tree with odd names, and three entries that cannot be loaded.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let source = scratch.source();
    let (folder, name) = ODD.split_at(ODD.iter().position(|byte| *byte == b'/').unwrap());
    fs::create_dir_all(source.join(path(folder))).unwrap();
    fs::write(source.join(path(folder)).join(path(&name[1..])), "content").unwrap();
    for (number, size) in SIZES.into_iter().enumerate() {
        let file = fs::File::create(source.join(format!("f{number}"))).unwrap();
        file.set_len(size).unwrap();
    }
    fs::hard_link(source.join("f4"), source.join("g4")).unwrap();
    let target = "t".repeat(1024);
    symlink(&target, source.join(path(folder)).join(r"<td>\<table>")).unwrap();
    symlink(&target, source.join(TURNED)).unwrap();
    symlink(&target, source.join("link")).unwrap();
    scratch
}

fn number(shown: &str) -> u64 {
    shown.replace(',', "").parse().unwrap()
}

/// Returns a number from the database.
fn query(state: &Path, query: &str) -> u64 {
    let connection = rusqlite::Connection::open(state.join("state.db")).unwrap();
    let number: i64 = connection.query_row(query, [], |row| row.get(0)).unwrap();
    number.try_into().unwrap()
}

#[test]
fn the_page_agrees_with_the_state() {
    let scratch = scratch();
    scratch.load("t", &["--preserve_hardlinks", "1"]).expect(3);
    scratch.resume("t", &["--skip-failed"]).expect(3);
    let page = Page::of(&scratch, "t");
    let state = scratch.path("t");
    let entries = query(&state, "SELECT count(*) FROM entry");
    assert_eq!(number(&page.ids["found"]), entries);
    assert_eq!(number(&page.ids["done"]), entries - 3);
    assert_eq!(number(&page.ids["failed-count"]), 3);
    let status: Value = {
        let ran = run([
            OsStr::new("status"),
            OsStr::new("--json"),
            state.as_os_str(),
        ]);
        serde_json::from_str(&ran.expect(0).stdout).unwrap()
    };
    assert_eq!(status["entries"], entries);
    assert_eq!(status["done"], entries - 3);

    let classes: BTreeMap<&str, (u64, &str)> = page
        .cells("size-classes")
        .iter()
        .map(|row| (row[0].as_str(), (number(&row[1]), row[3].as_str())))
        .collect();
    assert_eq!(classes["empty"], (1, "0 B"));
    // The files of 1, 1023 and 1024 bytes, and the odd one with 7.
    assert_eq!(classes["up to 1 KiB"], (4, "2.0 KiB"));
    assert_eq!(classes["up to 16 KiB"], (0, "0 B"));
    // The file has two names.
    assert_eq!(classes["up to 128 KiB"], (1, "68.4 KiB"));
    assert_eq!(classes["up to 8 MiB"], (1, "5.0 MiB"));
    assert!(!classes.contains_key("up to 64 MiB"), "{classes:?}");
    let files = "SELECT count(*) FROM entry WHERE mode & 0xf000 = 0x8000
                 AND (owner IS NULL OR owner = id)";
    assert_eq!(classes["all"].0, query(&state, files));

    assert_eq!(
        page.cells("reasons"),
        [[
            "link-target-too-long",
            "3",
            "its link target is longer than 1023 bytes"
        ]]
    );
    let runs = page.cells("run-list");
    let ends: Vec<&str> = runs.iter().map(|row| row[3].as_str()).collect();
    assert!(
        ends[0].starts_with("paused with failed entries 2"),
        "{ends:?}"
    );
    assert!(
        ends[1].starts_with("finished without failed entries 2"),
        "{ends:?}"
    );
    assert!(
        runs[0][8].contains("--new") && runs[1][8].contains("--skip-failed"),
        "{runs:?}"
    );
}

#[test]
fn markup_in_names_is_shown_as_text() {
    let scratch = scratch();
    scratch.load("t", &[]).expect(3);
    let page = Page::of(&scratch, "t");
    let listed: BTreeSet<&str> = page
        .cells("problems")
        .iter()
        .map(|row| row[0].as_str())
        .collect();
    let odd = r"x<script>alert(1)<\xff\x0a/<td>\\<table>";
    let expected = [odd, r"\xe2\x80\xaegpj.exe", "link"];
    assert_eq!(listed, expected.into_iter().collect());
    // The odd file is among the largest, since there are few.
    let odd = r#"x<script>alert(1)<\xff\x0a/script>'"&amp;]]> --><img src=x onerror=alert(2)>"#;
    let mut rows = page.tables.values().flatten();
    assert!(rows.any(|row| row.len() == 3 && row[0] == odd));
}

#[test]
fn a_report_of_a_running_load_is_complete() {
    let scratch = Scratch::new();
    let mut random = fastrand::Rng::with_seed(3);
    for number in 0..60 {
        let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(30_000)
            .collect();
        fs::write(scratch.source().join(format!("f{number}")), content).unwrap();
    }
    let mut arguments = scratch.arguments("t", "t");
    arguments.extend(["--new", "--bandwidth-limit", "128K"].map(str::to_owned));
    let mut load = clfsload()
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let history = scratch.path("t").join("history.jsonl");
    let began = Instant::now();
    let snapshots = || {
        fs::read_to_string(&history)
            .unwrap_or_default()
            .lines()
            .count()
    };
    while snapshots() < 4 {
        assert!(began.elapsed() < Duration::from_secs(60), "no snapshots");
        std::thread::sleep(Duration::from_millis(50));
    }
    let page = Page::of(&scratch, "t");
    load.kill().unwrap();
    load.wait().unwrap();
    assert!(page.text.contains("<strong>running</strong>: "));
    assert_eq!(page.cells("run-list")[0][3], "running");
    let points = page.data["time"].as_array().unwrap().len();
    assert!(points > 0, "{}", page.data);
    for column in [
        "entries",
        "bytes",
        "failed",
        "throttled",
        "limit",
        "in_flight",
        "bottleneck",
        "phase",
    ] {
        let values = page.data[column].as_array().unwrap();
        assert_eq!(values.len(), points, "{column}");
    }
    assert_eq!(page.data["phase"][0], "scan");
    let uploaded = page.data["bytes"].as_array().unwrap().iter();
    assert!(uploaded.filter_map(Value::as_f64).sum::<f64>() > 1000.0);
    assert_eq!(page.cells("figures").len(), points);
    let page = Page::of(&scratch, "t");
    assert!(
        page.text
            .contains("<strong>not finished, and not running</strong>")
    );
    let end = &page.cells("run-list")[0][3];
    assert!(end.starts_with("without a record"), "{end}");
}

#[test]
fn a_report_without_a_history_has_no_charts() {
    let scratch = scratch();
    scratch.load("t", &[]).expect(3);
    for name in ["history.jsonl", "progress.json"] {
        fs::remove_file(scratch.path("t").join(name)).unwrap();
    }
    let page = Page::of(&scratch, "t");
    assert!(page.text.contains("There are no figures over time."));
    assert!(!page.ids.contains_key("charts"));
    assert_eq!(page.data["time"], serde_json::json!([]));
    assert_eq!(page.cells("problems").len(), 3);
}

#[test]
fn markup_in_the_history_is_shown_as_text() {
    let scratch = scratch();
    scratch.load("t", &[]).expect(3);
    let history = scratch.path("t").join("history.jsonl");
    let mut text = fs::read(&history).unwrap();
    let markup = "</code><script>\u{0}\u{202e}&'";
    let records = [
        serde_json::json!({"record": "run", "at": u64::MAX, "version": markup, "options": [[markup, markup]]}),
        serde_json::json!({"record": "end", "at": u64::MAX, "end": markup}),
    ];
    for record in records {
        text.extend(record.to_string().into_bytes());
        text.push(b'\n');
    }
    text.extend(b"{\"record\":\"snapsh");
    fs::write(&history, text).unwrap();
    let page = Page::of(&scratch, "t");
    let row = page.cells("run-list").last().unwrap();
    let shown = "</code><script>\u{fffd}\\xe2\\x80\\xae&'";
    assert_eq!(
        (row[7].as_str(), row[8].as_str()),
        (shown, &*format!("{shown} {shown}"))
    );
    assert_eq!(row[3], format!("{shown} 9999-12-31T23:59:59Z"));
}

#[test]
fn only_the_first_of_many_failed_entries_are_listed() {
    let scratch = scratch();
    scratch.load("t", &[]).expect(3);
    let state = scratch.path("t");
    let first = query(&state, "SELECT max(id) + 1 FROM entry") as i64;
    let mut connection = rusqlite::Connection::open(state.join("state.db")).unwrap();
    let transaction = connection.transaction().unwrap();
    for id in first..first + 10_100 {
        let entry =
            "INSERT INTO entry (id, parent, name, mode, uid, gid, size, mtime, ctime, atime, inode)
                     VALUES (?1, 100, CAST('n' || ?1 AS BLOB), 0, 0, 0, 0, 0, 0, 0, 0)";
        transaction.execute(entry, [id]).unwrap();
        let problem = "INSERT INTO problem VALUES (?1, 'vanished', 2, 1)";
        transaction.execute(problem, [id]).unwrap();
    }
    transaction.commit().unwrap();
    let page = Page::of(&scratch, "t");
    assert_eq!(page.cells("problems").len(), 10_000);
    assert!(
        page.text
            .contains("<p>The first 10,000 of 10,103. <code><bdi>")
    );
    assert_eq!(number(&page.ids["failed-count"]), 10_103);
}

#[test]
fn errors_are_reported() {
    let scratch = scratch();
    let state = scratch.path("t");
    run([OsStr::new("report"), state.as_os_str()]).refused(2, "holds no transfer");
    scratch.load("t", &[]).expect(3);
    let full = fs::File::create("/dev/full").unwrap();
    let ran = clfsload().arg("report").arg(&state).stdout(full).output();
    CommandOutput::from(ran.unwrap()).refused(1, "standard output: ");
    // The reader closes the pipe.
    let line = format!(
        "'{}' report '{}'",
        env!("CARGO_BIN_EXE_clfsload"),
        state.display()
    );
    let line = format!("{{ {line}; echo $? 1>&2; }} | head -c 10");
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    assert_eq!(CommandOutput::from(output).stderr, "0\n");
    // script(1) runs the command on a terminal.
    let line = format!(
        "{} report {}",
        env!("CARGO_BIN_EXE_clfsload"),
        state.display()
    );
    match Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .output()
    {
        Err(error) => skip(&format!("script(1): {error}")),
        Ok(output) => {
            let ran = CommandOutput::from(output).expect(2);
            assert!(ran.stdout.contains("> report.html"), "{ran:?}");
        }
    }
}
