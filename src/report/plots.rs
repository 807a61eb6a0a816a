//! Plots of an evaluation as text, for `eval --plot`: curves of Braille dots, a shaded confusion matrix, bars.

use super::charts::plot::short;
use super::charts::scale::Scale;
use super::markup::shortened;
use crate::model::evaluation::curves::Curves;
use crate::model::evaluation::detail::DetailedEvaluation;
use crate::model::evaluation::residuals::Residuals;
use crate::model::evaluation::{ClassRow, ConfusionMatrix};

/// The characters that plots are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Eight dots a character, blocks and shades.
    Braille,
    /// ASCII alone.
    Ascii,
}

/// Characters of a plot, without its axes.
const WIDTH: usize = 48;
const HEIGHT: usize = 14;
/// Classes of a shaded matrix and of bars.
const MAX_CLASSES: usize = 12;
const BAR: usize = 30;
/// Curves of one plot.
const MAX_CURVES: usize = 4;

/// All plots that the parts of an evaluation allow, each with an empty line before it.
pub(crate) fn plots(found: &DetailedEvaluation, style: Style) -> String {
    let mut out = String::new();
    let evaluation = &found.evaluation;
    if let Some(confusion) =
        evaluation.confusion_matrix.as_ref().filter(|all| all.labels.len() <= MAX_CLASSES)
    {
        out += &matrix(confusion, style);
    }
    if let Some(classes) = evaluation.classes.as_ref().filter(|all| all.len() <= MAX_CLASSES) {
        out += &recalls(classes, style);
    }
    if let Some(curves) = &found.curves {
        out += &curves_of(curves, style);
    }
    if let Some(residuals) = &found.residuals {
        out += &errors(residuals, &evaluation.target, style);
    }
    out
}

/// A canvas of dots between two axes.
struct Canvas<'a> {
    x: &'a Scale,
    y: &'a Scale,
    style: Style,
    /// Bits of Braille per character, row by row from the top.
    cells: Vec<u8>,
}

impl<'a> Canvas<'a> {
    fn new(x: &'a Scale, y: &'a Scale, style: Style) -> Self {
        Self { x, y, style, cells: vec![0; WIDTH * HEIGHT] }
    }

    /// Sets the dot at a place from 0 to 1 on both axes.
    fn set(&mut self, x: f64, y: f64) {
        let column = ((x * (WIDTH * 2) as f64) as usize).min(WIDTH * 2 - 1);
        let row = (((1.0 - y) * (HEIGHT * 4) as f64) as usize).min(HEIGHT * 4 - 1);
        // U+2800 plus these bits: the dots of a character in the order of Unicode.
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        self.cells[row / 4 * WIDTH + column / 2] |= BITS[row % 4][column % 2];
    }

    fn dot(&mut self, x: f64, y: f64) {
        if x.is_finite() && y.is_finite() {
            let (x, y) = (self.x.position(x), self.y.position(y));
            self.set(x, y);
        }
    }

    fn line(&mut self, points: impl Iterator<Item = (f64, f64)>) {
        let mut last: Option<(f64, f64)> = None;
        for (x, y) in points {
            if !x.is_finite() || !y.is_finite() {
                last = None;
                continue;
            }
            let at = (self.x.position(x), self.y.position(y));
            let from = last.unwrap_or(at);
            let steps =
                ((at.0 - from.0).abs() * 2.0 * WIDTH as f64).max((at.1 - from.1).abs() * 4.0 * HEIGHT as f64);
            let steps = steps.ceil().max(1.0);
            for step in 0..=steps as usize {
                let share = step as f64 / steps;
                self.set(from.0 + share * (at.0 - from.0), from.1 + share * (at.1 - from.1));
            }
            last = Some(at);
        }
    }

    /// The canvas with its axes under a title.
    fn text(&self, title: &str, x_name: &str) -> String {
        let ticks = self.y.ticks();
        let width = ticks.iter().map(|tick| tick.1.chars().count()).max().unwrap_or(1);
        let (side, corner, bottom) = match self.style {
            Style::Braille => ('│', '└', '─'),
            Style::Ascii => ('|', '+', '-'),
        };
        let mut out = format!("\n  {title}\n");
        for (row, cells) in self.cells.chunks(WIDTH).enumerate() {
            let is_here = |tick: &&(f64, String)| {
                ((1.0 - self.y.position(tick.0)) * (HEIGHT as f64 - 1.0)).round() as usize == row
            };
            let label = ticks.iter().find(is_here).map_or("", |tick| tick.1.as_str());
            let drawn: String = cells.iter().map(|bits| self.character(*bits)).collect();
            out += format!("  {label:>width$} {side}{drawn}").trim_end();
            out.push('\n');
        }
        out += &format!("  {:>width$} {corner}{}\n", "", bottom.to_string().repeat(WIDTH));
        let (low, high) = self.x.ends();
        let (low, high) = (short(low), short(high));
        let room = WIDTH.saturating_sub(low.chars().count() + high.chars().count());
        let name = shortened(x_name, room.saturating_sub(2));
        out += &format!("  {:>width$}  {low}{name:^room$}{high}\n", "");
        match self.style {
            Style::Braille => out,
            Style::Ascii => out.replace('−', "-"),
        }
    }

    fn character(&self, bits: u8) -> char {
        match (self.style, bits) {
            (_, 0) => ' ',
            (Style::Braille, bits) => char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' '),
            (Style::Ascii, bits) if bits.count_ones() > 3 => '*',
            (Style::Ascii, _) => '.',
        }
    }
}

fn curves_of(curves: &Curves, style: Style) -> String {
    let unit = Scale::unit();
    let mut out = String::new();
    let mut canvas = Canvas::new(&unit, &unit, style);
    let averages =
        curves.roc_averages.as_ref().map(|averages| (&averages.macro_average, "mean of all classes".into()));
    let of_one = || curves.roc.first().map(|curve| (curve, label(curve.label.as_ref())));
    if let Some((curve, name)) = averages.or_else(of_one) {
        canvas.line(curve.fpr.iter().copied().zip(curve.tpr.iter().copied()));
        let area = curve.auc.map_or("undefined".into(), short);
        out += &canvas.text(&format!("ROC, {name}: true positive rate; area {area}"), "false positive rate");
    }
    if !curves.calibration.is_empty() && curves.calibration.len() <= MAX_CURVES {
        let mut canvas = Canvas::new(&unit, &unit, style);
        for curve in &curves.calibration {
            let bins = &curve.equal_width;
            canvas.line(bins.predicted.iter().copied().zip(bins.observed.iter().copied()));
        }
        // The line of exact calibration, dotted.
        (0..=24).for_each(|i| canvas.dot(f64::from(i) / 24.0, f64::from(i) / 24.0));
        let names: Vec<String> = curves.calibration.iter().map(|curve| label(Some(&curve.label))).collect();
        let title = format!("Calibration of {}: observed share; dotted: exact", names.join(", "));
        out += &canvas.text(&title, "predicted probability");
    }
    out
}

fn errors(residuals: &Residuals, target: &str, style: Style) -> String {
    let points = &residuals.points;
    let both = Scale::of(points.iter().flat_map(|point| [point.truth, point.predicted]), 4);
    let mut canvas = Canvas::new(&both, &both, style);
    points.iter().for_each(|point| canvas.dot(point.truth, point.predicted));
    let mut out = canvas.text(&format!("Predicted {target}, by the true value"), &format!("true {target}"));
    let x = Scale::of(points.iter().map(|point| point.predicted), 4);
    let y = Scale::from_zero(points.iter().map(|point| point.truth - point.predicted), 4);
    let mut canvas = Canvas::new(&x, &y, style);
    points.iter().for_each(|point| canvas.dot(point.predicted, point.truth - point.predicted));
    let (low, high) = x.ends();
    (0..=24).for_each(|i| canvas.dot(low + (high - low) * f64::from(i) / 24.0, 0.0));
    out += &canvas.text("Residual (true minus predicted), by the prediction", &format!("predicted {target}"));
    out
}

fn matrix(confusion: &ConfusionMatrix, style: Style) -> String {
    let shades: [&str; 5] = match style {
        Style::Braille => ["  ", "░░", "▒▒", "▓▓", "██"],
        Style::Ascii => ["  ", "..", "::", "++", "##"],
    };
    let names: Vec<String> = confusion.labels.iter().map(|name| shortened(&label(Some(name)), 12)).collect();
    let digits = confusion.counts.iter().flatten().map(|n| n.to_string().len() + 3).max().unwrap_or(0);
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(digits);
    let first = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("true".len());
    let mut out =
        format!("\n  Confusion: shaded by the share of the true class\n  {:first$}  predicted\n", "");
    out += &format!("  {:first$}", "true");
    names.iter().for_each(|name| out += &format!("  {name:>width$}"));
    out.push('\n');
    for (name, counts) in names.iter().zip(&confusion.counts) {
        let all: u64 = counts.iter().sum();
        out += &format!("  {name:first$}");
        for &n in counts {
            let share = if all == 0 { 0.0 } else { n as f64 / all as f64 };
            let shade = shades[((share * 4.0).ceil() as usize).min(4)];
            out += &format!("  {:>width$}", format!("{shade} {n}"));
        }
        out.push('\n');
    }
    out
}

fn recalls(classes: &[ClassRow], style: Style) -> String {
    let (full, rest) = match style {
        Style::Braille => ("█", "·"),
        Style::Ascii => ("#", "."),
    };
    let names: Vec<String> = classes.iter().map(|class| shortened(&label(Some(&class.label)), 20)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut out = "\n  Recall of each class\n".to_string();
    for (name, class) in names.iter().zip(classes) {
        let n = (class.metrics.recall * BAR as f64).round() as usize;
        let bar = full.repeat(n.min(BAR)) + &rest.repeat(BAR.saturating_sub(n));
        out += &format!("  {name:width$}  {bar} {:.3}\n", class.metrics.recall);
    }
    out
}

fn label(value: Option<&serde_json::Value>) -> String {
    value.map_or(String::new(), |value| value.as_str().map_or_else(|| value.to_string(), str::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_from_corner_to_corner_is_one_in_both_styles() {
        let unit = Scale::unit();
        for style in [Style::Braille, Style::Ascii] {
            let mut canvas = Canvas::new(&unit, &unit, style);
            canvas.line([(0.0, 0.0), (1.0, 1.0)].into_iter());
            let text = canvas.text("t", "x");
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines.len(), HEIGHT + 4, "{text}");
            let drawn = |line: &str| line.split(['│', '|']).nth(1).unwrap().trim().to_string();
            assert!(!drawn(lines[2]).is_empty() && !drawn(lines[HEIGHT + 1]).is_empty(), "{text}");
            assert!(style == Style::Braille || text.is_ascii(), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
    }

    #[test]
    fn a_matrix_is_shaded_by_the_share_of_the_true_class() {
        let confusion =
            ConfusionMatrix { labels: vec!["a".into(), "b".into()], counts: vec![vec![9, 1], vec![0, 4]] };
        let text = matrix(&confusion, Style::Ascii);
        assert!(text.contains("  a     ## 9  .. 1\n") && text.contains("  b        0  ## 4\n"), "{text}");
    }
}
