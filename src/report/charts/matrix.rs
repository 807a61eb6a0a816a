//! A square of cells: which class was predicted for which.

use super::super::markup::{Ids, escaped, push, shortened};
use super::plot::units;
use super::table::Table;
use crate::order;

/// Classes up to which the cells have numbers: a table of HTML, which also wraps nothing and reads well aloud.
const MAX_WRITTEN: usize = 12;
/// Classes that are drawn at most: the most frequent of more.
pub(crate) const MAX_DRAWN: usize = 100;
const WIDTH: f64 = 620.0;
/// Steps of shade in the style sheet.
const SHADES: f64 = 8.0;

/// Counts by true class (rows) and predicted class (columns).
#[derive(Debug)]
pub(crate) struct Matrix<'a> {
    pub(crate) labels: &'a [String],
    pub(crate) counts: &'a [Vec<u64>],
    pub(crate) caption: &'a str,
}

impl Matrix<'_> {
    /// The share of a row's own class that a cell has.
    fn share(&self, row: usize, column: usize) -> Option<f64> {
        let total: u64 = self.counts[row].iter().sum();
        (total > 0).then(|| self.counts[row][column] as f64 / total as f64)
    }

    /// A table with numbers for few classes, a picture for many, each with the pairs that are confused most.
    pub(crate) fn html(&self, ids: &mut Ids) -> String {
        if self.labels.len() <= MAX_WRITTEN { self.written() } else { self.drawn(ids) }
    }

    fn written(&self) -> String {
        let n = self.labels.len();
        let caption = escaped(self.caption);
        let mut out = format!(
            "<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-label=\"{caption}\"><table class=\"matrix\"><caption>\
             {caption}</caption><thead><tr><td></td><td></td><th scope=\"colgroup\" colspan=\"{n}\">predicted</th></tr><tr>\
             <td></td><td></td>"
        );
        for label in self.labels {
            push(&mut out, format_args!("<th scope=\"col\">{}</th>", escaped(label)));
        }
        out.push_str("</tr></thead><tbody>");
        for (row, label) in self.labels.iter().enumerate() {
            out.push_str("<tr>");
            if row == 0 {
                push(
                    &mut out,
                    format_args!("<th scope=\"rowgroup\" rowspan=\"{n}\" class=\"side\">true</th>"),
                );
            }
            push(&mut out, format_args!("<th scope=\"row\">{}</th>", escaped(label)));
            for (column, count) in self.counts[row].iter().enumerate() {
                let share = self.share(row, column);
                let shade = (share.unwrap_or(0.0) * SHADES).ceil();
                let kind = if row == column { "right" } else { "wrong" };
                push(&mut out, format_args!("<td class=\"{kind} shade{shade}\">{count}"));
                if let Some(share) = share {
                    push(&mut out, format_args!("<small>{}</small>", percent(share)));
                }
                out.push_str("</td>");
            }
            out.push_str("</tr>");
        }
        out.push_str("</tbody></table></div>");
        out
    }

    fn drawn(&self, ids: &mut Ids) -> String {
        let id = ids.next();
        let shown = self.most_frequent();
        let n = shown.len() as f64;
        let longest = shown.iter().map(|&i| self.labels[i].chars().count()).max().unwrap_or(1).min(14);
        // Labels stand beside each row as long as they are legible there.
        let named = shown.len() <= 50;
        let left = if named { 26.0 + longest as f64 * 5.6 } else { 26.0 };
        let top = left;
        let side = (WIDTH - left - 4.0) / n;
        let caption = escaped(self.caption);
        let mut out = format!(
            "<figure class=\"wide\"><figcaption><h4>{caption}</h4><p>Rows are the true classes, columns the predicted ones; the colour of a cell is the stronger, the larger its share of the true class. Blue is right, orange is wrong.{}</p></figcaption><div \
             class=\"scroll\" role=\"group\" tabindex=\"0\" aria-label=\"{caption}\"><svg class=\"chart big\" viewBox=\"0 0 \
             {WIDTH} {}\" role=\"img\" aria-labelledby=\"t{id}\"><title id=\"t{id}\">{caption}</title>",
            if shown.len() < self.labels.len() {
                format!(" Only the {} most frequent of {} classes are drawn.", shown.len(), self.labels.len())
            } else {
                String::new()
            },
            units(WIDTH - left + top)
        );
        let at = |i: usize, start: f64| units(start + i as f64 * side);
        push(
            &mut out,
            format_args!(
                "<text class=\"name\" text-anchor=\"middle\" x=\"{0}\" y=\"13\">predicted</text><text class=\"name\" \
                 text-anchor=\"middle\" transform=\"translate(13 {0}) rotate(-90)\">true</text><rect class=\"frame\" \
                 x=\"{1}\" y=\"{1}\" width=\"{2}\" height=\"{2}\"/>",
                units((left + WIDTH) / 2.0),
                units(left),
                units(WIDTH - left - 4.0)
            ),
        );
        for (i, &row) in shown.iter().enumerate() {
            let name = escaped(&shortened(&self.labels[row], longest));
            if named {
                let middle = (i as f64 + 0.5) * side;
                push(
                    &mut out,
                    format_args!(
                        "<text class=\"small\" text-anchor=\"end\" x=\"{}\" y=\"{}\" dy=\"3\">{name}</text><text \
                         class=\"small\" transform=\"translate({} {}) rotate(-90)\" dy=\"3\">{name}</text>",
                        units(left - 4.0),
                        units(top + middle),
                        units(left + middle),
                        units(top - 4.0)
                    ),
                );
            }
            for (j, &column) in shown.iter().enumerate() {
                let count = self.counts[row][column];
                if count == 0 {
                    continue;
                }
                let share = self.share(row, column).unwrap_or(0.0);
                let side = units(side);
                push(
                    &mut out,
                    format_args!(
                        "<rect class=\"{}\" fill-opacity=\"{:.2}\" x=\"{}\" y=\"{}\" width=\"{side}\" \
                         height=\"{side}\"><title>true {}, predicted {}: {count} ({})</title></rect>",
                        if row == column { "cell right" } else { "cell wrong" },
                        0.15 + 0.85 * share,
                        at(j, left),
                        at(i, top),
                        escaped(&self.labels[row]),
                        escaped(&self.labels[column]),
                        percent(share)
                    ),
                );
            }
        }
        out.push_str("</svg></div>");
        out.push_str(&self.confused().folded());
        out.push_str("</figure>\n");
        out
    }

    /// The classes that are drawn, in their order.
    fn most_frequent(&self) -> Vec<usize> {
        let mut classes: Vec<usize> = (0..self.labels.len()).collect();
        if classes.len() > MAX_DRAWN {
            let total = |class: &usize| std::cmp::Reverse(self.counts[*class].iter().sum::<u64>());
            order::sort_by_key(&mut classes, total);
            classes.truncate(MAX_DRAWN);
            classes.sort_unstable();
        }
        classes
    }

    /// The pairs of classes that are confused, the most frequent first.
    pub(crate) fn confused(&self) -> Table {
        let n = self.labels.len();
        let pairs = (0..n).flat_map(|row| (0..n).map(move |column| (row, column)));
        let mut pairs: Vec<(usize, usize)> =
            pairs.filter(|&(row, column)| row != column && self.counts[row][column] > 0).collect();
        order::sort_by_key(&mut pairs, |&(row, column)| std::cmp::Reverse(self.counts[row][column]));
        let mut table = Table::new(
            "Pairs of classes that are confused",
            &["true", "predicted", "rows", "share of the true class"],
        );
        for (row, column) in pairs {
            table.rows.push(vec![
                self.labels[row].clone(),
                self.labels[column].clone(),
                self.counts[row][column].to_string(),
                self.share(row, column).map_or(String::new(), percent),
            ]);
        }
        table
    }
}

/// A share in words.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 1.0 || percent > 99.0 && percent < 100.0 {
        return format!("{percent:.1} %");
    }
    format!("{percent:.0} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("<{i}>")).collect()
    }

    #[test]
    fn few_classes_are_a_table_that_names_true_and_predicted() {
        let (labels, counts) = (labels(2), [vec![3, 1], vec![0, 0]]);
        let html = Matrix { labels: &labels, counts: &counts, caption: "c" }.html(&mut Ids::default());
        assert!(html.contains("colspan=\"2\">predicted<") && html.contains(">true<"), "{html}");
        assert!(html.contains("<td class=\"right shade6\">3<small>75 %</small></td>"), "{html}");
        assert!(html.contains("<td class=\"wrong shade2\">1<small>25 %</small></td>"), "{html}");
        assert!(html.contains("<td class=\"wrong shade0\">0</td>"), "a class without rows has no shares");
        assert!(html.contains("&lt;0&gt;") && !html.contains("<0>"));
    }

    #[test]
    fn many_classes_are_drawn_and_of_very_many_the_most_frequent() {
        for n in [50, 130] {
            let labels = labels(n);
            let counts: Vec<Vec<u64>> = (0..n)
                .map(|i| (0..n).map(|j| if i == j { i as u64 } else { u64::from(j == 0) }).collect())
                .collect();
            let html = Matrix { labels: &labels, counts: &counts, caption: "c" }.html(&mut Ids::default());
            assert_eq!(html.contains("100 most frequent of 130"), n == 130);
            assert!(html.matches("cell right").count() <= MAX_DRAWN);
            assert!(html.contains("true &lt;40&gt;, predicted &lt;40&gt;: 40 (98 %)"), "{n}");
        }
    }

    #[test]
    fn shares_near_the_ends_keep_a_decimal() {
        assert_eq!([0.0, 0.004, 0.5, 0.996, 1.0].map(percent), ["0 %", "0.4 %", "50 %", "99.6 %", "100 %"]);
    }
}
