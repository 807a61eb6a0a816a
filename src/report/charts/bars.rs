//! Horizontal bars, one under the other, each with its name and its value as text.

use super::super::markup::{Ids, escaped, push, shortened};
use super::plot::{short, units};
use super::scale::Scale;
use super::table::Table;

const WIDTH: f64 = 400.0;
const ROW: f64 = 22.0;
/// Where bars begin: names have the room before.
const LEFT: f64 = 138.0;
const RIGHT: f64 = WIDTH - 72.0;
/// Characters of a name that have room.
const NAME: usize = 18;

/// One bar.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) value: f64,
    /// The interval or spread around the value.
    pub(crate) between: Option<(f64, f64)>,
}

/// Bars of a common scale.
#[derive(Debug, Clone)]
pub(crate) struct Bars {
    pub(crate) title: String,
    pub(crate) description: String,
    /// The meaning of the values.
    pub(crate) unit: String,
    pub(crate) bars: Vec<Bar>,
    pub(crate) table: Table,
}

impl Bars {
    /// The figure: caption, picture, and the data behind it.
    pub(crate) fn html(&self, ids: &mut Ids) -> String {
        let id = ids.next();
        let (title, description) = (escaped(&self.title), escaped(&self.description));
        let height = self.bars.len() as f64 * ROW + 40.0;
        let mut out = String::new();
        push(
            &mut out,
            format_args!(
                "<figure><figcaption><h4>{title}</h4><p>{description}</p></figcaption><div class=\"legend\"></div><svg class=\"chart\" viewBox=\"0 0 \
                 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"t{id}\" aria-describedby=\"d{id}\"><title id=\"t{id}\">\
                 {title}</title><desc id=\"d{id}\">{description}</desc>"
            ),
        );
        let ends = |bar: &Bar| bar.between.map_or([bar.value; 2], |between| [between.0, between.1]);
        let values = self.bars.iter().flat_map(|bar| ends(bar).into_iter().chain([bar.value]));
        let scale = Scale::from_zero(values, 3);
        let x = |value: f64| LEFT + scale.position(value) * (RIGHT - LEFT);
        let bottom = self.bars.len() as f64 * ROW + 4.0;
        for (tick, label) in scale.ticks() {
            let at = units(x(tick));
            push(
                &mut out,
                format_args!(
                    "<path class=\"grid\" d=\"M{at} 0V{}\"/><text class=\"tick\" text-anchor=\"middle\" x=\"{at}\" y=\"{}\">\
                     {label}</text>",
                    units(bottom),
                    units(bottom + 13.0)
                ),
            );
        }
        for (i, bar) in self.bars.iter().enumerate() {
            let top = i as f64 * ROW + 4.0;
            let middle = top + ROW / 2.0 - 2.0;
            let (from, to) = (x(bar.value.min(0.0)), x(bar.value.max(0.0)));
            let name = escaped(&bar.name);
            push(
                &mut out,
                format_args!(
                    "<g><title>{name}: {}</title><text class=\"label\" text-anchor=\"end\" x=\"{}\" y=\"{}\" dy=\"4\">{}\
                     </text><rect class=\"fill s0\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
                    short(bar.value),
                    units(LEFT - 6.0),
                    units(middle),
                    escaped(&shortened(&bar.name, NAME)),
                    units(from),
                    units(top),
                    units((to - from).max(0.5)),
                    units(ROW - 6.0)
                ),
            );
            if let Some((low, high)) = bar.between {
                push(
                    &mut out,
                    format_args!(
                        "<path class=\"error ink\" d=\"M{} {}H{}\"/>",
                        units(x(low)),
                        units(middle),
                        units(x(high))
                    ),
                );
            }
            push(
                &mut out,
                format_args!(
                    "<text class=\"label\" x=\"{}\" y=\"{}\" dy=\"4\">{}</text></g>",
                    units(RIGHT + 8.0),
                    units(middle),
                    short(bar.value)
                ),
            );
        }
        push(
            &mut out,
            format_args!(
                "<path class=\"axis\" d=\"M{0} 0V{1}\"/><text class=\"name\" text-anchor=\"middle\" x=\"{2}\" y=\"{3}\">{4}\
                 </text></svg>",
                units(x(0.0)),
                units(bottom),
                units((LEFT + RIGHT) / 2.0),
                units(bottom + 29.0),
                escaped(&self.unit)
            ),
        );
        out.push_str(&self.table.folded());
        out.push_str("</figure>\n");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_run_from_zero_to_either_side_and_keep_long_names_for_the_pointer() {
        let bar =
            |name: &str, value| Bar { name: name.into(), value, between: Some((value - 1.0, value + 1.0)) };
        let long = "a <name> that is longer than its room";
        let bars = Bars {
            title: "Importance".into(),
            description: "d".into(),
            unit: "loss".into(),
            bars: vec![bar(long, 4.0), bar("b", -1.0)],
            table: Table::new("t", &["feature", "loss"]),
        };
        let html = bars.html(&mut Ids::default());
        assert!(html.contains("<title>a &lt;name&gt; that is longer than its room: 4</title>"), "{html}");
        assert!(html.contains(">a &lt;name&gt; that is …<"), "{html}");
        assert_eq!(html.matches("class=\"fill s0\"").count(), 2);
        let widths: Vec<f64> = html
            .split("<rect ")
            .skip(1)
            .map(|rect| rect.split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        assert!((widths[0] / widths[1] - 4.0).abs() < 0.02, "{widths:?}");
    }
}
