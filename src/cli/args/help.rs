//! Longer help: the prose of `src/cli/help/`, and what is made from the table of algorithms.

use clap::CommandFactory;

use super::Args;
use crate::model::learn::ALGORITHMS;
use crate::model::learn::choice::tune::spaces;
use crate::server;

/// The command line with all its help: what `--help` shows, and what man/ and the completions are made of.
pub fn command() -> clap::Command {
    let verbs = [
        ("train", train_help()),
        ("eval", prose(include_str!("../help/eval.txt"))),
        ("predict", prose(include_str!("../help/predict.txt"))),
        ("drift", prose(include_str!("../help/drift.txt"))),
        ("serve", format!("{}\n\n{}", server::help(), prose(include_str!("../help/serve.txt")))),
        ("import", prose(include_str!("../help/import.txt"))),
        ("bundle", prose(include_str!("../help/bundle.txt"))),
        ("export", prose(include_str!("../help/export.txt"))),
        ("healthcheck", prose(include_str!("../help/healthcheck.txt"))),
    ];
    let mut command = Args::command()
        .after_long_help(prose(include_str!("../help/mlapi.txt")))
        .mut_args(|arg| arg.hide_env_values(true))
        .mut_subcommands(|verb| verb.mut_args(|arg| arg.hide_env_values(true)));
    for (verb, help) in verbs {
        command = command.mut_subcommand(verb, |verb| verb.after_long_help(help));
    }
    command
}

/// The notes on `train`, with the algorithms and their hyperparameters.
fn train_help() -> String {
    let mut help = prose(include_str!("../help/train.txt"));
    help += "\n\nAlgorithms (--algorithm) and hyperparameters (--set), with their defaults:\n";
    for algorithm in ALGORITHMS {
        let alias = algorithm.alias.map(|alias| format!(" ({alias})")).unwrap_or_default();
        let tasks: Vec<&str> = algorithm.tasks.iter().map(|task| task.name()).collect();
        help +=
            &format!("\n  {}{alias}, {}\n    {}\n", algorithm.name, tasks.join(" and "), algorithm.summary);
        for parameter in algorithm.parameters {
            let (name, default) = (parameter.name, parameter.default);
            let searched = spaces(algorithm).find(|space| space.parameter == name);
            let searched = searched.map(|s| format!("; --tune: {}", s.draw)).unwrap_or_default();
            help += &format!("    {name}={default}: {}; {}{searched}\n", parameter.effect, parameter.range);
        }
    }
    help + "\n" + &prose(include_str!("../help/train_examples.txt"))
}

/// Text of `help/` with its paragraphs unwrapped, so that the terminal and roff wrap them; lines that begin with a
/// space stay as they are.
fn prose(text: &str) -> String {
    let mut unwrapped = String::with_capacity(text.len());
    let mut joins = false;
    for line in text.trim_end().lines() {
        let is_prose = !line.is_empty() && !line.starts_with(' ');
        if !unwrapped.is_empty() {
            unwrapped.push(if joins && is_prose { ' ' } else { '\n' });
        }
        unwrapped += line;
        joins = is_prose;
    }
    unwrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_unwrapped_and_indented_lines_are_kept() {
        assert_eq!(
            prose("One\ntwo.\n\nList:\n  a\n  b\nEnd\nof it.\n"),
            "One two.\n\nList:\n  a\n  b\nEnd of it."
        );
    }

    #[test]
    fn help_of_a_flag_is_short() {
        for verb in command().get_subcommands() {
            for argument in verb.get_arguments() {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(
                    help.len() <= 140 && !help.ends_with('.'),
                    "{} {}: {help}",
                    verb.get_name(),
                    argument.get_id()
                );
            }
        }
    }
}
