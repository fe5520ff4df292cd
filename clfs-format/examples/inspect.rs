//! Lists the rules of the format that a downloaded blob breaks, although it can be read:
//! `cargo run --example inspect -- FILE`. The file has the name of the blob.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

use clfs_format::limits::PAYLOAD_BYTES;
use clfs_format::{FormatError, Object, ObjectName, inspect_wrapper};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os().nth(1).ok_or("usage: inspect FILE")?;
    let name = Path::new(&path).file_name().and_then(|name| name.to_str());
    let name = name.ok_or("the file must have the name of a blob")?;
    let broken = broken_rules(name, &fs::read(&path)?)?;
    match broken.is_empty() {
        true => println!("it keeps all rules"),
        false => broken.iter().for_each(|rule| println!("{rule}")),
    }
    Ok(())
}

/// Returns the rules that a blob breaks, with the place of each. Fails if the blob cannot be read at all.
pub fn broken_rules(name: &str, blob: &[u8]) -> Result<Vec<FormatError>, FormatError> {
    let name = ObjectName::parse(name)?;
    let unwrapped = inspect_wrapper(blob, PAYLOAD_BYTES)?;
    let inspection = Object::inspect(&name, &unwrapped.payload);
    inspection.object?;
    let mut broken = unwrapped.deviations;
    broken.extend(inspection.deviations);
    Ok(broken)
}
