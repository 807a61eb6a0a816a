//! The manual pages and completions say what the program takes.
//!
//! `MLAPI_BLESS=1 cargo test --test main man::` writes man/ anew after the flags have changed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Command;
use mlapi::cli::args::command;

/// One page for the program and one for each verb, by file name.
fn pages() -> BTreeMap<String, String> {
    let mut root = command().disable_help_subcommand(true);
    root.build();
    let mut pages = BTreeMap::new();
    let mut add = |name: String, command: Command| {
        let mut page = Vec::new();
        // Without a date, so that the page changes only when the flags do.
        clap_mangen::Man::new(command).date("").render(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap().replace(".SH EXTRA", ".SH NOTES");
        pages.insert(format!("{name}.1"), with_lists(&page));
    };
    for verb in root.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = format!("mlapi-{}", verb.get_name());
        add(name, verb.clone());
    }
    add("mlapi".into(), root);
    pages
}

/// Keeps the indented lines of notes, such as examples and endpoints, as they are: filled, their columns are lost. Long
/// ones are filled like paragraphs.
fn with_lists(page: &str) -> String {
    const LONGEST: usize = 110;
    let (mut out, mut is_list) = (String::with_capacity(page.len()), false);
    for line in page.lines() {
        if (line.starts_with(' ') && line.chars().count() <= LONGEST) != is_list {
            is_list = !is_list;
            out += if is_list { ".nf\n" } else { ".fi\n" };
        }
        out += line;
        out.push('\n');
    }
    if is_list { out + ".fi\n" } else { out }
}

#[test]
fn the_pages_in_man_are_those_of_the_flags() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("man");
    let bless = std::env::var_os("MLAPI_BLESS").is_some();
    let pages = pages();
    for (name, page) in &pages {
        let path = folder.join(name);
        if bless {
            std::fs::write(&path, page).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == *page, "man/{name} is out of date; MLAPI_BLESS=1 cargo test --test main man::");
    }
    let files = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    let stray: Vec<String> = files.filter(|name| !pages.contains_key(name)).collect();
    assert!(stray.is_empty(), "man/ holds pages of no verb: {stray:?}");
}

#[test]
fn every_flag_is_in_its_page_and_in_every_completion_script() {
    let mut root = command();
    root.build();
    let pages = pages();
    for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command(), "mlapi", &mut script);
        let script = String::from_utf8(script).unwrap();
        for verb in root.get_subcommands().filter(|verb| verb.get_name() != "help") {
            let page = &pages[&format!("mlapi-{}.1", verb.get_name())];
            for flag in verb.get_arguments().filter_map(|a| a.get_long()) {
                let in_man = format!("\\-\\-{}", flag.replace('-', "\\-"));
                assert!(page.contains(&in_man), "{} --{flag} is not in its page", verb.get_name());
                assert!(script.contains(flag), "{shell}: --{flag} of {} is missing", verb.get_name());
            }
        }
    }
}

#[test]
fn every_serve_flag_reads_its_environment_variable() {
    let root = command();
    let serve = root.find_subcommand("serve").unwrap();
    let global = ["help", "quiet", "verbose", "color"];
    for argument in serve.get_arguments() {
        let flag = argument.get_long().unwrap();
        if global.contains(&flag) {
            continue;
        }
        let variable = format!("MLAPI_{}", flag.replace('-', "_").to_uppercase());
        assert_eq!(argument.get_env().and_then(|v| v.to_str()), Some(variable.as_str()));
    }
}
