//! The numbers of a chart as a table of HTML, which is read where a picture is not.

use super::super::markup::{escaped, push};

/// Rows of a table that are shown at most; a page of a bounded size has a bounded number of them.
const MAX_ROWS: usize = 200;

/// Cells under a head; the first cell of a row is its name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// The caption, as text.
    pub(crate) caption: String,
    /// The names of the columns.
    pub(crate) head: Vec<String>,
    /// The cells.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(caption: impl Into<String>, head: &[&str]) -> Self {
        Self {
            caption: caption.into(),
            head: head.iter().map(|name| name.to_string()).collect(),
            rows: Vec::new(),
        }
    }

    /// The table, in a box that scrolls if it is wide.
    pub(crate) fn html(&self) -> String {
        let mut out = String::new();
        let caption = escaped(&self.caption);
        push(
            &mut out,
            format_args!(
                "<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-label=\"{caption}\"><table><caption>{caption}"
            ),
        );
        let left_out = self.rows.len().saturating_sub(MAX_ROWS);
        if left_out > 0 {
            push(&mut out, format_args!("; {left_out} more rows are not shown"));
        }
        out.push_str("</caption><thead><tr>");
        for (column, name) in self.head.iter().enumerate() {
            let first = self.rows.first().and_then(|row| row.get(column));
            let class =
                if column > 0 && first.is_some_and(|cell| is_number(cell)) { " class=\"n\"" } else { "" };
            push(&mut out, format_args!("<th scope=\"col\"{class}>{}</th>", escaped(name)));
        }
        out.push_str("</tr></thead><tbody>");
        for row in self.rows.iter().take(MAX_ROWS) {
            out.push_str("<tr>");
            for (column, cell) in row.iter().enumerate() {
                let cell = escaped(cell);
                if column == 0 {
                    push(&mut out, format_args!("<th scope=\"row\">{cell}</th>"));
                } else {
                    let class = if is_number(&cell) { " class=\"n\"" } else { "" };
                    push(&mut out, format_args!("<td{class}>{cell}</td>"));
                }
            }
            out.push_str("</tr>");
        }
        out.push_str("</tbody></table></div>");
        out
    }

    /// The table behind a summary that opens it.
    pub(crate) fn folded(&self) -> String {
        self.folded_as("Data of this chart as a table")
    }

    /// The same behind a summary of its own.
    pub(crate) fn folded_as(&self, summary: &str) -> String {
        format!("<details><summary>{}</summary>{}</details>", escaped(summary), self.html())
    }
}

/// Whether a cell is set to the right.
fn is_number(cell: &str) -> bool {
    cell.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '−' | '+' | '[' | '≥'))
}

/// Every so many-th of `n` items, so that at most `most` remain; the first and the last among them.
pub(crate) fn thinned(n: usize, most: usize) -> Vec<usize> {
    if n <= most {
        return (0..n).collect();
    }
    let mut kept: Vec<usize> = (0..most).map(|i| i * (n - 1) / (most - 1)).collect();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_names_its_rows_and_columns_and_escapes_both() {
        let mut table = Table::new("a < b", &["class", "<b>"]);
        table.rows.push(vec!["<i>".into(), "0.5".into()]);
        let html = table.html();
        assert!(html.contains("<caption>a &lt; b</caption>"), "{html}");
        assert!(html.contains("<th scope=\"col\" class=\"n\">&lt;b&gt;</th>"), "{html}");
        assert!(html.contains("<th scope=\"row\">&lt;i&gt;</th><td class=\"n\">0.5</td>"), "{html}");
    }

    #[test]
    fn a_long_table_says_how_much_is_missing() {
        let mut table = Table::new("t", &["x"]);
        table.rows = vec![vec!["1".to_string()]; MAX_ROWS + 3];
        let html = table.html();
        assert!(html.contains("3 more rows") && html.matches("<tr>").count() == MAX_ROWS + 1);
    }

    #[test]
    fn thinning_keeps_the_ends() {
        assert_eq!(thinned(5, 9), [0, 1, 2, 3, 4]);
        assert_eq!(thinned(101, 3), [0, 50, 100]);
        assert_eq!(thinned(0, 3), Vec::<usize>::new());
    }
}
