//! The flags for delimited text, as the reader takes them.

use anyhow::Result;

use super::args::Dialect;
use crate::data::read::source::Options;
use crate::error::usage;
use crate::model::Model;

impl Dialect {
    /// The options of the reader; the first line is a header unless the flags say no.
    pub(super) fn options(&self) -> Options {
        Options {
            delimiter: self.delimiter,
            quote: self.quote.map(|quote| quote.0),
            header: !self.no_header,
            header_in_doubt: false,
            decimal_comma: self.decimal_comma(),
            encoding: self.encoding.and_then(|encoding| encoding.0),
            lines_to_skip: self.lines_to_skip,
            lines_left_out: self.skip_line.clone(),
            comment: self.comment,
            sheet: self.sheet.clone(),
            ..Options::default()
        }
    }

    /// Whether the flags say that decimals stand behind a comma.
    fn decimal_comma(&self) -> Option<bool> {
        let by_thousands = match self.thousands {
            Some('.') => Some(true),
            Some(',') => Some(false),
            _ => None,
        };
        self.decimal.map(|mark| mark == b',').or(by_thousands)
    }

    /// # Errors
    /// A usage error for flags that contradict each other.
    pub(super) fn check(&self) -> Result<()> {
        match (self.decimal, self.thousands) {
            (Some(mark), Some(between)) if char::from(mark) == between => Err(usage(format!(
                "--decimal {between} and --thousands {between}: one mark cannot be both; one of the two flags is enough"
            ))),
            _ => Ok(()),
        }
    }

    /// As [`Dialect::options`], for new data of a model; without a flag it has a header if the training file had one.
    pub(super) fn options_like(&self, model: &Model) -> Options {
        let header = (model.pipeline.schema.header || self.header) && !self.no_header;
        Options { header, blanks_likely: model.pipeline.schema.delimiter == b' ', ..self.options() }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Args, Verb};

    #[test]
    fn the_last_flag_on_the_header_counts_and_none_means_there_is_one() {
        let header = |flags: &[&str]| {
            let args = Args::parse_from([&["mlapi", "predict", "--input", "t.csv"], flags].concat());
            let Verb::Predict(predict) = args.verb else { panic!() };
            predict.dialect.options().header
        };
        assert!(header(&[]) && header(&["--header"]) && !header(&["--no-header"]));
        assert!(header(&["--no-header", "--header"]) && !header(&["--header", "--no-header"]));
    }
}
