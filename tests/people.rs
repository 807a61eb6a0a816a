//! Ten tables as programs and people write them (fixtures/people.py): each is read for what it says, or the message has
//! the flag with which it is.

use crate::support::workdir::Workdir;

/// A file, the flags that its first message asks for, the type and the reason of each used column, and words of notes.
struct Case {
    file: &'static str,
    flags: &'static [&'static str],
    columns: &'static [(&'static str, &'static str, &'static str)],
    notes: &'static [&'static str],
}

const CASES: [Case; 10] = [
    Case {
        file: "germany.csv",
        flags: &[],
        columns: &[
            ("Bestelldatum", "date", "dates"),
            ("Umsatz", "number", "numbers with a decimal comma and . between thousands in €"),
            ("Rabatt", "number", "numbers with a decimal comma in %"),
            ("Stadt", "category", "4 distinct texts"),
            ("Express", "category", "2 distinct texts"),
        ],
        notes: &["windows-1252", "decimal comma"],
    },
    Case {
        file: "france.csv",
        flags: &[],
        columns: &[
            ("Date", "date", "dates, the day first"),
            ("Montant", "number", "numbers with a decimal comma and a space between thousands in €"),
            ("Remise", "number", "numbers with a decimal comma in %"),
            ("Ville", "category", "3 distinct texts"),
        ],
        notes: &["';'"],
    },
    Case {
        file: "brazil.csv",
        flags: &[],
        columns: &[
            ("Data", "date", "dates, the day first"),
            ("Valor", "number", "numbers with a decimal comma and . between thousands in R$"),
            ("Parcelas", "number", "12 whole numbers"),
            ("Cidade", "category", "4 distinct texts"),
        ],
        notes: &["windows-1252", "as its line 1 says"],
    },
    Case {
        file: "japan.csv",
        flags: &[],
        columns: &[
            ("注文日", "date", "dates"),
            ("金額", "number", "numbers with , between thousands in \\"),
            ("数量", "number", "8 whole numbers"),
            ("都市", "category", "4 distinct texts"),
        ],
        notes: &["Shift_JIS"],
    },
    Case {
        file: "database.tsv",
        flags: &[],
        columns: &[
            ("created_at", "date", "dates"),
            ("last_login", "date", "dates"),
            ("balance", "number", "numbers"),
            ("plan", "category", "2 distinct texts"),
        ],
        notes: &[
            "\"0000-00-00 00:00:00\" is not a date and was read as missing",
            "more than 15 digits",
            "\"account\"",
        ],
    },
    Case {
        file: "survey.csv",
        flags: &["--skip-line", "2"],
        columns: &[
            ("StartDate", "date", "dates, the month first"),
            ("Duration", "number", "whole numbers"),
            ("Q1", "number", "whole numbers"),
            ("Q2", "text", "lists divided by ;"),
            ("Q3", "category", "3 distinct texts"),
        ],
        notes: &["\"prefer not to say\" is not a number and was read as missing", "4 different members"],
    },
    Case {
        file: "instrument.txt",
        flags: &["--skip-line", "4"],
        columns: &[
            ("time", "number", "durations in seconds"),
            ("nitrate", "number", "numbers with bounds such as <1"),
            ("ph", "number", "numbers"),
            ("temp", "number", "numbers"),
        ],
        notes: &["first 2 lines were left out", "bounds such as <1 or 100+"],
    },
    Case {
        file: "weblog.csv",
        flags: &[],
        columns: &[
            ("time", "date", "dates"),
            ("path", "category", "4 distinct texts"),
            ("status", "number", "3 whole numbers"),
            ("bytes", "number", "numbers with letters such as k and M"),
            ("took", "number", "durations in seconds"),
        ],
        notes: &[],
    },
    Case {
        file: "prices.csv",
        flags: &["--skip-line", "92"],
        columns: &[
            ("price", "number", "numbers with , between thousands in $"),
            ("weight", "number", "numbers in kg"),
            ("discount", "number", "numbers in %"),
            ("stock", "number", "numbers"),
        ],
        notes: &[],
    },
    Case {
        file: "page.md",
        flags: &[],
        columns: &[
            ("Country", "category", "9 distinct texts"),
            ("Population", "number", "numbers in M"),
            ("Growth", "number", "numbers in %"),
            ("Area", "number", "numbers with , between thousands"),
        ],
        notes: &["bars and dashes", "odd blanks", "409098"],
    },
];

#[test]
fn tables_of_ten_origins_are_read_for_what_they_say() {
    for Case { file, flags, columns, notes } in CASES {
        let dir = Workdir::new();
        let path = format!("{}/fixtures/people/{file}", env!("CARGO_MANIFEST_DIR"));
        dir.write(file, std::fs::read(path).unwrap());
        let train = ["train", file, "--algorithm", "tree"];
        if !flags.is_empty() {
            dir.run(&train).fails(1).complains(&[&flags.join(" ")]);
        }
        let done = dir.run(&[&train[..], flags].concat()).ok().complains(notes);
        let features = dir.run(&["inspect", "--format", "json"]).ok().json()["schema"]["features"].clone();
        let found: Vec<(&str, &str)> = features
            .as_array()
            .unwrap()
            .iter()
            .map(|feature| (feature["name"].as_str().unwrap(), feature["type"].as_str().unwrap()))
            .collect();
        let wanted: Vec<(&str, &str)> = columns.iter().map(|(name, kind, _)| (*name, *kind)).collect();
        assert_eq!(found, wanted, "{file}");
        for (name, _, reason) in columns {
            let line =
                done.out().lines().find(|line| line.trim_start().starts_with(&format!("{name} "))).unwrap();
            assert!(line.ends_with(&format!("  {reason}")), "{file}: {line}");
        }
        // The target follows from one column.
        let evaluated = dir.run(&["eval", "--format", "json"]).ok().json();
        let accuracy = evaluated["metrics"]["accuracy"].as_f64().unwrap();
        assert!(accuracy > 0.85, "{file}: {accuracy}");
        // The same file is also rows to predict.
        dir.run(&[&["predict", "--input", file], flags].concat()).ok();
    }
}
