//! The console blocks of README.md and docs/ show what the program prints, and links between pages lead somewhere.
//!
//! A line `$ COMMAND` of a ```` ```console ```` block is run, in a folder with `fixtures/` that all blocks of a page
//! share, and what follows it is compared with what it prints. A line `…` stands for any lines. `mlapi serve` runs
//! until the end of the page, or the next one, and `curl` asks it. `MLAPI_BLESS=1 cargo test --test main readme::`
//! writes the output anew where nothing is left out with `…`.

#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The address that the pages give for the server, whichever port it has in the test.
const SHOWN_ADDRESS: &str = "127.0.0.1:8080";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README.md and the pages of docs/, in order.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> =
        fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.push(root().join("README.md"));
    pages.sort();
    pages
}

/// A command of a page, and the bytes of the page that show its output.
struct Step {
    command: String,
    shown: std::ops::Range<usize>,
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut in_console, mut continues, mut at) = (false, false, 0);
    for line in page.split_inclusive('\n') {
        let end = at + line.len();
        at = end;
        let line = line.trim_end();
        if !in_console || line == "```" {
            in_console = line == "```console";
            continue;
        }
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (_, Some(step)) if continues => step.command += line.trim_end_matches('\\'),
            (Some(command), _) => {
                steps.push(Step { command: command.trim_end_matches('\\').into(), shown: end..end });
            }
            (None, Some(step)) => step.shown.end = end,
            (None, None) => panic!("a console block begins with a command, not {line:?}"),
        }
        continues = line.ends_with('\\');
        if let Some(step) = steps.last_mut().filter(|step| step.shown.is_empty()) {
            step.shown = end..end;
        }
    }
    steps
}

/// Replaces the times that are never the same: that of a fit, and the seconds of the leaderboard, the only numbers
/// with three decimals.
fn mask(text: &str) -> String {
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
    text.trim_end().lines().map(|line| masked(line) + "\n").collect()
}

/// Whether `shown`, in which a line `…` stands for any lines, is `printed`.
fn shows(shown: &str, printed: &str) -> bool {
    let (shown, printed): (Vec<&str>, Vec<&str>) = (shown.lines().collect(), printed.lines().collect());
    let pieces: Vec<&[&str]> = shown.split(|line| *line == "…").collect();
    let [first, middle @ .., last] = &pieces[..] else {
        return shown == printed;
    };
    let Some(mut rest) = printed.strip_prefix(*first) else {
        return false;
    };
    for piece in middle {
        let Some(at) = (0..=rest.len()).find(|&at| rest[at..].starts_with(piece)) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

/// A folder with the program on its path, and perhaps a server.
struct Session {
    folder: tempfile::TempDir,
    server: Option<(Child, String)>,
}

impl Session {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("fixtures")).unwrap();
        for entry in fs::read_dir(root().join("fixtures")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "csv") {
                fs::copy(&path, folder.path().join("fixtures").join(path.file_name().unwrap())).unwrap();
            }
        }
        Self { folder, server: None }
    }

    /// What a command prints, standard error included.
    fn run(&mut self, command: &str) -> String {
        if command.starts_with("mlapi serve") {
            return self.serve(command);
        }
        if command.starts_with("curl ") {
            return self.curl(command);
        }
        let output = self.shell(command).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn shell(&self, command: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_mlapi")).parent().unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1; {command}")]).current_dir(self.folder.path());
        shell.env("PATH", format!("{}:{path}", program.display()));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MLAPI_") {
                shell.env_remove(name);
            }
        }
        shell
    }

    /// Starts a server on a free port, and says what it prints up to the line that tells how to try it.
    fn serve(&mut self, command: &str) -> String {
        self.stop();
        let mut child = self
            .shell(&format!("exec {command} --port 0").replace("--port 8080 ", ""))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut printed = String::new();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap());
        while !printed.contains("try: ") {
            assert!(lines.read_line(&mut printed).unwrap() > 0, "{command} ends: {printed}");
        }
        let address = printed.split("http://").nth(1).unwrap().split_whitespace().next().unwrap().to_string();
        let shown = printed.replace(&address, SHOWN_ADDRESS);
        self.server = Some((child, address));
        shown
    }

    /// The body of a response, by the options `-d`, `-H` and `-X` of curl.
    fn curl(&self, command: &str) -> String {
        let (_, address) = self.server.as_ref().expect("a server is started before it is asked");
        let (mut method, mut headers, mut body, mut path) =
            (None, String::new(), String::new(), String::new());
        let mut words = words(command).into_iter().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().expect("an option has a value");
            match word.as_str() {
                "-d" | "--data-binary" => {
                    let value = value();
                    body = match value.strip_prefix('@') {
                        Some(file) => fs::read_to_string(self.folder.path().join(file)).unwrap(),
                        None => value,
                    };
                }
                "-H" => headers += &format!("{}\r\n", value()),
                "-X" => method = Some(value()),
                url => path = url.split(SHOWN_ADDRESS).nth(1).expect("a URL of the server").to_string(),
            }
        }
        let method = method.as_deref().unwrap_or(if body.is_empty() { "GET" } else { "POST" });
        let length = body.len();
        let mut socket = TcpStream::connect(address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        socket.write_all((head + &body).as_bytes()).unwrap();
        let mut response = String::new();
        socket.read_to_string(&mut response).unwrap();
        response.split_once("\r\n\r\n").unwrap().1.to_string()
    }

    fn stop(&mut self) {
        if let Some((mut child, _)) = self.server.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The words of a command line; single quotes keep blanks.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn the_console_blocks_show_what_the_program_prints() {
    let bless = std::env::var_os("MLAPI_BLESS").is_some();
    for path in pages() {
        let page = fs::read_to_string(&path).unwrap();
        let mut session = Session::new();
        let (mut blessed, mut kept) = (String::new(), 0);
        for step in steps(&page) {
            let printed = mask(&session.run(&step.command));
            let shown = mask(&page[step.shown.clone()]);
            if bless && !shown.lines().any(|line| line == "…") && shown != printed {
                let blank = if page[step.shown.clone()].ends_with("\n\n") { "\n" } else { "" };
                blessed += &format!("{}{printed}{blank}", &page[kept..step.shown.start]);
                kept = step.shown.end;
                continue;
            }
            let name = path.file_name().unwrap().display();
            assert!(
                shows(&shown, &printed),
                "{name} does not show what is printed by\n$ {}\n{printed}\nMLAPI_BLESS=1 cargo test --test main readme::",
                step.command
            );
        }
        if kept > 0 {
            fs::write(&path, blessed + &page[kept..]).unwrap();
        }
    }
}

/// The anchor that a heading has on the page of a repository.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
}

#[test]
fn links_between_the_pages_lead_to_files_and_headings_that_exist() {
    let others =
        ["CHANGELOG.md", "CONTRIBUTING.md", "deploy/README.md", "benches/README.md", "fixtures/README.md"];
    let mut broken = Vec::new();
    for path in pages().into_iter().chain(others.map(|name| root().join(name))) {
        let page = fs::read_to_string(&path).unwrap();
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let text = fs::read_to_string(&target).unwrap_or_default();
            let has_heading = || text.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
            if !target.exists() || !(heading.is_empty() || has_heading()) {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn lines_may_be_left_out_where_the_page_says_so() {
    let printed = "a\nb\nc\nd\n";
    for shown in ["a\nb\nc\nd\n", "a\n…\nd\n", "…\nb\n…\n", "a\nb\n…\n", "…\nd\n", "…\nb\n…\nd\n"]
    {
        assert!(shows(shown, printed), "{shown}");
    }
    for shown in ["a\nb\n", "b\n…\n", "…\nb\n", "a\n…\nb\nd\n", "…\nc\n…\nb\n…\n", "…\nbc\n…\n"]
    {
        assert!(!shows(shown, printed), "{shown}");
    }
}
