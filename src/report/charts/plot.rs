//! Lines, bands, columns, dots and cells between two axes.

use super::super::markup::{Ids, escaped, push};
use super::scale::Scale;
use super::table::Table;

/// Size of a plot in its own units. It is shown at about this size on a phone, so that 11 units are legible text.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 290.0;
/// Units that a name beside a vertical axis takes.
const NAME_HEIGHT: f64 = 14.0;
/// Units of a plot above and below its area.
const TOP: f64 = 8.0;
const BOTTOM: f64 = 40.0;
/// Units that a character of a tick label takes at most.
const CHARACTER: f64 = 6.4;
/// Points of a line that have a hover title.
const MAX_HOVERED: usize = 40;

/// The look of a mark: one of the colours of the style sheet, which differ in lightness too, and a dash for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// The series of this number; they repeat after [`Look::N_SERIES`].
    Series(usize),
    /// The same series on other rows: thinner and dashed.
    Beside(usize),
    /// A summary of the other lines.
    Strong,
    /// One of many lines of which none stands out.
    Faint,
    /// What others are compared with.
    Reference,
}

impl Look {
    /// Series that can be distinguished.
    pub(crate) const N_SERIES: usize = 6;

    fn class(self) -> String {
        match self {
            Self::Series(i) => format!("s{}", i % Self::N_SERIES),
            Self::Beside(i) => format!("s{} beside", i % Self::N_SERIES),
            Self::Strong => "ink".into(),
            Self::Faint => "faint".into(),
            Self::Reference => "reference".into(),
        }
    }
}

/// The shape of a mark.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// Points in order, joined.
    Line(Vec<(f64, f64)>),
    /// `(x, low, high)` in order.
    Band(Vec<(f64, f64, f64)>),
    /// `(from, to, height)` from 0.
    Columns(Vec<(f64, f64, f64)>),
    /// Rectangles `(x, to x, y, to y)`, each with a hover text.
    Boxes(Vec<([f64; 4], String)>),
    /// Points with the text that is shown while the pointer is on them.
    Dots(Vec<(f64, f64, String)>),
    /// `(x, low, high)`: bars of error.
    Errors(Vec<(f64, f64, f64)>),
    /// Rectangles `(x, to x, y, to y)`, each of a shade from 0 to 1 and with a hover text.
    Cells(Vec<([f64; 4], f64, String)>),
}

/// One mark of a plot, or a series of them.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    /// The name in the legend; marks of the same name and look share an entry, an empty one has none.
    pub(crate) name: String,
    pub(crate) look: Look,
    pub(crate) shape: Shape,
    /// The hover text, if it is another than the name.
    title: String,
}

impl Mark {
    /// A named mark.
    pub(crate) fn new(name: impl Into<String>, look: Look, shape: Shape) -> Self {
        Self { name: name.into(), look, shape, title: String::new() }
    }

    /// The same with a hover text of its own, unless that is empty.
    pub(crate) fn titled(self, title: String) -> Self {
        Self { title, ..self }
    }

    /// A mark that the legend does not name.
    pub(crate) fn silent(look: Look, shape: Shape) -> Self {
        Self::new("", look, shape)
    }
}

/// A plot with its axes and its data.
#[derive(Debug, Clone)]
pub(crate) struct Plot {
    pub(crate) title: String,
    /// What is to be seen, in a sentence or two.
    pub(crate) description: String,
    pub(crate) x: (String, Scale),
    pub(crate) y: (String, Scale),
    pub(crate) marks: Vec<Mark>,
    pub(crate) table: Table,
}

/// The area between the axes.
struct Area<'a> {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
    x: &'a Scale,
    y: &'a Scale,
}

impl Area<'_> {
    fn x(&self, value: f64) -> String {
        units(self.left + self.x.position(value) * (self.right - self.left))
    }

    fn y(&self, value: f64) -> String {
        units(self.bottom - self.y.position(value) * (self.bottom - self.top))
    }

    fn width(&self, from: f64, to: f64) -> String {
        units((self.x.position(to) - self.x.position(from)).abs() * (self.right - self.left))
    }

    fn height(&self, from: f64, to: f64) -> String {
        units((self.y.position(to) - self.y.position(from)).abs() * (self.bottom - self.top))
    }
}

/// A coordinate, to a tenth.
pub(crate) fn units(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_string)
}

impl Plot {
    /// The figure: caption, legend, picture, and the data behind it.
    pub(crate) fn html(&self, ids: &mut Ids) -> String {
        let mut out = String::from("<figure><figcaption>");
        push(
            &mut out,
            format_args!("<h4>{}</h4><p>{}</p>", escaped(&self.title), escaped(&self.description)),
        );
        out.push_str("</figcaption>");
        self.legend(&mut out);
        self.picture(&mut out, ids);
        out.push_str(&self.table.folded());
        out.push_str("</figure>\n");
        out
    }

    /// A list before the picture, which wraps like text: it cannot hide a mark, nor one entry another.
    fn legend(&self, out: &mut String) {
        let mut entries: Vec<(&str, Look, &str)> = Vec::new();
        for mark in self.marks.iter().filter(|mark| !mark.name.is_empty()) {
            let kind = match mark.shape {
                Shape::Columns(_) | Shape::Boxes(_) | Shape::Cells(_) => "fill",
                Shape::Band(_) => "band",
                Shape::Dots(_) => "dot",
                Shape::Line(_) | Shape::Errors(_) => "line",
            };
            match entries.iter_mut().find(|entry| entry.0 == mark.name && entry.1 == mark.look) {
                Some(entry) if kind == "line" => entry.2 = kind,
                Some(_) => {}
                None => entries.push((&mark.name, mark.look, kind)),
            }
        }
        if entries.len() < 2 {
            // The pictures of neighbours stand on one line, with a legend or without.
            out.push_str("<div class=\"legend\"></div>");
            return;
        }
        out.push_str("<ul class=\"legend\">");
        for (name, look, kind) in entries {
            let class = look.class();
            let key = match kind {
                "line" => format!("<path class=\"line {class}\" d=\"M0 6H22\"/>"),
                "dot" => format!("<circle class=\"dot {class}\" cx=\"11\" cy=\"6\" r=\"4\"/>"),
                kind => {
                    format!("<rect class=\"{kind} {class}\" x=\"2\" y=\"1\" width=\"18\" height=\"10\"/>")
                }
            };
            push(
                out,
                format_args!(
                    "<li><svg class=\"key\" width=\"22\" height=\"12\" aria-hidden=\"true\">{key}</svg>{}</li>",
                    escaped(name)
                ),
            );
        }
        out.push_str("</ul>");
    }

    /// Higher if the names beside the vertical axis need it.
    fn height(&self) -> f64 {
        let (_, scale) = &self.y;
        let names = if scale.is_named() { scale.ticks().len() } else { 0 };
        HEIGHT.max(names as f64 * NAME_HEIGHT + TOP + BOTTOM)
    }

    fn picture(&self, out: &mut String, ids: &mut Ids) {
        let id = ids.next();
        push(
            out,
            format_args!(
                "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-labelledby=\"t{id}\" \
                 aria-describedby=\"d{id}\"><title id=\"t{id}\">{}</title><desc id=\"d{id}\">{}</desc>",
                units(self.height()),
                escaped(&self.title),
                escaped(&self.description)
            ),
        );
        let y_ticks = self.y.1.ticks();
        let longest = y_ticks.iter().map(|tick| tick.1.chars().count()).max().unwrap_or(1);
        let area = Area {
            left: 24.0 + longest as f64 * CHARACTER,
            top: TOP,
            right: WIDTH - 18.0,
            bottom: self.height() - BOTTOM,
            x: &self.x.1,
            y: &self.y.1,
        };
        self.axes(out, &area, &y_ticks);
        for mark in &self.marks {
            draw(out, &area, mark);
        }
        out.push_str("</svg>");
    }

    fn axes(&self, out: &mut String, area: &Area, y_ticks: &[(f64, String)]) {
        let (left, right) = (units(area.left), units(area.right));
        let (top, bottom) = (units(area.top), units(area.bottom));
        let class = |scale: &Scale| if scale.is_named() { "none" } else { "grid" };
        for (tick, label) in y_ticks {
            let y = area.y(*tick);
            push(
                out,
                format_args!(
                    "<path class=\"{}\" d=\"M{left} {y}H{right}\"/><text class=\"tick\" text-anchor=\"end\" \
                     x=\"{}\" y=\"{y}\" dy=\"4\">{}</text>",
                    class(area.y),
                    units(area.left - 5.0),
                    escaped(label)
                ),
            );
        }
        for (tick, label) in shown_ticks(area.x, area.right - area.left) {
            let x = area.x(tick);
            // The last label stays within the picture.
            let half = label.chars().count() as f64 * CHARACTER / 2.0;
            let middle = area.left + area.x.position(tick) * (area.right - area.left);
            push(
                out,
                format_args!(
                    "<path class=\"{}\" d=\"M{x} {top}V{bottom}\"/><text class=\"tick\" text-anchor=\"middle\" \
                     x=\"{}\" y=\"{}\">{}</text>",
                    class(area.x),
                    units(middle.min(WIDTH - half)),
                    units(area.bottom + 15.0),
                    escaped(&label)
                ),
            );
        }
        push(out, format_args!("<path class=\"axis\" d=\"M{left} {top}V{bottom}H{right}\"/>"));
        let (x, y) = ((area.left + area.right) / 2.0, (area.top + area.bottom) / 2.0);
        push(
            out,
            format_args!(
                "<text class=\"name\" text-anchor=\"middle\" x=\"{}\" y=\"{}\">{}</text><text class=\"name\" \
                 text-anchor=\"middle\" transform=\"translate(11 {}) rotate(-90)\">{}</text>",
                units(x),
                units(self.height() - 7.0),
                name(&self.x.0, 54),
                units(y),
                name(&self.y.0, 38)
            ),
        );
    }
}

/// The name of an axis, no longer than it has room.
fn name(text: &str, n: usize) -> String {
    escaped(&super::super::markup::shortened(text, n))
}

/// The ticks of a horizontal axis whose labels have room, evenly spaced.
fn shown_ticks(scale: &Scale, width: f64) -> Vec<(f64, String)> {
    let ticks = scale.ticks();
    let longest = ticks.iter().map(|tick| tick.1.chars().count()).max().unwrap_or(1);
    // Ticks between bins do not reach the ends.
    let ends = [ticks.first(), ticks.last()].map(|tick| tick.map_or(0.0, |tick| scale.position(tick.0)));
    let width = width * (ends[1] - ends[0]);
    let room = (width / (longest as f64 * CHARACTER + 8.0)).floor().max(2.0) as usize;
    let every = ticks.len().saturating_sub(1).div_ceil(room).max(1);
    ticks.into_iter().step_by(every).collect()
}

fn draw(out: &mut String, area: &Area, mark: &Mark) {
    let class = mark.look.class();
    let name = escaped(if mark.title.is_empty() { &mark.name } else { &mark.title });
    match &mark.shape {
        Shape::Line(points) => {
            push(out, format_args!("<path class=\"line {class}\" d=\"{}\">", path(area, points)));
            if !name.is_empty() {
                push(out, format_args!("<title>{name}</title>"));
            }
            out.push_str("</path>");
            if matches!(mark.look, Look::Series(_)) {
                hover(out, area, &name, points);
            }
        }
        Shape::Band(points) => {
            let upper = points.iter().map(|&(x, _, high)| (x, high));
            let lower = points.iter().rev().map(|&(x, low, _)| (x, low));
            let outline: Vec<(f64, f64)> = upper.chain(lower).collect();
            push(out, format_args!("<path class=\"band {class}\" d=\"{}Z\"/>", path(area, &outline)));
        }
        Shape::Columns(columns) => {
            for &(from, to, height) in columns {
                let top = area.y(height.max(0.0));
                push(
                    out,
                    format_args!(
                        "<rect class=\"fill {class}\" x=\"{}\" y=\"{top}\" width=\"{}\" height=\"{}\"><title>{name} {} \
                         to {}: {}</title></rect>",
                        area.x(from),
                        area.width(from, to),
                        area.height(0.0, height),
                        short(from),
                        short(to),
                        short(height)
                    ),
                );
            }
        }
        Shape::Boxes(boxes) => {
            for ([x, to_x, y, to_y], title) in boxes {
                push(
                    out,
                    format_args!(
                        "<rect class=\"fill {class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
                        area.x(*x),
                        area.y(*to_y),
                        area.width(*x, *to_x),
                        area.height(*y, *to_y),
                        escaped(title)
                    ),
                );
            }
        }
        Shape::Dots(dots) => {
            for (x, y, title) in dots {
                push(
                    out,
                    format_args!(
                        "<circle class=\"dot {class}\" cx=\"{}\" cy=\"{}\" r=\"3\">",
                        area.x(*x),
                        area.y(*y)
                    ),
                );
                if !title.is_empty() {
                    push(out, format_args!("<title>{}</title>", escaped(title)));
                }
                out.push_str("</circle>");
            }
        }
        Shape::Errors(errors) => {
            for &(x, low, high) in errors {
                let (x, low, high) = (area.x(x), area.y(low), area.y(high));
                push(out, format_args!("<path class=\"error {class}\" d=\"M{x} {low}V{high}\"/>"));
            }
        }
        Shape::Cells(cells) => {
            for ([x, to_x, y, to_y], shade, title) in cells {
                push(
                    out,
                    format_args!(
                        "<rect class=\"cell\" fill-opacity=\"{:.2}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}\
                         </title></rect>",
                        shade.clamp(0.0, 1.0),
                        area.x(*x),
                        area.y(*to_y),
                        area.width(*x, *to_x),
                        area.height(*y, *to_y),
                        escaped(title)
                    ),
                );
            }
        }
    }
}

/// The path of points; those that are no numbers interrupt it, those that lie on the one before are left out.
fn path(area: &Area, points: &[(f64, f64)]) -> String {
    let mut d = String::new();
    let (mut broken, mut last) = (true, (String::new(), String::new()));
    for &(x, y) in points {
        if !x.is_finite() || !y.is_finite() {
            broken = true;
            continue;
        }
        let at = (area.x(x), area.y(y));
        if broken {
            push(&mut d, format_args!("M{} {}", at.0, at.1));
        } else if at == last {
            continue;
        } else if at.1 == last.1 {
            push(&mut d, format_args!("H{}", at.0));
        } else if at.0 == last.0 {
            push(&mut d, format_args!("V{}", at.1));
        } else {
            push(&mut d, format_args!("L{} {}", at.0, at.1));
        }
        (broken, last) = (false, at);
    }
    d
}

/// Circles that are not seen and say where on a line the pointer is.
fn hover(out: &mut String, area: &Area, name: &str, points: &[(f64, f64)]) {
    for index in super::table::thinned(points.len(), MAX_HOVERED) {
        let (x, y) = points[index];
        if x.is_finite() && y.is_finite() {
            push(
                out,
                format_args!(
                    "<circle class=\"hover\" cx=\"{}\" cy=\"{}\" r=\"7\"><title>{name}{}{}, {}</title></circle>",
                    area.x(x),
                    area.y(y),
                    if name.is_empty() { "" } else { ": " },
                    short(x),
                    short(y)
                ),
            );
        }
    }
}

/// A number of a hover text or a table: four significant digits.
pub(crate) fn short(value: f64) -> String {
    if !value.is_finite() {
        return "undefined".into();
    }
    let size = value.abs();
    let text = match size {
        0.0 => return "0".into(),
        size if !(1e-4..1e7).contains(&size) => return format!("{value:.3e}").replace('-', "−"),
        size if size >= 1000.0 => format!("{value:.1}"),
        size => format!("{value:.*}", (3.0 - size.log10().floor()).clamp(0.0, 7.0) as usize),
    };
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(marks: Vec<Mark>) -> Plot {
        Plot {
            title: "Errors of <b>".into(),
            description: "A & B".into(),
            x: ("x".into(), Scale::unit()),
            y: ("y".into(), Scale::of([0.0, 123_456.0], 5)),
            marks,
            table: Table::new("t", &["x", "y"]),
        }
    }

    #[test]
    fn a_picture_has_a_title_a_description_and_a_table_and_names_stay_text() {
        let line = Mark::new("<script>", Look::Series(0), Shape::Line(vec![(0.0, 0.0), (1.0, 5.0)]));
        let html = plot(vec![line]).html(&mut Ids::default());
        assert!(html.contains("<title id=\"t1\">Errors of &lt;b&gt;</title>"), "{html}");
        assert!(html.contains("<desc id=\"d1\">A &amp; B</desc>"), "{html}");
        assert!(html.contains("<details>") && html.contains("&lt;script&gt;") && !html.contains("<script>"));
        assert!(!html.contains("<ul class=\"legend\""), "one line needs no legend");
    }

    #[test]
    fn levels_that_are_markup_are_text_on_an_axis() {
        let mut plot = plot(vec![]);
        plot.x.1 = Scale::named(vec!["<img>".into()]);
        plot.y.1 = Scale::named(vec!["<b>".into()]);
        let html = plot.html(&mut Ids::default());
        assert!(html.contains("&lt;img&gt;") && !html.contains("<img") && !html.contains("<b>"), "{html}");
    }

    #[test]
    fn a_legend_names_each_look_once_and_is_no_part_of_the_picture() {
        let line = |look| Mark::new("held out", look, Shape::Line(vec![(0.0, 0.0), (1.0, 5.0)]));
        let band = Mark::new("held out", Look::Series(0), Shape::Band(vec![(0.0, 0.0, 1.0)]));
        let marks = vec![
            band,
            line(Look::Series(0)),
            line(Look::Beside(0)),
            Mark::silent(Look::Faint, Shape::Line(vec![])),
        ];
        let html = plot(marks).html(&mut Ids::default());
        let legend = &html[html.find("<ul").unwrap()..html.find("</ul>").unwrap()];
        assert_eq!(legend.matches("<li>").count(), 2, "{legend}");
        assert!(html.find("</ul>") < html.find("<svg class=\"chart\""));
    }

    #[test]
    fn labels_of_an_axis_do_not_overlap() {
        for ends in [[0.0, 1.0], [0.0, 99_999.0], [-1e9, 1e9], [0.001, 0.0012], [1e-9, 3e-9]] {
            for n_ticks in 2..12 {
                let scale = Scale::of(ends, n_ticks);
                let width = 330.0;
                let shown = shown_ticks(&scale, width);
                for pair in shown.windows(2) {
                    let between = (scale.position(pair[1].0) - scale.position(pair[0].0)) * width;
                    let half = |label: &str| label.chars().count() as f64 * CHARACTER / 2.0;
                    assert!(half(&pair[0].1) + half(&pair[1].1) < between, "{pair:?} {between}");
                }
            }
        }
    }

    #[test]
    fn a_path_is_broken_where_there_is_no_number() {
        let (x, y) = (Scale::unit(), Scale::unit());
        let area = Area { left: 0.0, top: 0.0, right: 100.0, bottom: 100.0, x: &x, y: &y };
        let points =
            [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (f64::NAN, 0.1), (0.6, 0.6), (1.0, 1.0), (1.0, 1.0)];
        assert_eq!(path(&area, &points), "M0 100H50V50M60 40L100 0");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.123456, 12.0, -1234.56, 1e9, 0.5, f64::NAN].map(short);
        assert_eq!(shown, ["0", "0.1235", "12", "−1234.6", "1.000e9", "0.5", "undefined"]);
    }
}
