//! The outputs of a load: lines, the display of a terminal, JSON, AzCopy's lines, metrics, log and history.

mod azcopy;
mod json;
mod log_and_history;
mod text;
mod unusual_exits;

use serde_json::Value;

use crate::support::command::Scratch;

/// 300 files with 2 MiB that cannot be compressed. With [`SLOWLY`], a load takes some seconds.
const FILES: usize = 300;
const SLOWLY: [&str; 2] = ["--bandwidth-limit", "512K"];

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let mut random = fastrand::Rng::with_seed(7);
    for number in 0..FILES {
        let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(7000)
            .collect();
        std::fs::write(scratch.source().join(format!("f{number}")), content).unwrap();
    }
    scratch
}

fn objects(lines: &str) -> Vec<Value> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn kinds(objects: &[Value]) -> Vec<&str> {
    objects
        .iter()
        .map(|object| object["type"].as_str().unwrap())
        .collect()
}
