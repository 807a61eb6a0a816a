//! Charts as SVG: a handful of marks, axes with round ticks, and a table with the data behind each.
//!
//! Colours are variables of the page's style sheet, so a chart follows its dark mode. Legends are lists of HTML before
//! the picture. Hover texts are `<title>` elements: there is no script.

pub(crate) mod bars;
pub(crate) mod matrix;
pub(crate) mod plot;
pub(crate) mod scale;
pub(crate) mod table;
