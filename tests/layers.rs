//! The direction of the rooms: `cli -> {report, server, model::learn} -> predict -> model -> data`; metrics import
//! nothing, and nothing but the command line and learn itself knows of learn.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The room of a path of modules such as `model::learn::linear`.
fn room(path: &str) -> &str {
    if path.starts_with("model::learn") { "learn" } else { path.split("::").next().unwrap() }
}

fn may_use(from: &str, to: &str) -> bool {
    let allowed: &[&str] = match from {
        "data" => &["data", "background"],
        "metrics" => &["metrics"],
        "model" => &["model", "data", "metrics", "background"],
        "learn" => &["learn", "model", "data", "metrics", "parallel", "usage"],
        "predict" => &["predict", "model", "data", "background"],
        "report" => &["report", "model", "data"],
        "server" => &["server", "report", "predict", "model", "data", "background"],
        "cli" => &["cli", "report", "server", "predict", "learn", "model", "data", "usage"],
        _ => &[],
    };
    allowed.contains(&to)
}

/// Every path after `crate::` on a line, outside comments.
fn uses(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices("crate::").map(move |(at, word)| {
        let rest = &code[at + word.len()..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        &rest[..end.unwrap_or(rest.len())]
    })
}

#[test]
fn every_use_goes_down_the_house() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20);
    let mut wrong = Vec::new();
    for file in files {
        let module = file.strip_prefix(&root).unwrap().with_extension("");
        let module = module.to_str().unwrap().replace(['/', '\\'], "::");
        let from = room(&module).to_string();
        if ["main", "lib", "usage", "background"].contains(&from.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        // Unit tests may set up what they like.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            for path in uses(line) {
                if !may_use(&from, room(path)) {
                    wrong.push(format!("{module} line {}: uses {path}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_learn_names_smartcore_and_only_the_terminal_names_indicatif() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let at = file.strip_prefix(&root).unwrap();
        assert!(!text.contains("use smartcore") || at.starts_with("model/learn"), "{at:?}");
        assert!(!text.contains("use indicatif") || at.ends_with("cli/term.rs"), "{at:?}");
        assert!(text.starts_with("//!"), "{at:?} does not say what it is for");
    }
}
