//! The error of the crate's own calls, by what has to change for them to succeed.
//!
//! Inside the crate errors are [`anyhow::Error`]s; they get their kind at the door (`Model::open`, `Plan::train`, …).
//! [`usage()`] is the exception: only where a setting is read is it known that the setting is at fault.

use std::error::Error as StdError;
use std::fmt;

/// The message of an error and the errors that caused it.
type Cause = Box<dyn StdError + Send + Sync>;

/// Why a call failed.
///
/// The text names the place and the remedy; [`source`](StdError::source) leads to the errors that caused it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A setting that cannot be used, such as the name of a column that is not in the file. The command line ends
    /// with exit status 2.
    Usage(Cause),
    /// A file or a row that cannot be read, or that does not fit the model.
    Input(Cause),
    /// A model file that cannot be read or written, or is damaged.
    Model(Cause),
}

impl Error {
    fn cause(&self) -> &Cause {
        match self {
            Self::Usage(cause) | Self::Input(cause) | Self::Model(cause) => cause,
        }
    }

    /// Whether a setting is at fault.
    pub(crate) fn is_usage(error: &anyhow::Error) -> bool {
        matches!(error.downcast_ref(), Some(Self::Usage(_)))
    }

    /// An error of reading data, unless a setting is at fault.
    pub(crate) fn input(error: anyhow::Error) -> Self {
        if Self::is_usage(&error) { Self::Usage(error.into()) } else { Self::Input(error.into()) }
    }

    /// An error of reading or writing a model file.
    pub(crate) fn model(error: anyhow::Error) -> Self {
        Self::Model(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.cause().fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause().source()
    }
}

/// The user ended the work before there was anything to keep.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("interrupted before a model was fitted; nothing was written")
    }
}

impl StdError for Interrupted {}

/// An error that says that a setting cannot be used.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    Error::Usage(message.into().into()).into()
}

/// Something that was asked for does not hold; the text has a line for each. The command line ends with exit status 3.
#[derive(Debug)]
pub(crate) struct Unmet(pub(crate) String);

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unmet {}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_usage_error_stays_one_whatever_is_said_around_it() {
        let wrapped = Err::<(), _>(usage("--set C=x: not a number")).context("svm cannot be fitted");
        let error = Error::input(wrapped.unwrap_err());
        assert!(matches!(error, Error::Usage(_)));
        assert_eq!(error.to_string(), "svm cannot be fitted");
        assert_eq!(error.source().unwrap().to_string(), "--set C=x: not a number");
        assert!(matches!(Error::input(anyhow::anyhow!("no rows")), Error::Input(_)));
    }

    #[test]
    fn the_text_with_all_causes_is_the_same_inside_and_outside() {
        let inside = || anyhow::anyhow!("the disk is full").context("cannot write m.mlapi");
        let outside = anyhow::Error::new(Error::model(inside()));
        assert_eq!(format!("{outside:#}"), format!("{:#}", inside()));
    }
}
