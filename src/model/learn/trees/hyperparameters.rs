//! The hyperparameters of trees: their names, defaults and ranges, and the words among them as types.

use crate::model::learn::hyperparameter::{MONOTONIC, Preset, Word};
use crate::model::learn::{Parameter, Range, Settings};

/// `none` or a whole number from 1.
const WHOLE_OR_NONE: Range = Range::AnyOf(&[Range::Choice(&["none"]), Range::Whole(1, u64::MAX)]);

/// Depth of the deepest leaf.
pub(crate) const MAX_DEPTH: Parameter = Parameter {
    name: "max_depth",
    default: "none",
    range: WHOLE_OR_NONE,
    effect: "depth of the deepest leaf",
};

pub(crate) const MIN_SAMPLES_SPLIT: Parameter = Parameter {
    name: "min_samples_split",
    default: "2",
    range: Range::Whole(2, u64::MAX),
    effect: "fewest rows of a node that is split",
};

pub(crate) const MIN_SAMPLES_LEAF: Parameter = Parameter {
    name: "min_samples_leaf",
    default: "1",
    range: Range::Whole(1, u64::MAX),
    effect: "fewest rows of a leaf",
};

pub(crate) const MAX_LEAF_NODES: Parameter = Parameter {
    name: "max_leaf_nodes",
    default: "none",
    range: Range::AnyOf(&[Range::Choice(&["none"]), Range::Whole(2, u64::MAX)]),
    effect: "most leaves of a tree, which then grows best-first",
};

pub(crate) const FEATURES: Range = Range::AnyOf(&[
    Range::Choice(&["auto", "sqrt", "log2", "none"]),
    Range::Whole(1, u64::MAX),
    Range::Above(0.0, 1.0),
]);

pub(crate) const MAX_FEATURES: Parameter = Parameter {
    name: "max_features",
    default: "auto",
    range: FEATURES,
    effect: "columns drawn for each split, as a number (1) or a share (1.0); auto is sqrt for classification \
             and all for regression",
};

pub(crate) const N_ESTIMATORS: Parameter = Parameter {
    name: "n_estimators",
    default: "100",
    range: Range::Whole(1, 100_000),
    effect: "number of trees",
};

pub(crate) const CRITERION: Parameter = Parameter {
    name: "criterion",
    default: "auto",
    range: Range::Choice(CriterionName::WORDS),
    effect: "impurity that splits minimise; auto is gini for classification (or entropy, also named \
             log_loss) and squared_error for regression (or poisson, for counts)",
};

pub(crate) const MIN_IMPURITY_DECREASE: Parameter = Parameter {
    name: "min_impurity_decrease",
    default: "0.0",
    range: Range::From(0.0, f64::INFINITY),
    effect: "least decrease of the impurity of the whole tree by a split",
};

pub(crate) const CCP_ALPHA: Parameter = Parameter {
    name: "ccp_alpha",
    default: "0.0",
    range: Range::From(0.0, f64::INFINITY),
    effect: "impurity that a leaf must save; a grown tree is pruned if its leaves save less",
};

pub(crate) const MAX_SAMPLES: Parameter = Parameter {
    name: "max_samples",
    default: "none",
    range: Range::AnyOf(&[Range::Choice(&["none"]), Range::Whole(1, u64::MAX), Range::Above(0.0, 1.0)]),
    effect: "rows drawn for each tree with bootstrap=true, as a number (100) or a share (0.5); none is as many \
             as there are",
};

pub(crate) const OOB_SCORE: Parameter = Parameter {
    name: "oob_score",
    default: "false",
    range: Range::Flag,
    effect: "whether to note how well each row is predicted by the trees that did not see it",
};

/// Whether trees draw rows; the default differs.
pub(crate) const fn bootstrap(default: &'static str) -> Parameter {
    Parameter {
        name: "bootstrap",
        default,
        range: Range::Flag,
        effect: "whether each tree sees rows drawn with replacement, or all",
    }
}

const SHARE: Range = Range::Above(0.0, 1.0);

const LOSS: Parameter = Parameter {
    name: "loss",
    default: "auto",
    range: Range::Choice(LossName::WORDS),
    effect: "loss that is minimised; auto is log_loss for classification and squared_error for regression",
};

const EARLY_STOPPING: Parameter = Parameter {
    name: "early_stopping",
    default: "auto",
    range: Range::Choice(EarlyStopping::WORDS),
    effect: "whether to hold rows out and stop when their loss no longer falls; auto does from 10,000 \
             rows",
};

/// The presets of gradient boosting. Those of other libraries name every setting, so that new defaults of mlapi do not
/// change them. scikit-learn's `min_cat_support` of 10 is that of `cat_smooth`.
static PRESETS: [Preset; 3] = [
    Preset { name: "mlapi", defaults: &[] },
    Preset {
        name: "scikit-learn",
        defaults: &[
            ("learning_rate", "0.1"),
            ("n_estimators", "100"),
            ("max_leaf_nodes", "31"),
            ("max_depth", "none"),
            ("min_samples_leaf", "20"),
            ("l2_regularization", "0.0"),
            ("max_delta_step", "0"),
            ("softmax_factor", "1"),
            ("subsample", "1.0"),
            ("colsample_bytree", "1.0"),
            ("max_features", "1.0"),
            ("cat_smooth", "10"),
            ("cat_l2", "0"),
            ("min_data_per_group", "1"),
            ("early_stopping", "auto"),
            ("validation_fraction", "0.1"),
            ("n_iter_no_change", "10"),
            ("tol", "1e-7"),
        ],
    },
    Preset {
        name: "lightgbm",
        defaults: &[
            ("learning_rate", "0.1"),
            ("n_estimators", "100"),
            ("max_leaf_nodes", "31"),
            ("max_depth", "none"),
            ("min_samples_leaf", "20"),
            ("l2_regularization", "0.0"),
            ("max_delta_step", "0"),
            ("softmax_factor", "auto"),
            ("subsample", "1.0"),
            ("colsample_bytree", "1.0"),
            ("max_features", "1.0"),
            ("cat_smooth", "10"),
            ("cat_l2", "10"),
            ("min_data_per_group", "100"),
            ("early_stopping", "false"),
            ("validation_fraction", "0.1"),
            ("n_iter_no_change", "10"),
            ("tol", "1e-7"),
        ],
    },
];

const AUTO: Range = Range::Choice(&["auto"]);

/// `auto` or a number not below 0.
const NUMBER_OR_AUTO: Range = Range::AnyOf(&[AUTO, Range::From(0.0, f64::INFINITY)]);

/// Fewest rows of a level that a split of a forest may tell from others.
pub(crate) const MIN_LEVEL_ROWS: Parameter = Parameter {
    name: "min_samples_level",
    default: "auto",
    range: Range::AnyOf(&[Range::Choice(&["auto"]), Range::Whole(1, u64::MAX)]),
    effect: "of a category of more than 8 levels, fewest rows of a level that a split may send left; levels are \
             ordered by means that as many rows of the mean of the node are added to, so that rare levels do not \
             overfit; 1 is neither; auto is 5 for classification and 3 for regression (scikit-learn has no categories)",
};

pub(crate) const PRIOR_WEIGHT: Parameter = Parameter {
    name: "prior_weight",
    default: "0.0",
    range: Range::From(0.0, f64::INFINITY),
    effect: "rows that are added to each leaf with the class shares, or the mean, of all rows (the m of the \
             m-estimate); above 0 no probability is exactly 0 (scikit-learn: 0)",
};

/// The hyperparameters of gradient boosting.
pub(crate) static BOOSTING: [Parameter; 23] = [
    Parameter {
        name: "preset",
        default: "mlapi",
        range: Range::Presets(&PRESETS),
        effect: "defaults of the other hyperparameters: those below, scikit-learn's or LightGBM's; settings beside \
                 it override them",
    },
    LOSS,
    Parameter {
        name: "quantile",
        default: "0.5",
        range: Range::From(0.0, 1.0),
        effect: "for loss=quantile: the share of the rows whose target is below the prediction",
    },
    Parameter {
        name: "tweedie_power",
        default: "1.5",
        range: Range::From(1.001, 1.999),
        effect: "for loss=tweedie: the variance of the target is a multiple of this power of its mean; near 1 as \
                 Poisson, near 2 as gamma (LightGBM's tweedie_variance_power)",
    },
    Parameter {
        name: "learning_rate",
        default: "auto",
        range: Range::AnyOf(&[AUTO, Range::Above(0.0, f64::INFINITY)]),
        effect: "how far each tree goes; smaller needs more rounds and is often better; auto is 0.05 up to 10,000 rows \
                 with one tree per round, else 0.1 (scikit-learn: 0.1)",
    },
    Parameter {
        name: "n_estimators",
        default: "auto",
        range: Range::AnyOf(&[AUTO, Range::Whole(1, 100_000)]),
        effect: "most rounds; a round is one tree, or one per class for three classes and more; auto finds their number: \
                 up to 10,000 rows the one whose mean loss over five folds (three beyond 1,000 rows) is least, of at \
                 most 1000, and then fits all rows; beyond, early_stopping finds it, up to 250; with \
                 early_stopping=false it is 10 / learning_rate; the card has the number (scikit-learn: 100)",
    },
    Parameter {
        name: "max_leaf_nodes",
        default: "auto",
        range: Range::AnyOf(&[Range::Choice(&["auto", "none"]), Range::Whole(2, u64::MAX)]),
        effect: "most leaves of a tree; auto is 6 below 500 rows, 16 up to 10,000, 31 beyond (scikit-learn: 31)",
    },
    MAX_DEPTH,
    Parameter {
        name: "min_samples_leaf",
        default: "auto",
        range: Range::AnyOf(&[AUTO, Range::Whole(1, u64::MAX)]),
        effect: "fewest rows of a leaf; auto is 5 below 500 rows, 10 up to 10,000, 20 beyond (scikit-learn: 20)",
    },
    Parameter {
        name: "l2_regularization",
        default: "auto",
        range: NUMBER_OR_AUTO,
        effect: "penalty on large leaf values, in second derivatives; auto is that of 3 rows: 3 times the mean \
                 weight, of counts and tweedie 3 times the mean second derivative (scikit-learn: 0)",
    },
    Parameter {
        name: "max_delta_step",
        default: "auto",
        range: NUMBER_OR_AUTO,
        effect: "largest value of a leaf before learning_rate (XGBoost's name), which keeps the probabilities of \
                 rare classes from 0 and 1; 0 is no limit, as in scikit-learn and LightGBM; auto is 5 for \
                 classification and 0 for regression",
    },
    Parameter {
        name: "softmax_factor",
        default: "auto",
        range: Range::AnyOf(&[Range::Choice(&["auto"]), Range::From(1.0, 2.0)]),
        effect: "for three classes and more: factor on second derivatives, larger makes smaller steps; auto is \
                 k / (k - 1) for k classes, as in LightGBM (scikit-learn: 1, XGBoost: 2)",
    },
    Parameter {
        name: "subsample",
        default: "0.8",
        range: SHARE,
        effect: "share of the rows that each tree sees (scikit-learn: 1)",
    },
    Parameter {
        name: "colsample_bytree",
        default: "0.6",
        range: SHARE,
        effect: "share of the columns that each tree sees (the name in XGBoost and LightGBM; scikit-learn has none)",
    },
    Parameter {
        name: "max_features",
        default: "1.0",
        range: SHARE,
        effect: "share of the columns drawn for each split",
    },
    Parameter {
        name: "cat_smooth",
        default: "10",
        range: Range::From(0.0, f64::INFINITY),
        effect: "of a category of more than 4 levels, second derivatives that are added to those of a level to \
                 order levels, and fewest rows of a level that a split may send left (LightGBM's name); with \
                 min_data_per_group=auto also at most one per 20 rows per class, from 3 on",
    },
    Parameter {
        name: "cat_l2",
        default: "auto",
        range: NUMBER_OR_AUTO,
        effect: "l2_regularization that is added in splits on such a category; auto is one per 100 rows per class, \
                 from 3 to 10 (LightGBM: 10)",
    },
    Parameter {
        name: "min_data_per_group",
        default: "auto",
        range: Range::AnyOf(&[Range::Choice(&["auto"]), Range::Whole(1, 1 << 40)]),
        effect: "fewest rows of a side of a split on such a category; auto is one per 50 rows per class, from 10 \
                 to 100 (LightGBM: 100)",
    },
    Parameter {
        name: MONOTONIC,
        default: "none",
        range: Range::AnyOf(&[Range::Choice(&["none"]), Range::Directions]),
        effect: "columns of numbers along which predictions never fall (`:+`) or never rise (`:-`), all other columns \
                 being equal; of two classes that is the probability of the second, of more the score of each class, \
                 and not its probability; a missing value may stand anywhere (scikit-learn's monotonic_cst)",
    },
    EARLY_STOPPING,
    Parameter {
        name: "validation_fraction",
        default: "0.1",
        range: Range::Above(0.0, 0.9),
        effect: "share of the rows that is held out for early_stopping",
    },
    Parameter {
        name: "n_iter_no_change",
        default: "20",
        range: Range::Whole(1, u64::MAX),
        effect: "rounds without a better held-out loss after which early_stopping stops (scikit-learn: 10)",
    },
    Parameter {
        name: "tol",
        default: "1e-7",
        range: Range::From(0.0, f64::INFINITY),
        effect: "a held-out loss is better if it is smaller by more than this",
    },
];

/// The hyperparameter `criterion`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CriterionName {
    Auto,
    Gini,
    Entropy,
    LogLoss,
    SquaredError,
    Poisson,
}

impl Word for CriterionName {
    const WORDS: &'static [&'static str] =
        &["auto", "gini", "entropy", "log_loss", "squared_error", "poisson"];
    const ALL: &'static [Self] =
        &[Self::Auto, Self::Gini, Self::Entropy, Self::LogLoss, Self::SquaredError, Self::Poisson];
}

impl CriterionName {
    /// Its name in `--set`.
    pub(crate) fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    /// Whether it is Shannon's entropy, under either of its names.
    pub(crate) fn is_entropy(self) -> bool {
        matches!(self, Self::Entropy | Self::LogLoss)
    }
}

/// The hyperparameter `loss` of boosting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LossName {
    Auto,
    LogLoss,
    SquaredError,
    AbsoluteError,
    Quantile,
    Poisson,
    Gamma,
    Tweedie,
}

impl Word for LossName {
    const WORDS: &'static [&'static str] =
        &["auto", "log_loss", "squared_error", "absolute_error", "quantile", "poisson", "gamma", "tweedie"];
    const ALL: &'static [Self] = &[
        Self::Auto,
        Self::LogLoss,
        Self::SquaredError,
        Self::AbsoluteError,
        Self::Quantile,
        Self::Poisson,
        Self::Gamma,
        Self::Tweedie,
    ];
}

impl LossName {
    /// Its name in `--set`.
    pub(crate) fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// The hyperparameter `early_stopping`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EarlyStopping {
    Auto,
    Always,
    Never,
}

impl Word for EarlyStopping {
    const WORDS: &'static [&'static str] = &["auto", "true", "false"];
    const ALL: &'static [Self] = &[Self::Auto, Self::Always, Self::Never];
}

/// A whole number, or `usize::MAX` for `none`.
pub(crate) fn whole_or_unlimited(settings: &Settings, name: &str) -> usize {
    settings.optional_whole(name).unwrap_or(usize::MAX)
}

/// How many columns a split looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MaxFeatures {
    Auto,
    Sqrt,
    Log2,
    All,
    Count(usize),
    Share(f64),
}

impl MaxFeatures {
    /// The number of columns that was set.
    pub(crate) fn of(settings: &Settings) -> Self {
        match (settings.word("max_features"), settings.optional_whole("max_features")) {
            ("auto", _) => Self::Auto,
            ("sqrt", _) => Self::Sqrt,
            ("log2", _) => Self::Log2,
            (_, Some(count)) => Self::Count(count),
            ("none", _) => Self::All,
            _ => Self::Share(settings.number("max_features")),
        }
    }

    /// The number of columns that a split searches, of `n_columns`.
    pub(crate) fn count(self, n_columns: usize, is_classification: bool) -> usize {
        let n = n_columns as f64;
        let count = match self {
            Self::Auto if is_classification => n.sqrt() as usize,
            Self::Auto | Self::All => n_columns,
            Self::Sqrt => n.sqrt() as usize,
            Self::Log2 => n.log2() as usize,
            Self::Count(count) => count,
            Self::Share(share) => (share * n) as usize,
        };
        count.clamp(1, n_columns.max(1))
    }
}

/// How many rows a tree draws.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MaxSamples {
    All,
    Count(usize),
    Share(f64),
}

impl MaxSamples {
    /// The number of rows that was set.
    pub(crate) fn of(settings: &Settings) -> Self {
        match (settings.optional_whole("max_samples"), settings.number("max_samples")) {
            (Some(count), _) => Self::Count(count),
            (None, share) if share > 0.0 => Self::Share(share),
            _ => Self::All,
        }
    }

    /// The number of rows that a tree draws of `n_rows`.
    pub(crate) fn count(self, n_rows: usize) -> usize {
        match self {
            Self::All => n_rows,
            Self::Count(count) => count,
            Self::Share(share) => ((share * n_rows as f64).round() as usize).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::Task;
    use crate::model::learn::{Spec, algorithm};

    fn settings(name: &str, key: &str, value: &str) -> Settings {
        let pair = (key.to_string(), value.to_string());
        Spec::new(algorithm(name).unwrap(), Task::Regression, &[pair]).unwrap().settings
    }

    #[test]
    fn every_word_that_may_be_set_is_told_from_the_others() {
        fn check<T: Word + std::fmt::Debug + PartialEq>(algorithm: &str, parameter: Parameter) {
            assert_eq!(parameter.range, Range::Choice(T::WORDS));
            let set = |word: &&str| settings(algorithm, parameter.name, word).choice::<T>(parameter.name);
            assert_eq!(T::WORDS.iter().map(set).collect::<Vec<_>>(), T::ALL);
        }
        check::<CriterionName>("tree", CRITERION);
        check::<LossName>("boost", LOSS);
        check::<EarlyStopping>("boost", EARLY_STOPPING);
    }

    #[test]
    fn a_number_of_columns_or_rows_is_a_word_a_count_or_a_share() {
        let columns = |value: &str| {
            let set = MaxFeatures::of(&settings("forest", "max_features", value));
            (set.count(100, true), set.count(100, false))
        };
        assert_eq!(columns("auto"), (10, 100));
        assert_eq!(columns("sqrt"), (10, 10));
        assert_eq!(columns("log2"), (6, 6));
        assert_eq!(columns("none"), (100, 100));
        assert_eq!(columns("1"), (1, 1));
        assert_eq!(columns("1.0"), (100, 100));
        assert_eq!(columns("0.001"), (1, 1));
        assert_eq!(columns("500"), (100, 100));
        let rows = |value: &str| MaxSamples::of(&settings("forest", "max_samples", value)).count(200);
        assert_eq!([rows("none"), rows("7"), rows("0.25"), rows("0.0001")], [200, 7, 50, 1]);
    }
}
