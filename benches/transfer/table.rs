//! Medians over several runs, and Markdown tables of them.

use std::fmt;
use std::time::Duration;

/// One figure, measured in several runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figure {
    runs: Vec<f64>,
}

impl Figure {
    pub(crate) fn of(runs: impl IntoIterator<Item = f64>) -> Self {
        let mut runs: Vec<f64> = runs.into_iter().collect();
        runs.sort_by(f64::total_cmp);
        Figure { runs }
    }

    /// Returns `NaN` if there was no run.
    pub(crate) fn median(&self) -> f64 {
        let middle = self.runs.len() / 2;
        let at = |index: usize| self.runs.get(index).copied().unwrap_or(f64::NAN);
        match self.runs.len() % 2 {
            1 => at(middle),
            _ => (at(middle.wrapping_sub(1)) + at(middle)) / 2.0,
        }
    }

    /// Formats the median, minimum and maximum: `12.3 (11.9–12.8)`.
    pub(crate) fn shown(&self, digits: usize) -> String {
        let median = self.median();
        match (self.runs.first(), self.runs.last()) {
            (Some(min), Some(max)) if self.runs.len() > 1 => {
                format!("{median:.digits$} ({min:.digits$}–{max:.digits$})")
            }
            _ => format!("{median:.digits$}"),
        }
    }
}

/// A Markdown table, printed once all rows are known.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[&str]) -> Self {
        let head = columns.iter().map(|column| (*column).to_owned()).collect();
        Table { rows: vec![head] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let lengths = self
                    .rows
                    .iter()
                    .map(|row| cell(row, column).chars().count());
                lengths.max().unwrap_or(0)
            })
            .collect();
        for (number, row) in self.rows.iter().enumerate() {
            for (column, width) in widths.iter().copied().enumerate() {
                match column {
                    0 => write!(f, "| {:<width$} ", cell(row, column))?,
                    _ => write!(f, "| {:>width$} ", cell(row, column))?,
                }
            }
            writeln!(f, "|")?;
            if number == 0 {
                for (column, width) in widths.iter().copied().enumerate() {
                    match column {
                        0 => write!(f, "|{:-<1$}", "", width + 2)?,
                        _ => write!(f, "|{:-<1$}:", "", width + 1)?,
                    }
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// Converts bytes to MB (10^6 bytes).
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Formats a duration in seconds with two decimals.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
