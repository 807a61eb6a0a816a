//! A folder of its own for each test, and the program run in it. What fails says what was run, how it ended
//! and what it said. After xsv's `tests/workdir.rs` and ripgrep's `tests/util.rs`.

#![allow(dead_code)]

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder that goes away with the test.
pub struct Workdir {
    dir: TempDir,
}

impl Workdir {
    /// An empty folder.
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A folder with copies of some tables of `fixtures/`.
    pub fn with(fixtures: &[&str]) -> Self {
        let workdir = Self::new();
        for name in fixtures {
            workdir.write(name, fixture(name));
        }
        workdir
    }

    /// A folder with a table and a model trained on it with `flags`: a linear one unless they name another.
    pub fn trained(fixture: &str, flags: &[&str]) -> Self {
        let workdir = Self::with(&[fixture]);
        let is_regression = fixture == "diabetes.csv" || flags.contains(&"regression");
        let linear = if is_regression { "linear-regression" } else { "logistic-regression" };
        let chooses = |flag: &&str| flag.starts_with("--algorithm") || flag.starts_with("--set");
        let algorithm: &[&str] = if flags.iter().any(chooses) { &[] } else { &["--algorithm", linear] };
        workdir.run(&[&["train", fixture, "-q"], algorithm, flags].concat()).ok();
        workdir
    }

    /// The path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    /// The text of a file.
    pub fn read(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap()
    }

    /// The bytes of a file.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|e| panic!("cannot read {name}: {e}"))
    }

    /// The names of all files, hidden ones included, in order.
    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The program with these arguments, not yet started.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Run {
        self.run_in(".", args)
    }

    /// The same in a folder within the folder.
    pub fn run_in<S: AsRef<OsStr>>(&self, folder: &str, args: &[S]) -> Run {
        self.command(env!("CARGO_BIN_EXE_mlapi").as_ref(), folder, args)
    }

    /// Another program, of the folder, with these arguments.
    pub fn run_program<S: AsRef<OsStr>>(&self, program: &str, args: &[S]) -> Run {
        self.command(&self.path(program), ".", args)
    }

    fn command<S: AsRef<OsStr>>(&self, program: &Path, folder: &str, args: &[S]) -> Run {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.path(folder));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MLAPI_") {
                command.env_remove(name);
            }
        }
        command.env_remove("NO_COLOR");
        Run { command, stdin: Vec::new() }
    }
}

/// A run of the program.
pub struct Run {
    command: Command,
    stdin: Vec<u8>,
}

impl Run {
    /// What the program reads from standard input.
    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = bytes.as_ref().to_vec();
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs to the end.
    pub fn done(mut self) -> Done {
        let command = format!("{:?}", self.command);
        let mut child = self.spawn();
        let stdin = child.stdin.take();
        let bytes = std::mem::take(&mut self.stdin);
        let writer = std::thread::spawn(move || {
            // The program may end before it has read all.
            let _ = stdin.map(|mut stdin| stdin.write_all(&bytes));
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Done { command, code: output.status.code(), stdout: output.stdout, stderr: output.stderr }
    }

    /// Starts with all three streams as pipes.
    pub fn spawn(&mut self) -> Child {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command.spawn().unwrap()
    }

    /// Runs to the end, which has to be good.
    pub fn ok(self) -> Done {
        self.fails(0)
    }

    /// Runs to the end, which has to be this exit status; one that is not 0 has to be explained on stderr.
    pub fn fails(self, code: i32) -> Done {
        let done = self.done();
        assert_eq!(done.code, Some(code), "the exit status should be {code}\n{done}");
        assert!(!done.err().contains("panicked"), "it panicked\n{done}");
        assert!(code == 0 || done.err().contains("error: "), "a failure without an explanation\n{done}");
        done
    }
}

/// How a run ended.
pub struct Done {
    /// What was run.
    pub command: String,
    /// The exit status; `None` for a signal.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        const SHOWN: usize = 4000;
        let Self { command, code, .. } = self;
        let mut stdout = String::from_utf8_lossy(&self.stdout[..self.stdout.len().min(SHOWN)]).into_owned();
        if self.stdout.len() > SHOWN {
            stdout += &format!("… ({} bytes in all)", self.stdout.len());
        }
        write!(f, "command: {command}\nstatus: {code:?}\nstdout:\n{stdout}\nstderr:\n{}", self.err())
    }
}

impl Done {
    /// Standard output as text.
    pub fn out(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap_or_else(|_| panic!("stdout is not UTF-8\n{self}"))
    }

    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Standard output as one JSON value.
    pub fn json(&self) -> Value {
        serde_json::from_str(self.out()).unwrap_or_else(|e| panic!("stdout is not JSON: {e}\n{self}"))
    }

    /// Standard output as JSON values, one a line.
    pub fn ndjson(&self) -> Vec<Value> {
        let value = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON: {e}\n{self}"));
        self.out().lines().map(value).collect()
    }

    /// Standard output as CSV records, the header included.
    pub fn csv(&self) -> Vec<Vec<String>> {
        records(self.out(), b',')
    }

    /// Checks that standard output holds all of these.
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.out().contains(text), "stdout should say {text:?}\n{self}");
        }
        self
    }

    /// Checks that standard error holds all of these.
    pub fn complains(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.err().contains(text), "stderr should say {text:?}\n{self}");
        }
        self
    }

    /// Checks that standard error is empty.
    pub fn silent(self) -> Self {
        assert!(self.stderr.is_empty(), "stderr should be empty\n{self}");
        self
    }
}

/// Delimited text as records.
pub fn records(text: &str, delimiter: u8) -> Vec<Vec<String>> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(text.as_bytes());
    let records = reader.records().map(|r| r.unwrap_or_else(|e| panic!("not CSV: {e}\n{text}")));
    records.map(|record| record.iter().map(String::from).collect()).collect()
}

/// The text of a table of `fixtures/`.
pub fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// Compares `text` with `fixtures/golden/NAME.txt` as a whole; with `MLAPI_BLESS=1` in the environment the
/// file is written instead. The time that a fit took is not compared, nor are the seconds of the leaderboard,
/// the only numbers with three decimals.
pub fn assert_golden(name: &str, text: &str) {
    let is_seconds = |word: &str| {
        word.split_once('.').is_some_and(|(_, decimals)| decimals.len() == 3 && word.parse::<f64>().is_ok())
    };
    let timeless = |line: &str| match line.strip_prefix("fitted in") {
        Some(_) => "fitted in  … s".to_string(),
        None => {
            let words = line.split(' ').map(|word| if is_seconds(word) { "0.000" } else { word });
            words.collect::<Vec<_>>().join(" ")
        }
    };
    let found: String = text.lines().map(|line| timeless(line) + "\n").collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/golden/{name}.txt"));
    if std::env::var_os("MLAPI_BLESS").is_some_and(|value| value == "1") {
        fs::write(&path, &found).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "{} differs (MLAPI_BLESS=1 accepts the new text)\n--- wanted\n{wanted}\n--- found\n{found}",
        path.display()
    );
}

/// Reads `n` bytes of a child's output.
pub fn read_some(from: &mut impl Read, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    from.read_exact(&mut bytes).unwrap();
    bytes
}
