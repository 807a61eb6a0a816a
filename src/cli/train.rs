//! `mlapi train`: flags become a plan, the plan a model, the model a file; the user sees a summary.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::args::{CalibrateChoice, Common, DEFAULT_MODEL, DEFAULT_PORT, Format, OptimizeChoice, Train};
use super::report::{self, Before};
use super::term::{Term, write_json, write_text};
use super::trial::{Objective, Trial};
use crate::data::cells::cell::NullTokens;
use crate::data::read::source::Options;
use crate::error::{Unmet, usage};
use crate::model::evaluation::Evaluation;
use crate::model::file;
use crate::model::hold_out::HoldOut;
use crate::model::learn::like::{Comparison, compare};
use crate::model::learn::plan::Plan;
use crate::model::learn::postprocessing::{Calibrate, Measure, Wanted};
use crate::model::learn::sampled::{FittedRows, train_on_sample};
use crate::model::learn::train::train;
use crate::model::postprocessing::Postprocessing;
use crate::model::selection::{CrossValidation, Standing, Tuning};
use crate::model::trained::Trained;
use crate::model::{Model, Written};
use crate::report::columns::ColumnNote;
use crate::report::{columns, text, training};

#[derive(Serialize)]
struct TrainResult<'a> {
    model: &'a str,
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    n_train: usize,
    fit_seconds: f64,
    #[serde(flatten)]
    objective: Objective,
    columns: Vec<ColumnNote>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    leaderboard: Vec<Row<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blend: &'a Option<CrossValidation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tuning: &'a Option<Tuning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cv: &'a Option<CrossValidation>,
    #[serde(skip_serializing_if = "Postprocessing::is_empty")]
    postprocessing: &'a Postprocessing,
}

/// A line of the leaderboard with its time, which the model file does not keep.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    standing: &'a Standing,
    seconds: f64,
}

impl<'a> Row<'a> {
    fn of(standing: &'a Standing) -> Self {
        Self { standing, seconds: standing.seconds }
    }
}

/// Whether the user says nothing of the header: no flag, and no name of a column that only a header can give.
fn header_in_doubt(args: &Train) -> bool {
    let split = [&args.group, &args.split_by];
    let mut named = (args.target.iter().chain(&args.weight).chain(&args.drop).chain(&args.private))
        .chain(split.into_iter().flatten())
        .chain(args.types.iter().map(|(name, _)| name));
    !args.dialect.header && !args.dialect.no_header && named.all(|name| name.starts_with("column_"))
}

/// Runs the verb.
pub(super) fn run(args: &Train, common: &Common, term: &Term, out: &mut impl Write) -> Result<()> {
    let to_stdout = args.output == "-";
    if !to_stdout {
        check_output(Path::new(&args.output))?;
    } else if args.replace_if_better {
        return Err(usage("--replace-if-better needs a file, and the model goes to standard output"));
    }
    if let Some(path) = &args.report {
        check_output(Path::new(path)).context("--report")?;
        if args.data.iter().any(|path| path == "-") {
            return Err(usage("--report needs files to read again, and the data come from standard input"));
        }
    }
    let progress = term.progress("reading");
    progress.stop_on_interrupt().context("cannot listen for Ctrl-C")?;
    let plan = plan(args)?;
    let trained = match args.sample {
        Some(sample) => {
            let fitted = if args.all_rows { FittedRows::AllOthers } else { FittedRows::Sample };
            train_on_sample(&plan, sample, fitted, &progress)
        }
        None => train(&plan, &progress),
    };
    progress.finish();
    let trained = trained?;
    let (kept, before) = match args.replace_if_better && Path::new(&args.output).exists() {
        true => {
            let (found, old) = compare_with_old(args, &plan, &trained.model)?;
            let outcome =
                if found.is_worse { "The old model stays" } else { "The new model replaces the old one" };
            let before = Before { model: old, decision: format!("{outcome}: {}.", compared(&found)) };
            (Some(found), Some(before))
        }
        false => (None, None),
    };
    let bytes = file::to_bytes(&trained.model)?;
    for note in &trained.model.card.notes {
        term.warn(note);
    }
    term.detail(format_args!("hyperparameters {:?}", trained.model.card.hyperparameters));
    if bytes.len() as u64 > file::MAX_BYTES {
        term.warn(format_args!(
            "the model file has {} bytes, more than other verbs read; give them --max-model-bytes {0}",
            bytes.len()
        ));
    }
    report::of_training(args, &trained.model, before, term)?;
    if to_stdout {
        return Ok(out.write_all(&bytes)?);
    }
    if let Some(found) = kept.as_ref().filter(|found| found.is_worse) {
        return Err(Unmet(format!("the model in {} stays: {}", args.output, compared(found))).into());
    }
    file::write_atomically(Path::new(&args.output), &bytes)?;
    if args.format == Format::Json {
        return write_result(args, &plan, &trained, out);
    }
    write_text(out, &training::summary(&trained, &args.types))?;
    if let Some(found) = &kept {
        write_text(out, &format!("\nIt replaces the model before it: {}\n", compared(found)))?;
    }
    write_text(out, &format!("\nThe model is in {}\n", args.output))?;
    if !common.quiet {
        write_text(out, &next_steps(args, &trained))?;
    }
    Ok(())
}

/// Compares the new model with the one in the output file.
fn compare_with_old(args: &Train, plan: &Plan, new: &Model) -> Result<(Comparison, Model)> {
    let old = Model::open(&args.output)
        .context("--replace-if-better: the model that is there cannot be compared")?;
    let found = compare(&old, new, plan.metric.as_deref(), &args.dialect.options())
        .context("--replace-if-better: the new model was not written")?;
    Ok((found, old))
}

/// The figures of a comparison, for people.
fn compared(found: &Comparison) -> String {
    let Comparison { metric, old, new, n_rows, .. } = found;
    let [old, new] = [old, new].map(|value| text::figure(*value));
    format!(
        "{metric} {new} on {}, {old} of the old one",
        text::count(*n_rows, "held-out row", "held-out rows")
    )
}

/// Checks before the work that the model can be written after it.
pub(super) fn check_output(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let shown = path.display();
    ensure!(folder.is_none_or(Path::is_dir), "cannot write {shown}: there is no such folder; make it first");
    ensure!(!path.is_dir(), "cannot write {shown}: it is a folder");
    Ok(())
}

/// The plan that the flags describe.
///
/// # Errors
/// A usage error for a word that cannot be a value.
fn plan(args: &Train) -> Result<Plan> {
    let hold_out = match (&args.test, &args.group, &args.split_by) {
        (Some(path), ..) => HoldOut::File(path.clone()),
        (_, Some(column), _) => HoldOut::Groups(args.test_size, column.clone()),
        (_, _, Some(column)) => HoldOut::Latest(args.test_size, column.clone()),
        (None, None, None) => HoldOut::Share(args.test_size),
    };
    let mut options = args.dialect.options();
    options.header_in_doubt = header_in_doubt(args);
    let mut plan = Plan {
        data: args.data.clone(),
        options,
        nulls: nulls(args)?,
        target: args.target.clone(),
        task: args.task.task(),
        algorithm: args.algorithm.clone(),
        settings: args.settings.clone(),
        metric: args.metric.clone(),
        max_latency: args.max_latency,
        search_time: args.minutes,
        ensemble: !args.no_ensemble,
        cv: args.cv,
        tune: args.tune,
        hold_out,
        seed: args.seed,
        drop: args.drop.clone(),
        private: args.private.clone(),
        types: args.types.clone(),
        weight: args.weight.clone(),
        balance: args.balance,
        background: args.background.map(usize::from),
        refit: args.refit,
        wanted: wanted(args)?,
        only: None,
    };
    if let Some(path) = &args.trial_file {
        Trial::read(path)?.complete(&mut plan)?;
    }
    match &args.like {
        Some(path) => Ok(beside(plan, Plan::like(&Model::open(path)?, args.data.clone())?, args)),
        None => Ok(plan),
    }
}

/// The plan of `--like`, with all that flags say otherwise. A flag that says the default says nothing.
fn beside(given: Plan, like: Plan, args: &Train) -> Plan {
    let defaults = Plan::new(String::new());
    let hold_out = if given.hold_out == defaults.hold_out { like.hold_out } else { given.hold_out };
    let other_algorithm = given.algorithm != defaults.algorithm;
    let mut settings = if other_algorithm { Vec::new() } else { like.settings };
    settings.retain(|(key, _)| given.settings.iter().all(|(other, _)| other != key));
    settings.extend(given.settings);
    let types = like
        .types
        .into_iter()
        .filter(|(name, _)| !given.drop.contains(name) && given.types.iter().all(|(other, _)| other != name));
    let names = given.target.iter().chain(&given.weight).chain(given.types.iter().map(|(name, _)| name));
    let only = like.only.map(|only| only.into_iter().chain(names.cloned()).collect());
    let private = like.private.into_iter().chain(given.private);
    Plan {
        data: given.data,
        options: Options {
            header: like.options.header && !args.dialect.no_header || args.dialect.header,
            ..merged(given.options, like.options)
        },
        nulls: if given.nulls == defaults.nulls { like.nulls } else { given.nulls },
        target: given.target.or(like.target),
        task: given.task.or(like.task),
        algorithm: if other_algorithm { given.algorithm } else { like.algorithm },
        settings,
        metric: given.metric.or(like.metric),
        ensemble: given.ensemble && like.ensemble,
        max_latency: given.max_latency.or(like.max_latency),
        search_time: given.search_time.or(like.search_time),
        background: given.background.or(like.background),
        cv: given.cv.or(like.cv),
        tune: given.tune.or(like.tune),
        hold_out,
        seed: if given.seed == defaults.seed { like.seed } else { given.seed },
        private: private.collect(),
        types: types.chain(given.types.clone()).collect(),
        weight: given.weight.or(like.weight),
        balance: given.balance || like.balance,
        refit: given.refit || like.refit,
        wanted: Wanted {
            calibrate: match given.wanted.calibrate {
                Calibrate::Unasked => like.wanted.calibrate,
                asked => asked,
            },
            optimize: given.wanted.optimize.or(like.wanted.optimize),
            interval: given.wanted.interval.or(like.wanted.interval),
            conformal: given.wanted.conformal.or(like.wanted.conformal),
        },
        only,
        drop: given.drop,
    }
}

/// Options of the flags, completed by those of the card.
fn merged(given: Options, like: Options) -> Options {
    let mut options = given;
    Written::of(&like).complete(&mut options);
    options
}

/// What is wanted after the predictors.
///
/// # Errors
/// A usage error for costs that nothing uses, or that are missing.
fn wanted(args: &Train) -> Result<Wanted> {
    let measure = match (args.optimize, args.cost) {
        (Some(OptimizeChoice::Cost), Some(costs)) => Some(Measure::Cost(costs)),
        (Some(OptimizeChoice::Cost), None) => {
            return Err(usage("--optimize cost needs the costs of both errors, such as --cost fp=1,fn=5"));
        }
        (_, Some(_)) => return Err(usage("--cost is for --optimize cost")),
        (Some(OptimizeChoice::F1), None) => Some(Measure::F1),
        (Some(OptimizeChoice::BalancedAccuracy), None) => Some(Measure::BalancedAccuracy),
        (Some(OptimizeChoice::Mcc), None) => Some(Measure::Mcc),
        (None, None) => None,
    };
    Ok(Wanted {
        calibrate: args.calibrate.map_or(Calibrate::Unasked, CalibrateChoice::wish),
        optimize: measure,
        interval: args.interval,
        conformal: args.conformal,
    })
}

/// The tokens that mean "no value".
fn nulls(args: &Train) -> Result<NullTokens> {
    let mut nulls = NullTokens::with(args.null.iter().map(|token| token.trim().to_string()).collect());
    for text in &args.no_null {
        // The last "=": a column's name may hold one, and no built-in word does.
        let (column, token) = match text.rsplit_once('=') {
            Some((column, token)) => (Some(column), token),
            None => (None, text.as_str()),
        };
        nulls.keep(column, token.trim()).map_err(|problem| usage(format!("--no-null {text}: {problem}")))?;
    }
    Ok(nulls)
}

fn write_result(args: &Train, plan: &Plan, trained: &Trained, out: &mut impl Write) -> Result<()> {
    let card = &trained.model.card;
    let result = TrainResult {
        model: &args.output,
        evaluation: &card.evaluation,
        n_train: card.n_train,
        fit_seconds: trained.fit_seconds,
        objective: Objective::of(plan, trained)?,
        columns: columns::describe(&trained.model.pipeline, &trained.profiles, &args.types),
        leaderboard: card.selection.leaderboard.iter().map(Row::of).collect(),
        blend: &card.selection.blend,
        tuning: &card.selection.tuning,
        cv: &card.selection.cv,
        postprocessing: &trained.model.pipeline.postprocessing,
    };
    write_json(out, &result)
}

fn next_steps(args: &Train, trained: &Trained) -> String {
    let model = match args.output.as_str() {
        DEFAULT_MODEL => String::new(),
        path => format!(" --model {path}"),
    };
    let example = training::example_row(&trained.model);
    // The other rows of a sample have been evaluated.
    let data = if trained.model.card.sample.is_some() { " DATA" } else { "" };
    format!(
        "Next:\n  mlapi eval{data}{model}\n  mlapi predict{model} --features {example}\n  mlapi serve{model} --port {DEFAULT_PORT}\n"
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Args, Verb, command};
    use super::*;

    /// Flags that `--like` repeats, each with a value that is not the default.
    const REPEATED: &[(&str, &[&str])] = &[
        ("target", &["species"]),
        ("task", &["classification"]),
        ("algorithm", &["tree"]),
        ("set", &["max_depth=2"]),
        ("metric", &["accuracy"]),
        ("no-ensemble", &[]),
        ("max-latency", &["50us"]),
        ("minutes", &["2"]),
        ("cv", &["3"]),
        ("tune", &["2"]),
        ("test-size", &["0.3"]),
        ("test", &["fixtures/penguins.csv"]),
        ("group", &["island"]),
        ("split-by", &["year"]),
        ("seed", &["7"]),
        ("drop", &["sex"]),
        ("private", &["island"]),
        ("type", &["year=category"]),
        ("weight", &["year"]),
        ("balance", &[]),
        ("background", &["3"]),
        ("refit", &[]),
        ("calibrate", &["none"]),
        ("optimize", &["cost"]),
        ("cost", &["fp=1,fn=2"]),
        ("interval", &["0.9"]),
        ("conformal", &["0.9"]),
        ("null", &["Biscoe"]),
        ("no-null", &["None"]),
        // Those of the dialect are kept as the reader takes them.
        ("delimiter", &[","]),
        ("quote", &["none"]),
        ("encoding", &["utf-8"]),
        ("lines-to-skip", &["0"]),
    ];
    /// Of the dialect, with files of their own.
    const OF_OTHER_FILES: &[&str] =
        &["decimal", "thousands", "sheet", "skip-line", "comment", "header", "no-header"];
    /// Those that are about this training alone.
    const NOT_REPEATED: &[&str] = &[
        "data",
        "like",
        // What it holds is repeated as settings, algorithm and seed.
        "trial-file",
        // It is for the size of that file.
        "sample",
        "all-rows",
        "replace-if-better",
        "report",
        "output",
        "format",
        "quiet",
        "verbose",
        "color",
        "threads",
        "help",
        "version",
    ];

    #[test]
    fn every_flag_is_repeated_or_deliberately_not() {
        let command = command();
        let train = command.find_subcommand("train").unwrap();
        let flags: Vec<String> = train
            .get_arguments()
            .map(|arg| arg.get_long().map_or_else(|| arg.get_id().to_string(), str::to_string))
            .collect();
        let listed: Vec<&str> = (REPEATED.iter().map(|flag| flag.0))
            .chain(OF_OTHER_FILES.iter().chain(NOT_REPEATED).copied())
            .collect();
        for flag in &flags {
            let n = listed.iter().filter(|known| *known == flag).count();
            assert_eq!(n, 1, "--{flag}: --like repeats it, or says in this test that it does not");
        }
        let is_flag = |name: &&str| flags.iter().any(|flag| flag == name);
        // Flags of all verbs belong to the command itself.
        let common = ["quiet", "verbose", "color", "threads", "help", "version"];
        let stale: Vec<&&str> =
            listed.iter().filter(|name| !is_flag(name) && !common.contains(*name)).collect();
        assert!(stale.is_empty(), "{stale:?}");
    }

    /// The plan of flags, and that of `--like` a model that was trained by it.
    fn plans(file: &str, flags: &[&str]) -> (Plan, Plan) {
        let line = [&["mlapi", "train", file], flags].concat();
        let Verb::Train(args) = Args::parse_from(line).verb else { panic!("train") };
        let given = plan(&args).unwrap();
        let like = Plan::like(&given.train().unwrap(), args.data.clone()).unwrap();
        let Verb::Train(bare) = Args::parse_from(["mlapi", "train", file]).verb else { panic!("train") };
        (given, beside(plan(&bare).unwrap(), like, &bare))
    }

    #[test]
    fn a_plan_is_repeated_flag_by_flag() {
        // A few trainings that have room for all of them.
        let sets: &[&[&str]] = &[
            &[
                "target",
                "task",
                "algorithm",
                "set",
                "test-size",
                "seed",
                "drop",
                "private",
                "type",
                "background",
            ],
            &[
                "target",
                "algorithm",
                "cv",
                "metric",
                "no-ensemble",
                "max-latency",
                "minutes",
                "calibrate",
                "null",
            ],
            &["target", "algorithm", "tune", "set", "group", "balance", "refit", "no-null"],
            &[
                "target",
                "algorithm",
                "split-by",
                "conformal",
                "quote",
                "encoding",
                "lines-to-skip",
                "delimiter",
            ],
            &["target", "algorithm", "metric", "test", "weight"],
            &["algorithm", "interval"],
            &["algorithm", "optimize", "cost"],
        ];
        for &flags in sets {
            let line: Vec<String> = flags
                .iter()
                .flat_map(|flag| {
                    let values = REPEATED.iter().find(|known| known.0 == *flag).unwrap().1;
                    std::iter::once(format!("--{flag}")).chain(values.iter().map(|value| value.to_string()))
                })
                .collect();
            let line: Vec<&str> = line.iter().map(String::as_str).collect();
            let file = match flags {
                ["algorithm", "interval"] => "fixtures/diabetes.csv",
                ["algorithm", "optimize", "cost"] => "fixtures/breast_cancer.csv",
                _ => "fixtures/penguins.csv",
            };
            let (given, like) = plans(file, &line);
            let shown = |plan: &Plan| {
                [
                    format!("{:?} {:?} {:?}", plan.metric, plan.ensemble, plan.max_latency),
                    format!("{:?} {:?} {:?} {:?}", plan.search_time, plan.cv, plan.tune, plan.hold_out),
                    format!("{:?} {:?} {:?} {:?}", plan.seed, plan.private, plan.weight, plan.balance),
                    format!("{:?} {:?} {:?} {:?}", plan.refit, plan.wanted, plan.background, plan.nulls),
                    format!("{:?} {:?}", plan.settings, plan.algorithm.replace("decision-", "")),
                    format!("{:?} {:?}", plan.options.quote, plan.options.encoding),
                    format!("{:?} {:?}", plan.options.lines_to_skip, plan.options.delimiter),
                ]
            };
            assert_eq!(shown(&given), shown(&like), "{line:?}");
            assert!(given.drop.iter().all(|name| !like.only.as_ref().unwrap().contains(name)));
            assert!(given.types.iter().all(|of| like.types.contains(of)), "{:?}", like.types);
            assert!(given.target.is_none() || given.target == like.target);
        }
    }

    #[test]
    fn what_a_comparison_was_asked_for_is_repeated() {
        let flags =
            ["--set", "max_depth=2", "--algorithm", "auto", "--target", "species", "--minutes", "0.001"];
        let (given, like) = plans("fixtures/penguins.csv", &flags);
        assert_eq!((&given.settings, &given.algorithm), (&like.settings, &like.algorithm));
    }
}
