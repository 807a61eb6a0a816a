//! The flags of `eval` beyond the metrics, those for predictions made elsewhere, and those of `diff`.

use clap::Args as ClapArgs;

use super::{Format, GLOBAL, ModelLimit};

/// `mlapi diff`
#[derive(Debug, ClapArgs)]
pub struct Diff {
    /// A model file
    #[arg(value_name = "A.mlapi")]
    pub a: String,

    /// Another model file
    #[arg(value_name = "B.mlapi")]
    pub b: String,

    /// Limit of the model files.
    #[command(flatten)]
    pub limit: ModelLimit,

    /// Format of the result
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = GLOBAL)]
    pub format: Format,
}

/// What an evaluation shows beyond its metrics.
#[derive(Debug, ClapArgs)]
pub struct Detail {
    /// Show the 95 % interval of each metric, which is the default.
    #[arg(long, overrides_with = "no_intervals", help = "Show the 95 % interval of each metric [default]")]
    pub intervals: bool,

    /// Show metrics without intervals
    #[arg(long, overrides_with = "intervals")]
    pub no_intervals: bool,

    /// Cost of a false positive and of a false negative; finds the cheapest threshold (two classes only)
    #[arg(long, value_name = "fp=1,fn=5", value_parser = parse_mistakes, conflicts_with = "costs")]
    pub cost: Option<Mistakes>,

    /// Costs as a CSV file: a header of predicted labels, then per row a true label and its costs
    #[arg(long, value_name = "FILE.csv")]
    pub costs: Option<String>,

    /// Also evaluate each value of a column, or range of its numbers, by itself; repeatable
    #[arg(long, value_name = "COL")]
    pub by: Vec<String>,

    /// Also evaluate the order of rows within each value of a column: ndcg@k, map@k, mrr
    #[arg(long, value_name = "COL")]
    pub rank_group: Option<String>,

    /// Order rows by the probability of LABEL [default: the positive class, or the predicted value]
    #[arg(long, value_name = "LABEL", requires = "rank_group")]
    pub rank_by: Option<String>,

    /// Lengths k of --rank-group [default: 5,10]
    #[arg(long, value_name = "K,…", value_delimiter = ',', requires = "rank_group", value_parser = super::values::parse_count)]
    pub rank_at: Vec<usize>,

    /// Find the parts of the rows in which the model is weakest
    #[arg(long)]
    pub weak: bool,

    /// Add thresholds, permutation importance, partial dependence, and the worst rows
    #[arg(long)]
    pub detail: bool,

    /// Add mean contributions of the columns, interactions of pairs of them, and the reasons of the worst rows
    #[arg(long, conflicts_with = "predictions")]
    pub explain: bool,

    /// Also write a report with charts as one HTML file
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<String>,

    /// Draw curves or errors, and the confusion matrix, as text
    #[arg(long)]
    pub plot: bool,

    /// Fit the model again on six shares of its training rows: how much would more rows help
    #[arg(long, conflicts_with_all = ["data", "predictions"])]
    pub learning_curve: bool,

    /// Compare with another model on the same rows
    #[arg(long, value_name = "OTHER.mlapi")]
    pub compare: Option<String>,

    /// Write the outcome of each --require as a JUnit XML file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<String>,

    /// Evaluate predictions made elsewhere: DATA, or FILE, has them in columns; no model is read
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with_all = ["model", "compare"])]
    pub predictions: Option<Option<String>>,

    /// Column of true values, with --predictions
    #[arg(long, value_name = "COL", requires = "predictions")]
    pub target: Option<String>,

    /// Column of predicted labels or numbers, with --predictions
    #[arg(long, value_name = "COL", requires = "predictions")]
    pub prediction: Option<String>,

    /// Column of the probability of a label, with --predictions; repeatable
    #[arg(long, value_name = "COL=LABEL", requires = "predictions", value_parser = super::values::parse_pair)]
    pub probability: Vec<(String, String)>,
}

impl Detail {
    /// Whether metrics have intervals.
    pub fn has_intervals(&self) -> bool {
        !self.no_intervals
    }
}

/// What mistakes cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mistakes {
    /// A negative that is predicted positive.
    pub false_positive: f64,
    /// A positive that is predicted negative.
    pub false_negative: f64,
}

/// `fp=1,fn=5`, in any order.
fn parse_mistakes(text: &str) -> Result<Mistakes, String> {
    let hint = || "write both costs, such as fp=1,fn=5".to_string();
    let (mut false_positive, mut false_negative) = (None, None);
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(hint)?;
        let value = value.trim().parse().ok().filter(|cost: &f64| cost.is_finite() && *cost >= 0.0);
        let value = value.ok_or("a cost is a number from 0")?;
        let place = match name.trim() {
            "fp" => &mut false_positive,
            "fn" => &mut false_negative,
            _ => return Err(hint()),
        };
        *place = Some(value);
    }
    match (false_positive, false_negative) {
        (Some(false_positive), Some(false_negative)) => Ok(Mistakes { false_positive, false_negative }),
        _ => Err(hint()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_of_mistakes_are_named_in_any_order() {
        let wanted = Mistakes { false_positive: 1.0, false_negative: 5.0 };
        assert_eq!(parse_mistakes("fp=1,fn=5"), Ok(wanted));
        assert_eq!(parse_mistakes("fn = 5, fp = 1"), Ok(wanted));
        for text in ["", "1,5", "fp=1", "fp=1,fn=", "fp=1,fn=-5", "fp=1,fn=inf", "fp=1,tn=5"] {
            assert!(parse_mistakes(text).is_err(), "{text}");
        }
    }
}
