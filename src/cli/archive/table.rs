//! Tables for people, at most 120 columns wide.
//!
//! Each column is as wide as its widest cell, up to a bound of its own; a longer cell ends in `…`. The last column is a
//! list of pieces: it stands on the line where it fits, and below the line otherwise, under the second column.

/// The width of the longest line.
pub(super) const COLUMNS: usize = 120;
const GAP: &str = "  ";

/// The head of a column, and its largest width.
pub(super) type TableColumn = (&'static str, usize);

/// One entry.
pub(super) struct TableRow {
    pub(super) cells: Vec<String>,
    /// The pieces of the last column.
    pub(super) pieces: Vec<String>,
}

/// Returns the lines of a table; `last` is the head of the last column.
pub(super) fn table(columns: &[TableColumn], last: &str, rows: &[TableRow]) -> Vec<String> {
    let widths: Vec<usize> = columns.iter().enumerate().map(|(at, column)| width(*column, at, rows)).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, width)| format!("{:width$}", cut(cell, *width)));
        padded.collect::<Vec<_>>().join(GAP)
    };
    let hang = widths.first().map_or(0, |width| width + GAP.len());
    let head = line(&mut columns.iter().map(|(name, _)| *name));
    let mut lines = vec![format!("{head}{GAP}{last}").trim_end().to_owned()];
    for row in rows {
        let own = line(&mut row.cells.iter().map(String::as_str));
        let whole = format!("{own}{GAP}{}", row.pieces.join(" "));
        if whole.chars().count() <= COLUMNS {
            lines.push(whole.trim_end().to_owned());
        } else {
            lines.push(own.trim_end().to_owned());
            lines.extend(wrapped(&row.pieces, COLUMNS - hang).iter().map(|line| format!("{:hang$}{line}", "")));
        }
    }
    lines
}

fn width((name, most): TableColumn, at: usize, rows: &[TableRow]) -> usize {
    let cells = rows.iter().filter_map(|row| row.cells.get(at)).map(|cell| cell.chars().count());
    cells.max().unwrap_or(0).min(most).max(name.len())
}

/// Returns pieces in lines of at most `columns` characters.
fn wrapped(pieces: &[String], columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + piece.chars().count() <= columns => {
                line.push(' ');
                line.push_str(piece);
            }
            _ => lines.push(cut(piece, columns)),
        }
    }
    lines
}

/// Cuts a text to at most `most` characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str], pieces: &[&str]) -> TableRow {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        TableRow { cells: owned(cells), pieces: owned(pieces) }
    }

    #[test]
    fn what_does_not_fit_stands_below_and_is_cut_at_the_edge() {
        let long = "x".repeat(200);
        let rows = [row(&["a", "bb"], &["one", "two"]), row(&[&long, "b"], &[&long, "three"]), row(&["", "b"], &[])];
        let lines = table(&[("A", 8), ("COLUMN", 10)], "REST", &rows);
        assert_eq!(lines[0], "A         COLUMN  REST");
        assert_eq!(lines[1], "a         bb      one two");
        assert_eq!(lines[2], "xxxxxxx…  b");
        assert_eq!((lines[3].chars().count(), lines[3].trim_start().chars().count()), (120, 110));
        assert_eq!(lines[4], "          three");
        assert_eq!(lines[5], "          b");
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS));
    }
}
