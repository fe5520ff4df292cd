//! A transfer as one HTML page, made from its state folder while it runs or after.
//!
//! `page.html` is the template. The page is complete: styles, scripts and data are in it, and its
//! content policy lets a browser load nothing else. All text is plain HTML; only the charts and the
//! search need the scripts. The page is also well-formed XML, so that tests can parse it strictly.
//! Text from the source tree, the settings or the history is untrusted: it enters the page only
//! through [`escape`].
//!
//! Memory does not grow with the tree: [`timeline`] keeps some hundred steps of the history, and
//! failed entries are written as they are read.

mod escape;
mod over_time;
mod sections;
mod table;
mod timeline;

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::loss::Lost;
use crate::progress::history::{self, Latest};
use crate::state::{State, StateError, StateView, TransferCounts};
use crate::survey::SizeHistogram;
use crate::text::Escaped;

use escape::Text;
use timeline::Timeline;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const UPLOT_STYLE: &str = include_str!("uplot/uPlot.min.css");
/// Charts and search. In comments, it marks itself as CDATA, so that HTML and XML read it alike.
const SCRIPT: &str = include_str!("page.js");
/// uPlot 1.6.32, unchanged; its licence is beside it.
const UPLOT: &str = include_str!("uplot/uPlot.iife.min.js");
/// The SHA-256 of both scripts: browsers that know hashes (CSP level 2) run no other script, and ignore
/// `'unsafe-inline'`.
const SCRIPT_HASHES: &str = "'sha256-+rjJphoB8BQUNCrW+utfLSLIoMtwNnNiSUIC3K3XDHo=' 'sha256-eb6wd+JGTlh1iRoQ7fVtJas/WeROdhCpElwaq8ACYnw='";

/// Why there is no report, or only a part of one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The page cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// The contents of the report, except the failed entries.
struct Subject {
    /// The state folder, absolute if possible.
    folder: PathBuf,
    /// The time of the report, in milliseconds since 1970.
    at: u64,
    view: StateView,
    counts: TransferCounts,
    /// The number of failed entries for each reason.
    reasons: Vec<(String, u64)>,
    /// ACLs and extended attributes that the format cannot hold.
    lost: Vec<Lost>,
    sizes: SizeHistogram,
    latest: Latest,
    timeline: Timeline,
}

/// Writes the report on the transfer in a state folder. Everything except the failed entries is read
/// before the first byte is written.
///
/// # Errors
/// When the state cannot be read, or the page cannot be written.
pub fn write(folder: &Path, out: &mut dyn Write) -> Result<(), ReportError> {
    let view = State::view(folder)?;
    let mut sizes = SizeHistogram::default();
    view.reader.visit_sizes(|size| sizes.add(size, 1))?;
    let subject = Subject {
        folder: std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf()),
        at: history::now(),
        counts: view.counts()?,
        reasons: view.reader.problem_reasons()?,
        lost: view.reader.lost()?,
        sizes,
        latest: history::latest(folder).unwrap_or_default(),
        timeline: Timeline::read(folder),
        view,
    };
    for part in TEMPLATE.split("{{") {
        let (name, text) = part.split_once("}}").unwrap_or(("", part));
        match name {
            "hashes" => write!(out, "{SCRIPT_HASHES}")?,
            "source" => {
                let source = subject.view.settings.source.as_os_str();
                write!(out, "{}", Text(Escaped(source.as_bytes())))?;
            }
            "style" => write!(out, "{UPLOT_STYLE}{STYLE}")?,
            "summary" => sections::summary(&subject, out)?,
            "over_time" => over_time::write(&subject, out)?,
            "sizes" => sections::sizes(&subject.sizes, out)?,
            "failed" => sections::failed(&subject, out)?,
            "extremes" => sections::extremes(&subject.latest.extremes, out)?,
            "runs" => sections::runs(&subject, out)?,
            "data" => write!(out, "{}", over_time::data(&subject.timeline))?,
            "uplot" => write!(out, "{}", uplot())?,
            "script" => write!(out, "{SCRIPT}")?,
            _ => {}
        }
        write!(out, "{text}")?;
    }
    Ok(out.flush()?)
}

/// Returns uPlot as an element of the page, marked as CDATA as [`SCRIPT`] is.
fn uplot() -> String {
    format!("/*<![CDATA[*/\n{UPLOT}\n/*]]>*/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use sha2::{Digest, Sha256};

    fn hash(script: &str) -> String {
        let digest = Sha256::digest(script.as_bytes());
        let digest = base64::engine::general_purpose::STANDARD.encode(digest);
        format!("'sha256-{digest}'")
    }

    #[test]
    fn the_policy_contains_the_hashes_of_the_scripts() {
        let hashes = format!("{} {}", hash(&uplot()), hash(SCRIPT));
        assert_eq!(SCRIPT_HASHES, hashes);
    }

    /// The hash of the file in the npm package uplot 1.6.32.
    #[test]
    fn the_chart_library_is_unchanged() {
        assert_eq!(
            hash(UPLOT),
            "'sha256-GcjUxq2Ikpp59K5J1vcWFWbf0Lo9FcxJXpdPeH63jx8='"
        );
    }

    #[test]
    fn styles_and_scripts_read_the_same_in_html_and_xml() {
        for text in [STYLE, UPLOT_STYLE] {
            assert!(!text.contains(['<', '&']));
        }
        for script in [&uplot(), SCRIPT] {
            assert!(!script.contains("</") && !script.contains("<!--"));
            assert!(script.starts_with("/*<![CDATA[*/") && script.trim_end().ends_with("/*]]>*/"));
            assert_eq!(script.matches("]]>").count(), 1);
        }
    }
}
