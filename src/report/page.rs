//! The page: its head, and its parts in their order.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use super::escape::Text;
use super::{ReportError, Subject, failures, files, over_time, runs, summary};
use crate::monitor::Escaped;

const STYLE: &str = include_str!("page.css");
/// Hides rows of the failed entries. Without `<` and `&`, which HTML and XML read differently here.
const SCRIPT: &str = include_str!("search.js");
/// `'sha256-'` and Base64 of [`SCRIPT`]'s SHA-256: where browsers know it (CSP level 2), they run this
/// script and no other, whatever else might get into the page; it takes the place of 'unsafe-inline'.
const SCRIPT_HASH: &str = "sha256-b3Vfs7ZKpsjDZH2PLK22SvQQ+wxZdd6iVQHNnz4llWE=";

pub(super) fn write(subject: &Subject, out: &mut dyn Write) -> Result<(), ReportError> {
    let source = Escaped(subject.look.settings.source.as_os_str().as_bytes()).to_string();
    let source = Text(source);
    write!(
        out,
        r##"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' '{SCRIPT_HASH}'; base-uri 'none'; form-action 'none'"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<meta name="robots" content="noindex"/>
<title>clfsload report: {source}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>Transfer report</h1>
<nav aria-label="Parts of the report"><a href="#summary">Summary</a> <a href="#over-time">Over time</a> <a href="#sizes">File sizes</a> <a href="#failed">Failed entries</a> <a href="#extremes">Largest and slowest</a> <a href="#runs">Runs</a></nav>
</header>
<main>
"##
    )?;
    summary::write(subject, out)?;
    over_time::write(subject, out)?;
    files::write_sizes(subject, out)?;
    failures::write(subject, out)?;
    files::write_extremes(subject, out)?;
    runs::write(subject, out)?;
    write!(
        out,
        "</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_policy_names_the_script() {
        let digest = Sha256::digest(SCRIPT.as_bytes());
        let digest = base64::engine::general_purpose::STANDARD.encode(digest);
        assert_eq!(SCRIPT_HASH, format!("sha256-{digest}"));
    }

    #[test]
    fn style_and_script_read_the_same_in_html_and_xml() {
        for text in [STYLE, SCRIPT] {
            assert!(!text.contains(['<', '&']) && !text.contains("]]>"));
        }
    }
}
