//! The chapter of the manual on the algorithms: docs/algorithms.md, made of the table.
//!
//! `MLAPI_BLESS=1 cargo test --lib manual` writes it anew after the table has changed.

use super::{ALGORITHMS, Algorithm};

const OPENING: &str = "\
# Algorithms

`mlapi train --algorithm NAME` fits one of these, `--set NAME=VALUE` sets a hyperparameter, and
`--algorithm auto`, the default, compares several by cross-validation. Names, meanings and defaults are
scikit-learn's unless the effect says otherwise. The same file, settings and `--seed` give the same model,
byte for byte, on any number of threads.

This page is generated from the table that the program itself reads.
";

const SMARTCORE: &str = "
## The part of smartcore

[smartcore](https://docs.rs/smartcore) gives the decompositions that solve linear systems. The rest is written
here, because its estimators lack weights, probabilities or missing values, or take many times as long. The
figures are of smartcore 0.7 compared with mlapi, both on one thread: `bash benches/smartcore.sh`, which also shows
each input that smartcore gets wrong.

| algorithm | smartcore's part |
|---|---|
";

/// The page, in Markdown.
pub fn algorithms() -> String {
    let mut page = String::from(OPENING);
    page.push_str("\n| algorithm | short name | tasks | in one sentence |\n|---|---|---|---|\n");
    for algorithm in ALGORITHMS {
        let name = algorithm.name;
        let alias = algorithm.alias.map(|alias| format!("`{alias}`")).unwrap_or_default();
        let line = format!("| [{name}](#{name}) | {alias} | {} | {} |", tasks(algorithm), algorithm.summary);
        add(&mut page, &line);
    }
    for algorithm in ALGORITHMS {
        section(&mut page, algorithm);
    }
    page.push_str(SMARTCORE);
    for algorithm in ALGORITHMS {
        add(&mut page, &format!("| {} | {} |", algorithm.name, algorithm.smartcore));
    }
    page
}

fn section(page: &mut String, algorithm: &Algorithm) {
    let Algorithm { name, idea, source, .. } = algorithm;
    add(page, &format!("\n## {name}\n\n{idea}\n\nTasks: {}. Source: {source}.\n", tasks(algorithm)));
    page.push_str("| hyperparameter | default | range | effect |\n|---|---|---|---|\n");
    for parameter in algorithm.parameters {
        let (range, effect) = (parameter.range.to_string(), parameter.effect);
        // A bar would end the cell.
        let cells = [range.as_str(), effect].map(|cell| cell.replace('|', "\\|"));
        let [range, effect] = cells;
        add(page, &format!("| `{}` | {} | {range} | {effect} |", parameter.name, parameter.default));
    }
}

fn tasks(algorithm: &Algorithm) -> String {
    algorithm.tasks.iter().map(|task| task.name()).collect::<Vec<_>>().join(", ")
}

fn add(page: &mut String, line: &str) {
    page.push_str(line);
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learn::Spec;

    #[test]
    fn docs_algorithms_is_that_of_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/algorithms.md");
        let page = algorithms();
        if std::env::var_os("MLAPI_BLESS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == page, "docs/algorithms.md is out of date; MLAPI_BLESS=1 cargo test --lib manual");
    }

    #[test]
    fn every_algorithm_has_its_idea_its_source_and_the_part_of_smartcore() {
        for algorithm in ALGORITHMS {
            let Algorithm { name, idea, source, smartcore, .. } = algorithm;
            assert!(idea.ends_with('.') && idea.matches(". ").count() >= 1, "{name}");
            assert!(source.contains(|c: char| c.is_ascii_digit()) && !source.ends_with('.'), "{name}");
            assert!(smartcore.ends_with('.') && !smartcore.contains('|'), "{name}");
        }
    }

    fn page(name: &str) -> String {
        std::fs::read_to_string(format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn docs_model_file_names_the_predictor_of_every_algorithm_once() {
        let page = page("model-file.md");
        let table = page.split("| `predictor` | algorithms |").nth(1).unwrap().split("\n\n").next().unwrap();
        let cells = table.lines().filter_map(|line| line.split(" | ").nth(1));
        // The form of imported graphs has none.
        let cells = cells.filter(|cell| !cell.starts_with("none"));
        let mut listed: Vec<&str> = cells.flat_map(|cell| cell.trim().split(", ")).collect();
        let mut names: Vec<&str> = ALGORITHMS.iter().map(|algorithm| algorithm.name).collect();
        names.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, names);
    }

    #[test]
    fn docs_columns_names_the_algorithms_that_read_all_terms_of_a_text() {
        let page = page("columns.md");
        let section = page.split("### Text").nth(1).unwrap().split("## ").next().unwrap();
        for algorithm in ALGORITHMS {
            let settings = Spec::new(algorithm, algorithm.tasks[0], &[]).unwrap();
            let named = section.contains(&format!("`{}`", algorithm.name));
            assert_eq!(named, settings.reads_sparse(), "{}", algorithm.name);
        }
    }
}
