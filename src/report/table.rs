//! A table of the page. The first cell of a row is its header.

use std::io::{self, Write};

/// A table that is being written.
pub(super) struct Table<'a> {
    out: &'a mut dyn Write,
    /// Each column's title and class: `n` for numbers, or empty.
    columns: &'a [(&'a str, &'a str)],
}

impl<'a> Table<'a> {
    /// Begins a table. `caption`, titles and classes are HTML; the table has no id if `id` is empty.
    pub(super) fn begin(
        out: &'a mut dyn Write,
        id: &str,
        caption: &str,
        columns: &'a [(&'a str, &'a str)],
    ) -> io::Result<Self> {
        let id = match id {
            "" => String::new(),
            id => format!(" id=\"{id}\""),
        };
        write!(
            out,
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table{id}>\n\
             <caption>{caption}</caption>\n<thead><tr>"
        )?;
        for (title, class) in columns {
            write!(out, "<th scope=\"col\" class=\"{class}\">{title}</th>")?;
        }
        writeln!(out, "</tr></thead>\n<tbody>")?;
        Ok(Table { out, columns })
    }

    /// Writes a row. The cells are HTML.
    pub(super) fn row(&mut self, cells: &[String]) -> io::Result<()> {
        write!(self.out, "<tr>")?;
        for (at, (cell, (_, class))) in cells.iter().zip(self.columns).enumerate() {
            match at {
                0 => write!(self.out, "<th scope=\"row\" class=\"{class}\">{cell}</th>")?,
                _ => write!(self.out, "<td class=\"{class}\">{cell}</td>")?,
            }
        }
        writeln!(self.out, "</tr>")
    }

    /// Ends the table.
    pub(super) fn end(self) -> io::Result<()> {
        writeln!(self.out, "</tbody>\n</table></div>")
    }
}
