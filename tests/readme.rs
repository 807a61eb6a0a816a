//! The README shows what the program really prints.
//!
//! `MLAPI_BLESS=1 cargo test --test readme` writes the output into README.md anew.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs a line of the session in `folder`; what it prints, with the times that are never the same masked.
fn run(folder: &Path, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[0], "mlapi");
    let output =
        Command::new(env!("CARGO_BIN_EXE_mlapi")).args(&words[1..]).current_dir(folder).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{line}\n{stderr}");
    mask(&String::from_utf8(output.stdout).unwrap())
}

fn mask(text: &str) -> String {
    // The seconds of the leaderboard are the only numbers with three decimals.
    let is_seconds = |word: &str| {
        word.split_once('.').is_some_and(|(_, decimals)| decimals.len() == 3 && word.parse::<f64>().is_ok())
    };
    let masked = |line: &str| match line.starts_with("fitted in") {
        true => "fitted in  1.0 ms".to_string(),
        false => {
            let words = line.split(' ').map(|word| if is_seconds(word) { "0.005" } else { word });
            words.collect::<Vec<_>>().join(" ")
        }
    };
    text.lines().map(|line| masked(line) + "\n").collect()
}

/// Replaces what stands between the line `open` and the next line of three backticks.
fn with_block(text: &str, open: &str, content: &str) -> String {
    let start = text.find(open).unwrap() + open.len();
    let end = start + text[start..].find("```\n").unwrap();
    format!("{}{content}{}", &text[..start], &text[end..])
}

#[test]
fn the_session_and_the_answer_are_what_the_program_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("fixtures")).unwrap();
    fs::copy(root.join("fixtures/iris.csv"), folder.path().join("fixtures/iris.csv")).unwrap();
    let console = "```console\n";
    let start = readme.find(console).unwrap() + console.len();
    let block = &readme[start..start + readme[start..].find("```\n").unwrap()];
    let mut session = String::new();
    for line in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let between = if session.is_empty() { "" } else { "\n" };
        session += &format!("{between}$ {line}\n{}", run(folder.path(), line));
    }
    assert!(session.matches("\n$ ").count() >= 2, "the README shows a session");
    let answer = run(folder.path(), "mlapi predict --features 5.1,3.5,1.4,0.2 --format json");
    let expected = with_block(&with_block(&readme, console, &session), "```json\n", &answer);
    if std::env::var_os("MLAPI_BLESS").is_some() {
        fs::write(root.join("README.md"), &expected).unwrap();
    }
    assert!(
        mask(&fs::read_to_string(root.join("README.md")).unwrap()) == mask(&expected),
        "README.md does not show what mlapi prints; MLAPI_BLESS=1 cargo test --test readme"
    );
}
